"""Deep Speaker's filter banks and its removal of silence, for NumPy and torch arrays alike.

Li et al., "Deep Speaker", 2017, as the public code has them
(Walleclipse/Deep_Speaker-speaker_recognition_system), which calls python_speech_features.
"""

from __future__ import annotations

from functools import lru_cache

import array_api_compat
import numpy as np

from spkid.features.frames import AMPLITUDE, Array, frames_of
from spkid.features.options import FrameOptions, require

RATE = 16000
FRAMES = FrameOptions(sample_frequency=RATE)  # of 25 ms every 10 ms
FFT_SIZE = 512
PREEMPHASIS = 0.97
ENERGY_FLOOR = float(np.finfo(np.float64).eps)  # what python_speech_features puts in the place of 0
DEVIATION_FLOOR = 1.0e-12
BLOCK_FRAMES = 1024  # computed together, of all waves of a batch: a long recording takes little memory
GPU_BLOCK_FRAMES = 1 << 16


def deep_speaker_frames(samples: int) -> int:
    """Frames of a wave of so many samples: the last one may be filled up with zeros, so 25,760 samples have 160."""
    if not samples:
        return 0
    return 1 + max(-(-(samples - FRAMES.window_size) // FRAMES.window_shift), 0)


def deep_speaker_fbank(wave: Array, n_mels: int = 64) -> Array:
    """Linear energies of triangular mel filters, before each frame is normalised (`normalize_frames`).

    The wave is pre-emphasised as a whole, the window rectangular, the power spectrum divided by its length; corners of
    the filters are rounded down to bins of the spectrum.

    Args:
        wave: (..., samples) NumPy or torch array at 16 kHz, amplitude within +-1.
        n_mels: filters from 0 to 8 kHz.

    Returns:
        (..., frames, n_mels) float32.

    Raises:
        InputError: so many filters that some see no bin of the spectrum.
    """
    xp = array_api_compat.array_namespace(wave)
    device = array_api_compat.device(wave)
    wave = xp.astype(wave, xp.float32, copy=False)
    samples, count = wave.shape[-1], deep_speaker_frames(wave.shape[-1])
    shift, size = FRAMES.window_shift, FRAMES.window_size
    bank = xp.asarray(_bank(n_mels), device=device)
    floor = xp.asarray(ENERGY_FLOOR, dtype=xp.float32, device=device)
    output = xp.empty((*wave.shape[:-1], count, n_mels), dtype=xp.float32, device=device)
    together = BLOCK_FRAMES if str(device).startswith("cpu") else GPU_BLOCK_FRAMES
    step = max(together // max(int(np.prod(wave.shape[:-1])), 1), 1)
    for start in range(0, count, step):
        stop = min(start + step, count)
        begin, end = start * shift, (stop - 1) * shift + size
        part = wave[..., max(begin - 1, 0) : end]
        emphasised = part[..., 1:] - PREEMPHASIS * part[..., :-1]
        missing = xp.zeros((*wave.shape[:-1], max(end - samples, 0)), dtype=xp.float32, device=device)
        pieces = [part[..., :1], emphasised, missing] if not begin else [emphasised, missing]
        spectrum = xp.fft.rfft(frames_of(xp.concat(pieces, axis=-1), FRAMES), n=FFT_SIZE, axis=-1)
        real, imaginary = xp.real(spectrum), xp.imag(spectrum)
        power = xp.astype((real * real + imaginary * imaginary) / FFT_SIZE, xp.float32, copy=False)
        output[..., start:stop, :] = xp.maximum(power @ bank, floor)
    return output


def normalize_frames(features: Array) -> Array:
    """Features (..., frames, dims), each frame less its mean over the dimensions and divided by its deviation."""
    xp = array_api_compat.array_namespace(features)
    centred = features - xp.mean(features, axis=-1, keepdims=True)
    return centred / xp.clip(xp.std(features, axis=-1, keepdims=True), DEVIATION_FLOOR, None)


@lru_cache(maxsize=8)
def _bank(n_mels: int) -> np.ndarray:
    """(FFT_SIZE / 2 + 1, n_mels) float32: HTK's mel scale, corners rounded down to bins."""
    require(n_mels >= 1, f"n_mels must be at least 1, not {n_mels}")
    mels = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), n_mels + 2)
    corners = np.floor((FFT_SIZE + 1) * 700 * (10 ** (mels / 2595) - 1) / RATE)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(FFT_SIZE // 2 + 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = np.where((left <= bins) & (bins < centre), (bins - left) / (centre - left), 0)
        falling = np.where((centre <= bins) & (bins < right), (right - bins) / (right - centre), 0)
    bank = (rising + falling).astype(np.float32)
    empty = np.flatnonzero(~bank.any(axis=0))
    require(
        not len(empty),
        f"mel filters {empty.tolist()} lie between two bins of the {FFT_SIZE}-point transform: use fewer n_mels",
    )
    return bank


def chunk_level(chunk: np.ndarray, chunk_samples: int) -> float:
    """The level of a chunk of samples in +-1, in dB, as Deep Speaker's detector counts it.

    20 log10(sqrt(sum (32768 x)^2) / N + 1e-12): the root is divided by the number of samples N, so that a chunk of 800
    samples lies 29 dB below its mean square. A last, shorter chunk is measured as if its samples went on to
    `chunk_samples`.
    """
    scaled = AMPLITUDE * np.asarray(chunk, np.float64)
    return float(20 * np.log10(np.sqrt(np.mean(scaled * scaled) / chunk_samples) + 1e-12))


def remove_silence(wave: np.ndarray, rate: float, threshold: float = 15.0) -> np.ndarray:
    """The wave without its chunks of 50 ms whose level lies below the threshold.

    Args:
        wave: (samples,) in +-1.
        rate: samples in a second.
        threshold: in dB of `chunk_level`; 15, in Deep Speaker's variant on Kaldi's files 20.

    Returns:
        (fewer samples,), the chunks that are left one after another; empty where none is.
    """
    size = max(int(0.05 * rate), 1)
    chunks = [wave[start : start + size] for start in range(0, len(wave), size)]
    loud = [chunk for chunk in chunks if chunk_level(chunk, size) >= threshold]
    return np.concatenate(loud) if loud else wave[:0]
