"""What can be said of a recording's quality without listening: level, clipping, silence, an upper band that is empty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLIPPING_RUN = 3  # so many samples in a row at the largest value were cut off; two happen by chance
CLIPPED_LEVEL = 0.25  # below this largest value a plateau is a matter of quantisation
FLOOR_DB = -120.0
TELEPHONE_HZ = 4000.0
BLOCK = 4096


@dataclass(frozen=True)
class Quality:
    """Measures of one utterance; levels in dB relative to full scale (a sine of amplitude 1 has -3)."""

    peak: float
    level: float
    clipped: float  # share of the samples that lie in runs at the largest value
    offset: float  # mean of the samples
    upper_band: float  # power above 4 kHz relative to all power, in dB; nan where the rate leaves no such band


def measure(samples: np.ndarray, rate: float) -> Quality:
    """Measures samples (n,) in +-1 of one channel.

    Clipping is found at whatever value it happened: recordings are often made quieter afterwards.
    """
    samples = np.asarray(samples, np.float64)
    offset = float(samples.mean())
    centred = samples - offset
    peak = float(np.abs(samples).max())
    upper = np.nan
    if rate > 2.2 * TELEPHONE_HZ:
        upper = _upper_band(centred, rate)
    return Quality(_decibels(peak**2), _decibels(float(np.mean(centred**2))), _clipped(samples), offset, upper)


def _clipped(samples: np.ndarray) -> float:
    """Share of the samples in runs of CLIPPING_RUN or more at the largest or at the smallest value."""
    at_edge = np.zeros(len(samples), bool)
    for edge in (samples.max(), samples.min()):
        if abs(edge) >= CLIPPED_LEVEL:
            at_edge |= samples == edge
    bounds = np.flatnonzero(np.diff(np.concatenate(([0], at_edge.view(np.int8), [0]))))
    runs = bounds[1::2] - bounds[::2]
    return float(runs[runs >= CLIPPING_RUN].sum() / len(samples))


def _upper_band(samples: np.ndarray, rate: float) -> float:
    """Power above 4 kHz (and a little: filters are not steep) relative to all of it, in dB."""
    whole = len(samples) // BLOCK
    blocks = samples[: whole * BLOCK].reshape(whole, BLOCK) if whole else samples[None]
    spectrum = (np.abs(np.fft.rfft(blocks * np.hanning(blocks.shape[1]), axis=1)) ** 2).sum(axis=0)
    frequencies = np.fft.rfftfreq(blocks.shape[1], 1 / rate)
    total = spectrum.sum()
    return _decibels(float(spectrum[frequencies > 1.05 * TELEPHONE_HZ].sum() / total)) if total else FLOOR_DB


def _decibels(power: float) -> float:
    return max(FLOOR_DB, 10 * np.log10(power)) if power > 0 else FLOOR_DB
