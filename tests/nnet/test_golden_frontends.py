"""Front ends inside networks, and those that imported networks expect, against the originals'."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from spkid.nnet import build_model, pretrained
from spkid.nnet.frontend import LogMelSpectrogram, SincFilterBank, SpeechBrainFbank
from tests.nnet.goldens import arrays, case_weights, description

torch.set_num_threads(1)

TRAINER = {
    "L_hamming40": {"n_mels": 40, "window": "hamming"},
    "V2_preemph_hamming64": {"n_mels": 64, "window": "hamming", "preemphasis": True},
    "VGG_hann40": {"n_mels": 40, "window": "hann"},
}


def wave(name: str) -> torch.Tensor:
    return torch.from_numpy(arrays("inputs")[name].copy())


@pytest.mark.parametrize("name", sorted(TRAINER))
def test_log_mel_spectrograms_of_the_voxceleb_trainer(name):
    front_end = LogMelSpectrogram(**TRAINER[name])
    expected = arrays("vt_frontends")
    noise = 5e-4 if name.startswith("V2") else 3e-5
    tone = 2e-3 if name.startswith("VGG") else 1e-3
    for kind, function in (("logmel", front_end.bands), ("instnorm", front_end)):
        np.testing.assert_allclose(function(wave("wave"))[0], expected[f"{name}_{kind}"], atol=tone, rtol=0)
        np.testing.assert_allclose(
            function(wave("noise"))[0, :, ::10], expected[f"{name}_noise_{kind}"], atol=noise, rtol=0
        )
        integers = LogMelSpectrogram(**TRAINER[name], amplitude="int16")
        output = (integers.bands if kind == "logmel" else integers)(wave("wave"))[0, :, ::10].numpy()
        target = expected[f"{name}_int16_{kind}"]
        if name.startswith("VGG"):  # a Hann window leaves rounding errors alone in the high bands
            assert np.linalg.norm(output - target) < 1e-2 * np.linalg.norm(target)
        else:
            np.testing.assert_allclose(output, target, atol=1e-3, rtol=0)


def test_numbers_of_the_systems_page():
    n = torch.arange(16000, dtype=torch.float64)
    x = 0.3 * torch.sin(2 * torch.pi * 440 * n / 16000) + 0.1 * (((7919 * n) % 1000) / 500 - 1)
    x = x.float().unsqueeze(0)
    bands = LogMelSpectrogram(40, "hamming").bands(x)[0]
    assert bands.shape == (40, 101)
    assert bands.mean().item() == pytest.approx(-0.07329, abs=1e-4)
    assert (bands[0, 0].item(), bands[5, 50].item()) == pytest.approx((2.79749, -1.92477), abs=1e-3)
    bands = LogMelSpectrogram(64, "hamming", preemphasis=True).bands(x)[0]
    assert bands.mean().item() == pytest.approx(-2.27155, abs=1e-4)
    assert (bands[0, 0].item(), bands[5, 50].item()) == pytest.approx((-6.00567, -7.64788), abs=1e-3)
    bands = LogMelSpectrogram(64, "hamming", preemphasis=True, amplitude="int16").bands(x)
    assert bands.mean().item() == pytest.approx(18.52225, abs=1e-4)
    assert LogMelSpectrogram(40, "hann").bands(x).mean().item() == pytest.approx(-0.31509, abs=1e-4)


def test_the_front_end_has_no_gradient():
    x = torch.randn(1, 4000, requires_grad=True)
    assert not LogMelSpectrogram(40, "hamming")(x).requires_grad


@pytest.mark.parametrize("case", ["vt_rawnet3_eca_256", "vt_rawnet3_eca_256_sinc", "vt_rawnet3_eca_256_sinc_noise"])
def test_band_passes_of_rawnet3(case):
    network = pretrained.load(case_weights(case), "voxceleb_trainer", amplitude="unit")
    rows = description(case)["outputs"]["hash_sinc_filters"]["rows"]
    filters = network.sinc.filters()[rows, 0].detach().numpy()
    expected = arrays(case)["hash_sinc_filters"]
    assert np.abs(filters - expected).max() < 1e-4 * np.abs(expected).max()
    with torch.no_grad():
        features = network.sinc_features(wave(description(case)["input"]["key"]))[0, rows, :4800:24].numpy()
    target = arrays(case)["hash_sinc_features"].reshape(features.shape)
    assert np.linalg.norm(features - target) < 2e-2 * np.linalg.norm(target)


def test_band_passes_start_out_on_the_mel_scale():
    bank = SincFilterBank()
    low, band = bank.low_hz.detach().flatten(), bank.band_hz.detach().flatten()
    assert bank.filters().shape == (256, 1, 251)
    torch.testing.assert_close(low[1:], low[:-1] + band[:-1], atol=1e-2, rtol=0)
    assert low[0].item() == pytest.approx(30)
    assert (low[-1] + band[-1]).item() == pytest.approx(7900, abs=1)


@pytest.mark.parametrize("name", ["wave", "noise"])
def test_speechbrain_filter_banks(name):
    features = SpeechBrainFbank()(wave(name))[0]
    expected = arrays("importer_frontends")
    np.testing.assert_allclose(features[::5], expected[f"speechbrain_{name}_fbank"], atol=2e-3, rtol=0)
    centred = features - features.mean(dim=0)
    np.testing.assert_allclose(centred[::5], expected[f"speechbrain_{name}"], atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["wave", "noise"])
def test_filter_banks_that_wespeaker_networks_expect(name):
    from spkid.features import FbankOptions, fbank

    network = pretrained.load(case_weights("ws_xvec"), "wespeaker")
    assert network.front_end["type"] == "fbank"
    assert network.front_end["dims"] == 80
    assert network.front_end["transforms"] == ["cmn_utterance"]
    options = FbankOptions(**network.front_end["options"])
    assert asdict(options) == network.front_end["options"]
    features = fbank(wave(name)[0].numpy(), options)
    features = features - features.mean(axis=0)
    np.testing.assert_allclose(features[::5], arrays("importer_frontends")[f"wespeaker_{name}"], atol=2e-3, rtol=0)


def test_waveforms_that_do_not_fit_are_refused_with_numbers():
    network = build_model("vggvox").eval()
    with torch.no_grad():
        assert network(torch.randn(1, network.min_samples)).shape == (1, 512)
    with pytest.raises(ValueError, match=r"at least 9920 samples but was given 9919"):
        network(torch.randn(1, network.min_samples - 1))
    with pytest.raises(ValueError, match=r"waveforms \(batch, samples\) but was given \(1, 1, 9920\)"):
        network(torch.randn(1, 1, network.min_samples))
    with pytest.raises(ValueError, match=r"unknown amplitude 'int' \(did you mean 'int16'"):
        build_model("resnet_se34l", amplitude="int")
    small = build_model("rawnet3", channels=64).eval()
    with torch.no_grad():
        assert small(torch.randn(1, small.min_samples)).isfinite().all()
