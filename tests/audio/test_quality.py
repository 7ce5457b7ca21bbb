"""Measures of recordings: level, clipping at any value, an upper band that is empty."""

import numpy as np
import pytest

from spkid.audio import resample
from spkid.audio.quality import FLOOR_DB, measure

RATE = 16000


def noise(seconds=1.0, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(int(RATE * seconds))).astype(np.float32)


def test_a_sine_of_full_scale():
    found = measure(np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE), RATE)
    assert found.peak == pytest.approx(0, abs=0.01)
    assert found.level == pytest.approx(-3.01, abs=0.01)
    assert found.offset == pytest.approx(0, abs=1e-6)
    assert found.clipped < 1e-3


@pytest.mark.parametrize("gain", [1.0, 0.4])
def test_clipping_is_found_at_whatever_value_it_happened(gain):
    samples = gain * np.clip(noise(level=1.0), -0.8, 0.8)
    share = np.mean(np.abs(samples) >= 0.8 * gain * (1 - 1e-6))
    assert 0.05 * share < measure(samples, RATE).clipped <= share
    assert measure(noise(level=0.2), RATE).clipped == 0


def test_silence_and_an_offset():
    assert measure(np.zeros(100), RATE).level == FLOOR_DB
    found = measure(noise() + 0.05, RATE)
    assert found.offset == pytest.approx(0.05, abs=0.005)
    assert found.level == pytest.approx(-20, abs=0.3)  # without the offset


def test_telephone_speech_is_known_by_its_empty_upper_band():
    narrow = resample(noise()[::2], RATE // 2, RATE)
    assert measure(narrow, RATE).upper_band < -55
    assert measure(noise(), RATE).upper_band == pytest.approx(10 * np.log10(0.425), abs=0.2)
    assert np.isnan(measure(noise(), RATE // 2).upper_band)
    assert measure(noise(0.05), RATE).upper_band > -6  # shorter than a block
