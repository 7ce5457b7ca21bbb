"""Reverberation: a signal convolved with the impulse response of a room (Kaldi's wav-reverberate.cc and signal.cc)."""

from __future__ import annotations

import numpy as np

# What a listener fuses with the direct sound: from 1 ms before the peak of the response to 50 ms after it.
EARLY_BEFORE = 0.001
EARLY_AFTER = 0.05
LEAST_BLOCK = 1 << 14


def convolve(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The whole convolution, by FFT in blocks that are overlapped and added.

    Args:
        signal: (samples,).
        response: (taps,).

    Returns:
        (samples + taps - 1,) float32.

    Raises:
        ValueError: one of them is empty.
    """
    from scipy import fft

    signal = np.asarray(signal, dtype=np.float32)
    response = np.asarray(response, dtype=np.float32)
    if not signal.size or not response.size:
        raise ValueError("a convolution needs a signal and an impulse response of at least one sample")
    overlap = response.size - 1
    # Equal blocks, several times longer than the response: then little of each transform is spent on the overlap.
    blocks = max(round(signal.size / max(LEAST_BLOCK, 3 * response.size)), 1)
    size = fft.next_fast_len(-(-signal.size // blocks) + overlap, real=True)
    spectrum = fft.rfft(response, size)
    convolved = np.zeros(signal.size + overlap, dtype=np.float32)
    block = size - overlap
    for start in range(0, signal.size, block):
        piece = fft.irfft(fft.rfft(signal[start : start + block], size) * spectrum, size)
        target = convolved[start : start + size]
        target += piece[: target.size]
    return convolved


def early_response(response: np.ndarray, rate: float) -> np.ndarray:
    """The part of an impulse response (taps,) around its peak that is heard as the direct sound."""
    peak = int(np.argmax(response))
    start = int(peak - EARLY_BEFORE * rate)
    return response[max(start, 0) : int(peak + EARLY_AFTER * rate)]


def reverberate(signal: np.ndarray, response: np.ndarray, rate: float) -> tuple[np.ndarray, float]:
    """Puts a signal into a room.

    Args:
        signal: (samples,).
        response: (taps,) impulse response of the room at the signal's rate, in +-1; its scale becomes the result's.
        rate: samples per second.

    Returns:
        (samples + taps - 1,) float32, late by the response's peak; and the power of what is heard as the direct sound,
        which signal-to-noise ratios are meant against.

    Raises:
        ValueError: the signal or the response is empty.
    """
    return convolve(signal, response), power(convolve(signal, early_response(response, rate)))


def power(signal: np.ndarray) -> float:
    """Mean square of the samples."""
    return float(np.mean(np.square(signal, dtype=np.float64)))
