"""Against what Kaldi's own programs computed; the agreement asked for is that of the goldens' README."""

from collections.abc import Iterator

import numpy as np
import pytest

from spkid.audio import read_audio
from spkid.features import (
    CmvnOptions,
    FbankOptions,
    MfccOptions,
    VadOptions,
    add_deltas,
    apply_cmvn_sliding,
    compute_vad,
    fbank,
    mfcc,
    select_voiced,
    spectrogram,
)
from spkid.kaldi.tables import MATRIX, VECTOR, read_id_map, read_table
from tests.shared import golden

VOXCELEB = MfccOptions(low_freq=20, high_freq=7600, num_mel_bins=30, num_ceps=30, snip_edges=False)
SRE16 = MfccOptions(sample_frequency=8000, low_freq=20, high_freq=3700, num_ceps=23, snip_edges=False)
FBANK80 = FbankOptions(num_mel_bins=80)
HAMMING = FbankOptions(num_mel_bins=40, use_energy=True, window_type="hamming", snip_edges=False)
VAD_VOXCELEB = VadOptions(
    vad_energy_threshold=5.5, vad_energy_mean_scale=0.5, vad_proportion_threshold=0.12, vad_frames_context=2
)


def table(name: str, holder=MATRIX) -> dict[str, np.ndarray]:
    return dict(read_table(f"ark:{golden(f'kaldi/feats/{name}.ark')}", holder))


def waves(script: str) -> Iterator[tuple[str, np.ndarray]]:
    folder = golden("kaldi")
    for utterance, path in read_id_map(str(folder / script)).items():
        yield utterance, read_audio(str(folder / path))[0]


@pytest.mark.parametrize(
    ("name", "script", "compute", "fraction", "largest"),
    [
        ("mfcc_voxceleb", "wav.scp", lambda wave: mfcc(wave, VOXCELEB), 0.95, 5e-3),
        ("mfcc_default", "wav.scp", mfcc, 0.95, 5e-3),
        ("mfcc_sre16_8k", "wav8k.scp", lambda wave: mfcc(wave, SRE16), 0.95, 5e-3),
        ("fbank80", "wav.scp", lambda wave: fbank(wave, FBANK80), 0.995, 0.05),
        ("fbank40_energy_hamming", "wav.scp", lambda wave: fbank(wave, HAMMING), 0.995, 0.05),
        ("spectrogram", "wav.scp", spectrogram, 0.9, 1.0),
    ],
)
def test_features(name, script, compute, fraction, largest):
    expected = table(name)
    differences = []
    for utterance, wave in waves(script):
        features, kaldi = compute(wave), expected.pop(utterance)
        assert len(features) == len(kaldi), utterance
        if len(kaldi):
            assert features.shape == kaldi.shape
            differences.append(abs(features - kaldi).ravel())
    assert not expected
    differences = np.concatenate(differences)
    assert np.mean(differences <= 2e-4) >= fraction
    assert np.median(differences) < 2e-5
    assert differences.max() < largest


@pytest.mark.parametrize(("name", "options"), [("vad_voxceleb", VAD_VOXCELEB), ("vad_default", VadOptions())])
def test_vad(name, options):
    features, decisions = table("mfcc_voxceleb"), table(name, VECTOR)
    assert features.keys() == decisions.keys()
    for utterance, expected in decisions.items():
        np.testing.assert_array_equal(compute_vad(features[utterance], options), expected, err_msg=utterance)


def test_vad_of_our_own_features():
    decisions = table("vad_voxceleb", VECTOR)
    for utterance, wave in waves("wav.scp"):
        np.testing.assert_array_equal(compute_vad(mfcc(wave, VOXCELEB), VAD_VOXCELEB), decisions[utterance], utterance)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mfcc_cmn300", CmvnOptions(center=True, cmn_window=300)),
        ("mfcc_cmvn100", CmvnOptions(center=True, cmn_window=100, norm_vars=True)),
        ("mfcc_cmn200_causal", CmvnOptions(center=False, cmn_window=200, min_cmn_window=50)),
    ],
)
def test_cmvn(name, options):
    features, normalized = table("mfcc_voxceleb"), table(name)
    assert features.keys() == normalized.keys()
    for utterance, expected in normalized.items():
        np.testing.assert_allclose(apply_cmvn_sliding(features[utterance], options), expected, rtol=0, atol=1e-5)


def test_deltas():
    features, expected = table("mfcc_default"), table("mfcc_default_deltas")
    for utterance, kaldi in expected.items():
        np.testing.assert_allclose(add_deltas(features[utterance]), kaldi, rtol=0, atol=1e-5)
    assert features.keys() - expected.keys() == {"edge-24ms"}  # no frame


def test_selection():
    features, vad, expected = table("mfcc_cmn300"), table("vad_voxceleb", VECTOR), table("mfcc_cmn300_voiced")
    for utterance, kaldi in expected.items():
        np.testing.assert_array_equal(select_voiced(features[utterance], vad[utterance]), kaldi)
    assert features.keys() - expected.keys() == {"edge-zeros", "edge-lsb-noise"}  # no voiced frame


def test_regression_of_the_front_end():
    """A value published for +-1 amplitude, that is without Kaldi's factor of 32768."""
    n = np.arange(16000)
    wave = 0.3 * np.sin(2 * np.pi * 440 * n / 16000) + 0.1 * ((7919 * n % 1000) / 500 - 1)
    features = fbank((wave / 32768).astype(np.float32), FBANK80)
    assert features.shape == (98, 80)
    assert features.mean(dtype=np.float64) == pytest.approx(-2.95320, abs=2e-5)
