"""Band-limiting in the frequency domain."""

from __future__ import annotations

import numpy as np

EDGE = 0.1  # the width of the transition at a limit, as a fraction of the limit


def limit_band(wave: np.ndarray, rate: float, low: float, high: float) -> np.ndarray:
    """Takes away what lies below `low` or above `high` Hz, with edges along half a cosine.

    Args:
        wave: (samples,) float32.
        rate: samples per second; a limit from half of it on, or of 0, takes nothing away.

    Returns:
        (samples,) float32, not delayed.
    """
    from scipy import fft

    size = fft.next_fast_len(len(wave), real=True)
    frequencies = np.fft.rfftfreq(size, 1 / rate).astype(np.float32)
    gain = np.ones(len(frequencies), np.float32)
    if low > 0:
        gain *= _rise((frequencies - low) / (EDGE * low))
    if high < rate / 2:
        gain *= _rise((high - frequencies) / (EDGE * high))
    return fft.irfft(fft.rfft(wave, size) * gain, size)[: len(wave)]


def _rise(place: np.ndarray) -> np.ndarray:
    """0 up to -0.5, 1 from 0.5 on, half a cosine between."""
    return 0.5 + 0.5 * np.sin(np.pi * np.clip(place, -0.5, 0.5))
