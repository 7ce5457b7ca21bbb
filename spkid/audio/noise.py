"""Corrupting a recording: noises at given signal-to-noise ratios, a room, and the length and level of the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spkid.audio.reverberation import power, reverberate


class Noise(NamedTuple):
    """A signal to be added: `samples` (samples,), `snr` in dB, `start` in seconds of the recording it is added to."""

    samples: np.ndarray
    snr: float
    start: float = 0.0


def add_noise(signal: np.ndarray, noise: Noise, rate: float, signal_power: float | None = None) -> np.ndarray:
    """Adds a noise from its start on; what reaches beyond the signal's end is left out.

    Args:
        signal: (samples,).
        noise: what to add; the whole of it is scaled to the ratio, also where only a part is used.
        rate: samples per second of both.
        signal_power: what the ratio is against; by default the signal's mean square.

    Returns:
        (samples,) float32.

    Raises:
        ValueError: the noise is empty or silent, or its start is negative.
    """
    noise_power = power(noise.samples) if len(noise.samples) else 0.0
    if not noise_power > 0:
        raise ValueError("the noise is empty or all zero, so that no signal-to-noise ratio can be reached")
    offset = int(np.float32(noise.start) * np.float32(rate))
    if offset < 0:
        raise ValueError(f"the noise begins at {noise.start:g} s: before the signal")
    signal_power = power(signal) if signal_power is None else signal_power
    scale = np.sqrt(10 ** (-noise.snr / 10) * signal_power / noise_power)
    noisy = np.array(signal, dtype=np.float32)
    target = noisy[offset : offset + len(noise.samples)]
    target += np.float32(scale) * noise.samples[: target.size]
    return noisy


def corrupt(
    signal: np.ndarray,
    rate: float,
    *,
    response: np.ndarray | None = None,
    noises: Sequence[Noise] = (),
    shift: bool = True,
    normalize: bool = True,
    volume: float = 0.0,
    duration: float = 0.0,
) -> np.ndarray:
    """Reverberates a recording, adds noises to it, and gives it level and length, as Kaldi's wav-reverberate does.

    Args:
        signal: (samples,) in +-1.
        rate: samples per second, of the response and the noises too.
        response: (taps,) impulse response of a room in +-1; None for no room.
        noises: what to add to the reverberated signal, which is late by the response's peak; the ratios are against
            the power of its early part.
        shift: cut off the delay, and the tail: as many samples as `signal`, in step with it. False keeps all of the
            convolution.
        normalize: scale to the signal's own power.
        volume: where it is not 0, a factor instead of `normalize`.
        duration: where it is not 0, seconds of the result: its beginning, or it is repeated.

    Returns:
        float32; `samples` long, longer by `taps` - 1 without `shift`, or as `duration` says. It may leave +-1.

    Raises:
        ValueError: the signal, the response or a noise is empty, a noise is silent or begins before the signal.
    """
    if not len(signal):
        raise ValueError("there is no signal to corrupt")
    original_power = early_power = power(signal)
    corrupted, delay = np.array(signal, dtype=np.float32), 0
    if response is not None:
        corrupted, early_power = reverberate(signal, response, rate)
        delay = int(np.argmax(response)) if shift else 0
    for noise in noises:
        corrupted = add_noise(corrupted, noise, rate, early_power)
    corrupted_power = power(corrupted)
    if volume > 0:
        corrupted *= np.float32(volume)
    elif normalize and corrupted_power > 0:
        corrupted *= np.float32(np.sqrt(original_power / corrupted_power))
    if shift:
        corrupted = corrupted[delay : delay + len(signal)]
    if duration > 0:
        corrupted = np.resize(corrupted, int(np.float32(rate) * np.float32(duration)))
    return corrupted
