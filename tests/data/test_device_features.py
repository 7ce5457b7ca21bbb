"""Features of a batch on the training device are those of NumPy."""

import numpy as np
import pytest
import torch

from spkid.data.audio_options import audio_options
from spkid.data.batches import SpecAugment, chunk_rng
from spkid.data.device_features import DeviceFeatures, normalize
from spkid.data.front_end import FrontEnd
from spkid.features import CmvnOptions, apply_cmvn_sliding, fbank, mfcc, spectrogram
from spkid.kaldi import InputError
from spkid.nnet.frontend import SpeechBrainFbank
from tests.data.audio_data import voice

torch.set_num_threads(1)
KINDS = {"fbank": fbank, "mfcc": mfcc, "spectrogram": spectrogram}


@pytest.fixture(scope="module")
def waves() -> np.ndarray:
    return np.stack([voice(seed, 0.8) for seed in range(5)])


def front_end(kind="fbank", options=None, transforms=(), dims=0) -> FrontEnd:
    return FrontEnd(kind, options, list(transforms), dims)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("fbank", {"num_mel_bins": 80}),
        ("fbank", {"num_mel_bins": 80, "window_type": "hamming", "use_energy": True}),
        ("fbank", {"num_mel_bins": 40, "snip_edges": False, "low_freq": 100, "use_log_fbank": False}),
        ("mfcc", {"num_mel_bins": 30, "num_ceps": 30, "use_energy": False}),
        ("mfcc", {"num_ceps": 20, "cepstral_lifter": 0.0}),
        ("spectrogram", {}),
    ],
)
def test_equal_to_numpy_to_rounding(waves, kind, options):
    found = DeviceFeatures(front_end(kind, options))(torch.from_numpy(waves)).numpy()
    made = audio_options(kind, {**options, "snip_edges": True})
    for row, wave in enumerate(waves):
        expected = KINDS[kind](wave, made)
        assert found[row].shape == expected.shape
        np.testing.assert_allclose(found[row], expected, rtol=2e-4, atol=2e-3)


def test_rows_of_a_batch_do_not_depend_on_the_batch(waves):
    features = DeviceFeatures(front_end(options={"num_mel_bins": 80}, transforms=["cmn_utterance"]))
    whole = features(torch.from_numpy(waves))
    for row in range(len(waves)):
        np.testing.assert_allclose(features(torch.from_numpy(waves[row : row + 1]))[0], whole[row], atol=2e-4)


@pytest.mark.parametrize("window", [5, 20, 77, 78, 79, 300])
def test_a_sliding_mean_is_that_of_numpy(window):
    values = np.random.default_rng(0).normal(size=(3, 78, 7)).astype(np.float32) + 10
    found = normalize(torch.from_numpy(values), f"cmn_sliding_{window}").numpy()
    for row in range(3):
        expected = apply_cmvn_sliding(values[row], CmvnOptions(cmn_window=window, center=True))
        np.testing.assert_allclose(found[row], expected, atol=3e-6)


def test_means_and_deviations_of_the_chunk(waves):
    tensor = torch.from_numpy(waves)
    centred = DeviceFeatures(front_end(transforms=["cmn_utterance"]))(tensor)
    np.testing.assert_allclose(centred.mean(dim=1), 0, atol=1e-5)
    both = DeviceFeatures(front_end(transforms=["cmvn_utterance"]))(tensor)
    np.testing.assert_allclose(both.std(dim=1), 1, atol=1e-5)
    with pytest.raises(InputError, match="cannot be transformed by warp"):
        DeviceFeatures(front_end(transforms=["warp"]))


def test_only_the_frames_wanted_count(waves):
    """Frames that reach across a joint take part neither in the features nor in their mean."""
    frames = torch.tensor([[0, 1, 2, 7, 8, 9], [3, 4, 5, 6, 7, 8]])
    tensor = torch.from_numpy(waves[:2])
    plain = DeviceFeatures(front_end())(tensor)
    chosen = torch.stack([plain[0, frames[0]], plain[1, frames[1]]])
    assert torch.equal(DeviceFeatures(front_end())(tensor, frames), chosen)
    centred = DeviceFeatures(front_end(transforms=["vad", "cmn_utterance"]))(tensor, frames)
    np.testing.assert_allclose(centred, chosen - chosen.mean(dim=1, keepdim=True), atol=1e-6)


def test_masks_are_those_of_files(waves):
    spec_augment = SpecAugment(2, 20, 2, 8)
    features = DeviceFeatures(front_end(options={"num_mel_bins": 40}))(torch.from_numpy(waves))
    masks = [spec_augment.draw(chunk_rng(0, 0, str(row), 0), *features.shape[1:]) for row in range(len(waves))]
    masked = DeviceFeatures(front_end(options={"num_mel_bins": 40}))(
        torch.from_numpy(waves), masks=torch.from_numpy(np.stack(masks))
    )
    for row in range(len(waves)):
        expected = features[row].numpy().copy()
        spec_augment.apply(expected, chunk_rng(0, 0, str(row), 0))
        assert np.array_equal(masked[row].numpy(), expected)
        assert (masked[row] == 0).any()


def test_speechbrain_and_waveforms(waves):
    tensor = torch.from_numpy(waves)
    decibels = DeviceFeatures(front_end("speechbrain_fbank", {"n_mels": 60}))(tensor)
    assert torch.equal(decibels, SpeechBrainFbank(60)(tensor))
    assert DeviceFeatures(front_end("waveform", {"sample_frequency": 16000}))(tensor) is tensor


def test_autocast_takes_no_digits(waves):
    features = DeviceFeatures(front_end(options={"num_mel_bins": 80}, transforms=["cmn_utterance"]))
    expected = features(torch.from_numpy(waves))
    with torch.autocast("cpu", torch.bfloat16):
        found = features(torch.from_numpy(waves))
    assert torch.equal(found, expected)
    assert not found.requires_grad
