"""Every option of every kind of feature, against the slow definitions in reference.py."""

import dataclasses

import numpy as np
import pytest

from spkid.features import FbankOptions, FrameOptions, MfccOptions, SpectrogramOptions, fbank, mfcc, spectrogram
from spkid.kaldi import InputError
from tests.features import reference

WAVE = reference.speech_like(2345)

FRAME_CHOICES = [
    {},
    {"frame_length": 20.0, "frame_shift": 7.5},
    {"preemphasis_coefficient": 0.0},
    {"preemphasis_coefficient": 0.5},
    {"remove_dc_offset": False},
    {"window_type": "hamming"},
    {"window_type": "hanning"},
    {"window_type": "rectangular"},
    {"window_type": "sine"},
    {"window_type": "blackman"},
    {"window_type": "blackman", "blackman_coeff": 0.3},
    {"round_to_power_of_two": False},
    {"snip_edges": False},
    {"snip_edges": False, "frame_length": 32.0, "round_to_power_of_two": False},
    {"max_feature_vectors": 3},
]
MEL_CHOICES = [
    {"num_mel_bins": 40},
    {"low_freq": 100.0, "high_freq": 5000.0},
    {"high_freq": -400.0},
    {"num_mel_bins": 15, "sample_frequency": 8000.0},
]
ENERGY_CHOICES = [{}, {"raw_energy": False}, {"energy_floor": 1e9}, {"raw_energy": False, "energy_floor": 1e9}]


def check(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("choice", FRAME_CHOICES + [c | {"use_energy": True} for c in ENERGY_CHOICES] + MEL_CHOICES)
def test_fbank_options(choice):
    options = FbankOptions(**choice)
    check(fbank(WAVE, options), reference.fbank(WAVE, options))


@pytest.mark.parametrize(
    "choice",
    [{"use_log_fbank": False}, {"use_power": False}, {"use_energy": True, "htk_compat": True}, {"htk_compat": True}],
)
def test_fbank_output(choice):
    options = FbankOptions(**choice)
    check(fbank(WAVE, options), reference.fbank(WAVE, options))


@pytest.mark.parametrize(
    "choice",
    [
        *FRAME_CHOICES,
        *MEL_CHOICES,
        *ENERGY_CHOICES,
        {"num_ceps": 23},
        {"num_ceps": 1},
        {"cepstral_lifter": 0.0},
        {"cepstral_lifter": 12.0},
        {"use_energy": False},
        {"htk_compat": True},
        {"htk_compat": True, "use_energy": False},
    ],
)
def test_mfcc_options(choice):
    options = MfccOptions(**choice)
    check(mfcc(WAVE, options), reference.mfcc(WAVE, options))


@pytest.mark.parametrize("choice", FRAME_CHOICES + ENERGY_CHOICES)
def test_spectrogram_options(choice):
    options = SpectrogramOptions(**choice)
    check(spectrogram(WAVE, options), reference.spectrogram(WAVE, options))


def test_raw_spectrum_is_packed_as_kaldi_does():
    options = SpectrogramOptions(return_raw_fft=True)
    expected = reference.spectrogram(WAVE, options)
    actual = spectrogram(WAVE, options)
    assert actual.shape == expected.shape == (len(expected), 512)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize("warp", [0.8, 0.95, 1.0, 1.1, 1.25])
@pytest.mark.parametrize("choice", [{}, {"vtln_low": 60.0, "vtln_high": 7200.0, "high_freq": -200.0}])
def test_vtln_warp(warp, choice):
    options = MfccOptions(**choice)
    check(mfcc(WAVE, options, warp), reference.mfcc(WAVE, options, warp))
    check(fbank(WAVE, FbankOptions(**choice), warp), reference.fbank(WAVE, FbankOptions(**choice), warp))


def test_vtln_changes_something():
    assert abs(fbank(WAVE, vtln_warp=1.1) - fbank(WAVE)).max() > 0.1


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 200, 399, 400, 401])
@pytest.mark.parametrize("snip_edges", [True, False])
def test_short_waves(samples, snip_edges):
    """Down to one sample, mirrored again and again; no frame gives no row."""
    options = FbankOptions(snip_edges=snip_edges, remove_dc_offset=False)
    wave = reference.speech_like(samples)
    expected = reference.fbank(wave, options)
    actual = fbank(wave, options)
    assert actual.shape == (len(expected), 23)
    if len(expected):
        check(actual, expected)


@pytest.mark.parametrize("compute", [fbank, mfcc, spectrogram])
def test_no_samples_no_frames(compute):
    assert compute(np.zeros(0, np.float32)).shape[0] == 0


def test_lengths_are_rounded_as_in_kaldi():
    options = FrameOptions(sample_frequency=10000.0, frame_length=25.6, frame_shift=8.7)
    assert (options.window_size, options.padded_window_size, options.window_shift) == (256, 256, 86)
    options = FrameOptions(sample_frequency=11025.0)
    assert (options.window_size, options.padded_window_size, options.window_shift) == (275, 512, 110)


def test_shift_longer_than_frame():
    options = FbankOptions(frame_length=10.0, frame_shift=15.0, num_mel_bins=10)
    check(fbank(WAVE, options), reference.fbank(WAVE, options))
    options = dataclasses.replace(options, snip_edges=False)
    check(fbank(WAVE, options), reference.fbank(WAVE, options))


def test_long_wave_is_computed_in_blocks():
    """Where the blocks are cut does not show: a window on the middle of a long wave gives the same rows."""
    wave = reference.speech_like(160 * 1000)
    whole = mfcc(wave)
    np.testing.assert_allclose(whole[500:520], mfcc(wave[500 * 160 : 519 * 160 + 400]), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    "choice",
    [
        {"window_type": "gauss"},
        {"sample_frequency": 0.0},
        {"frame_shift": 0.0},
        {"frame_length": 0.05},
        {"preemphasis_coefficient": 1.5},
        {"dither": -1.0},
        {"round_to_power_of_two": False, "frame_length": 25.1},
    ],
)
def test_impossible_frame_options(choice):
    with pytest.raises(InputError, match=r"--\w|odd"):
        FrameOptions(**choice)


@pytest.mark.parametrize(
    "choice",
    [
        {"num_mel_bins": 2},
        {"num_mel_bins": 200},
        {"low_freq": 9000.0},
        {"low_freq": 4000.0, "high_freq": 3000.0},
        {"high_freq": 8001.0},
        {"high_freq": -8000.0},
    ],
)
def test_impossible_mel_options(choice):
    with pytest.raises(InputError, match=r"-bins|-freq"):
        fbank(WAVE, FbankOptions(**choice))


@pytest.mark.parametrize(
    ("choice", "warp"), [({"vtln_low": 10.0}, 1.1), ({"vtln_high": 8000.0}, 1.1), ({}, 0.0), ({}, 90.0), ({}, -1.0)]
)
def test_impossible_vtln_options(choice, warp):
    with pytest.raises(InputError, match=r"vtln|VTLN"):
        fbank(WAVE, FbankOptions(**choice), warp)


def test_impossible_cepstra():
    with pytest.raises(InputError, match="--num-ceps=24"):
        MfccOptions(num_ceps=24)
    with pytest.raises(InputError, match="--energy-floor"):
        MfccOptions(energy_floor=-1.0)
