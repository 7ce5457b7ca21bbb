"""Deep Speaker's features and its removal of silence: the numbers of the original."""

import numpy as np
import pytest
import torch

from spkid.data.device_features import DeviceFeatures
from spkid.data.front_end import FrontEnd
from spkid.features.deep_speaker import (
    chunk_level,
    deep_speaker_fbank,
    deep_speaker_frames,
    normalize_frames,
    remove_silence,
)
from spkid.kaldi import InputError

torch.set_num_threads(1)


def published_wave(samples: int = 16000) -> np.ndarray:
    n = np.arange(samples)
    return (0.3 * np.sin(2 * np.pi * 440 * n / 16000) + 0.1 * ((7919 * n % 1000) / 500 - 1)).astype(np.float32)


def reference(wave: np.ndarray) -> np.ndarray:
    """The features by the book: python_speech_features' formulas, filter by filter, in float64."""
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66)
    corners = np.floor(513 * 700 * (10 ** (mels / 2595) - 1) / 16000).astype(int)
    bank = np.zeros((64, 257))
    for row in range(64):
        left, centre, right = corners[row : row + 3]
        for place in range(left, centre):
            bank[row, place] = (place - left) / (centre - left)
        for place in range(centre, right):
            bank[row, place] = (right - place) / (right - centre)
    emphasised = np.append(wave[0], wave[1:] - 0.97 * wave[:-1])
    count = 1 + max(int(np.ceil((len(wave) - 400) / 160)), 0)
    padded = np.zeros((count - 1) * 160 + 400)
    padded[: len(wave)] = emphasised
    frames = np.stack([padded[160 * number : 160 * number + 400] for number in range(count)])
    energies = np.abs(np.fft.rfft(frames, 512)) ** 2 / 512 @ bank.T
    return np.where(energies == 0, np.finfo(float).eps, energies)


def test_the_regression_number():
    features = normalize_frames(deep_speaker_fbank(published_wave()))
    assert features.shape == (99, 64)
    assert features.dtype == np.float32
    assert features[0, 0] == pytest.approx(-0.41828, abs=1e-5)


@pytest.mark.parametrize("samples", [100, 400, 401, 16000, 25760, 200_003])
def test_the_features_by_the_book(samples):
    wave = published_wave(samples) * np.linspace(0.01, 1, samples, dtype=np.float32)
    expected = reference(wave.astype(np.float64))
    found = deep_speaker_fbank(wave)
    assert len(found) == len(expected) == deep_speaker_frames(samples)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6 * expected.max())
    by_frame = (expected - expected.mean(1, keepdims=True)) / np.maximum(expected.std(1, keepdims=True), 1e-12)
    np.testing.assert_allclose(normalize_frames(found), by_frame, atol=1e-4)


def test_25760_samples_are_160_frames():
    assert [deep_speaker_frames(samples) for samples in (0, 1, 25760, 25840, 25841)] == [0, 1, 160, 160, 161]


def test_a_batch_of_tensors_has_the_features_of_its_waves():
    waves = np.stack([published_wave(), 0.1 * published_wave()[::-1]])
    front_end = FrontEnd("deep_speaker_fbank", {}, ["cmvn_frame"], 64)
    found = DeviceFeatures(front_end)(torch.from_numpy(waves))
    assert found.shape == (2, 99, 64)
    for row, wave in enumerate(waves):
        np.testing.assert_allclose(found[row], normalize_frames(deep_speaker_fbank(wave)), atol=1e-4)


def test_every_frame_has_mean_0_and_deviation_1_and_silence_is_0():
    wave = np.concatenate((published_wave(), np.zeros(8000, np.float32)))
    features = normalize_frames(deep_speaker_fbank(wave))
    np.testing.assert_allclose(features.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(features[:99].std(1), 1, atol=1e-5)
    assert np.abs(features[101:]).max() < 1e-3
    assert np.isfinite(features).all()


def test_too_many_filters_are_named():
    with pytest.raises(InputError, match="lie between two bins"):
        deep_speaker_fbank(published_wave(), 200)


def test_the_level_of_a_chunk():
    chunk = published_wave()[:800]
    assert chunk_level(chunk, 800) == pytest.approx(48.08609, abs=1e-4)
    assert chunk_level(chunk[:400], 800) == pytest.approx(chunk_level(chunk, 800), abs=0.2)
    assert chunk_level(np.zeros(800), 800) == -240


def test_silence_goes_and_speech_stays_as_it_is():
    loud, quiet = published_wave(1600), 0.001 * published_wave(2400)
    wave = np.concatenate((quiet, loud, quiet, loud[:700]))
    kept = remove_silence(wave, 16000)
    assert np.array_equal(kept, np.concatenate((loud, loud[:700])))
    assert np.array_equal(remove_silence(wave, 16000, -300), wave)
    assert not len(remove_silence(wave, 16000, 100))
    assert not len(remove_silence(wave[:0], 16000))
