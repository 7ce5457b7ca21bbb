"""Noises for corpora that bring none."""

from __future__ import annotations

import numpy as np

SLOPES = (0.0, 0.5, 1.0)  # of the amplitude over the frequency: white, 1/f and 1/f^2 in power


def coloured_noise(rate: int, seconds: int, slope: float, random: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls as 1/f^slope above 50 Hz, (samples,) float32, its standard deviation 0.1."""
    spectrum = np.fft.rfft(random.standard_normal(seconds * rate))
    spectrum /= np.maximum(np.fft.rfftfreq(seconds * rate, 1 / rate), 50) ** slope
    samples = np.fft.irfft(spectrum)
    return (0.1 * samples / samples.std()).astype(np.float32).clip(-1, 1)


def synthetic_noises(rate: int, seconds: int, seed: int) -> list[np.ndarray]:
    """Noises of every colour, one steady and one whose level wanders by some 10 dB, (samples,) float32 each."""
    random, noises = np.random.default_rng(seed), []
    for slope in SLOPES:
        steady = coloured_noise(rate, seconds, slope, random)
        knots = random.normal(0.0, 5.0, 2 * seconds + 1)  # dB, two a second
        level = np.interp(np.arange(len(steady)) / rate, np.arange(len(knots)) / 2, knots)
        wandering = steady * 10 ** (level / 20)
        noises += [steady, (wandering / max(1.0, np.abs(wandering).max())).astype(np.float32)]
    return noises
