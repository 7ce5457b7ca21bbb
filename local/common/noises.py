"""Noises for corpora that bring none, and babble of voices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from spkid.audio.reverberation import power

SLOPES = (0.0, 0.5, 1.0)  # of the amplitude over the frequency: white, 1/f and 1/f^2 in power
VOICES = "babble"  # what the name of a folder of voices begins with
TALKERS = (3, 7)  # of a piece of babble, as Kaldi's recipes add them
BABBLE_LEVEL = 0.05  # root of the power of a piece of babble


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


def babble(talkers: Sequence[np.ndarray], pieces: int, length: int) -> Iterator[np.ndarray]:
    """Pieces of three to seven talkers at once, all of them equally loud, (length,) each.

    talkers: the speech of each, (samples,); TALKERS[1] of them or more.
    """
    draw = np.random.default_rng(0)
    for _ in range(pieces):
        chosen = draw.choice(len(talkers), draw.integers(TALKERS[0], TALKERS[1] + 1), replace=False)
        voices = (
            np.roll(talkers[one] / np.sqrt(power(talkers[one])), -draw.integers(len(talkers[one]))) for one in chosen
        )
        mixed = sum(np.resize(voice, length) for voice in voices)
        yield mixed * (BABBLE_LEVEL / np.sqrt(power(mixed)))
