"""The same code on torch tensors, in batches, and with dither."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from spkid.features import FbankOptions, MfccOptions, SpectrogramOptions, fbank, mfcc, spectrogram
from tests.features.reference import speech_like

torch.set_num_threads(1)
WAVES = np.stack([speech_like(5000, seed) for seed in (1, 2, 3)])
CASES = [
    (fbank, FbankOptions(num_mel_bins=40)),
    (fbank, FbankOptions(use_energy=True, energy_floor=1e8, raw_energy=False, snip_edges=False, htk_compat=True)),
    (fbank, FbankOptions(use_power=False, use_log_fbank=False, round_to_power_of_two=False)),
    (mfcc, MfccOptions(snip_edges=False)),
    (mfcc, MfccOptions(use_energy=False, htk_compat=True, dither=1.0)),
    (spectrogram, SpectrogramOptions(window_type="hamming")),
    (spectrogram, SpectrogramOptions(return_raw_fft=True)),
]


@pytest.mark.parametrize(("compute", "options"), CASES)
def test_torch_gives_the_values_of_numpy(compute, options):
    features = compute(torch.from_numpy(WAVES[0]), options)
    assert features.dtype == torch.float32
    expected = compute(WAVES[0], options)
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-4, atol=abs(expected).max() * 2e-5)


@pytest.mark.parametrize(("compute", "options"), [case for case in CASES if not case[1].dither])
def test_a_batch_is_its_rows(compute, options):
    rows = np.stack([compute(wave, options) for wave in WAVES])
    scale = abs(rows).max() * 2e-5
    np.testing.assert_allclose(compute(WAVES, options), rows, rtol=1e-4, atol=scale)
    np.testing.assert_allclose(compute(torch.from_numpy(WAVES), options).numpy(), rows, rtol=1e-4, atol=scale)


def test_a_gradient_reaches_the_wave():
    wave = torch.from_numpy(WAVES[0]).requires_grad_()
    fbank(wave).sum().backward()
    assert torch.isfinite(wave.grad).all()
    assert wave.grad.abs().max() > 0


def test_float64_waves_give_float32_features():
    np.testing.assert_array_equal(fbank(WAVES[0].astype(np.float64)), fbank(WAVES[0]))


def test_the_wave_is_left_as_it_was():
    wave = WAVES[0].copy()
    mfcc(wave, MfccOptions(dither=1.0, snip_edges=False))
    np.testing.assert_array_equal(wave, WAVES[0])


def test_dither_depends_on_the_utterance_and_the_seed_alone():
    options = FbankOptions(dither=1.0)
    once = fbank(WAVES[0], options, utterance="a")
    np.testing.assert_array_equal(once, fbank(WAVES[0], options, utterance="a"))
    assert (once != fbank(WAVES[0], options, utterance="b")).any()
    assert (once != fbank(WAVES[0], FbankOptions(dither=1.0, dither_seed=1), utterance="a")).any()


def test_dither_has_its_amplitude():
    """The energy of dithered silence is that of noise of this standard deviation, in 16-bit steps."""
    options = MfccOptions(dither=2.0, remove_dc_offset=False)
    energy = np.exp(mfcc(np.zeros(16000, np.float32), options)[:, 0].astype(np.float64))
    assert np.sqrt(energy.mean() / 400) == pytest.approx(2.0, rel=0.02)


def test_silence_is_floored():
    silence = np.zeros(16000, np.float32)
    assert fbank(silence) == pytest.approx(np.log(2.0**-23))
    assert mfcc(silence)[:, 0] == pytest.approx(np.log(2.0**-23))


@pytest.mark.parametrize("offset", [1, 1000, 32767])
def test_a_constant_is_silence(offset):
    assert mfcc(np.full(16000, offset / 32768, np.float32))[:, 0] == pytest.approx(np.log(2.0**-23))


def test_torch_is_not_imported():
    code = "import sys, spkid.features as f, numpy as n; f.fbank(n.zeros(999)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
