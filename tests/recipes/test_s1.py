"""What the VoxCeleb trainer's configurations promise, without a corpus (S1 of the shared SYSTEMS.md)."""

import numpy as np
import pytest
import torch

from spkid.data.audio_options import audio_options
from spkid.data.front_end import FrontEnd
from spkid.data.plan import EpochPlanner
from spkid.nnet import build_loss, build_model
from spkid.train.config import load_config
from spkid.train.embed import evaluation_crops
from spkid.train.extraction_options import crop_rows
from spkid.train.schedules import Schedule
from tests.shared import REPOSITORY

CONF = REPOSITORY / "egs/voxceleb/conf"
WAVEFORM = FrontEnd("waveform", {}, [], 1)
TRAINERS = ("resnet_se34l", "resnet_se34l_am", "resnet_se34v2", "vggvox", "rawnet3")

torch.set_num_threads(1)


@pytest.mark.parametrize(("frames", "samples"), [(200, 32_240), (300, 48_240), (400, 64_240)])
def test_crops_have_the_published_length(frames, samples):
    assert crop_rows(WAVEFORM, frames) == samples
    assert evaluation_crops(np.zeros(1000, np.float32), 10, samples).shape == (10, samples)


def test_ten_crops_begin_at_the_published_places():
    wave = np.arange(100_000, dtype=np.float32)
    starts = evaluation_crops(wave, 10, crop_rows(WAVEFORM, 400))[:, 0]
    assert starts.tolist() == [0, 3973, 7946, 11920, 15893, 19866, 23840, 27813, 31786, 35760]


def test_the_eleventh_epoch_has_the_first_lower_rate():
    config = load_config(CONF / "resnet_se34l.yaml")
    schedule = Schedule(config.schedule, 10)  # ten updates an epoch
    rates = [config.optimizer["lr"] * schedule.factor(10 * epoch) for epoch in range(25)]
    assert rates[:10] == pytest.approx([1e-3] * 10)
    assert rates[10:20] == pytest.approx([9.5e-4] * 10)
    assert rates[20] == pytest.approx(9.025e-4)


@pytest.mark.parametrize("name", ["resnet_se34l", "resnet_se34v2"])
def test_pairs_of_200_speakers_at_most_100_utterances_each(name):
    data = load_config(CONF / f"{name}.yaml").data
    speakers = np.repeat(np.arange(250), 121)
    planner = EpochPlanner(
        speakers,
        sampler=data.sampler,
        utterances_per_speaker=data.utterances_per_speaker,
        max_per_speaker=data.max_per_speaker,
        micro_batch=data.micro_batch,
        chunk_frames=data.chunk_frames,
        seed=10,
    )
    plan = planner.plan(0)
    assert plan.utterances.shape[1] == 400
    pairs = speakers[plan.utterances].reshape(len(plan), 200, 2)
    assert (pairs[..., 0] == pairs[..., 1]).all()
    assert all(len(set(batch)) == 200 for batch in pairs[..., 0])
    used = np.unique(plan.utterances)
    assert np.bincount(speakers[used]).max() <= 100


@pytest.mark.parametrize("name", TRAINERS)
def test_every_configuration_of_the_trainer_takes_waveforms(name):
    config = load_config(CONF / f"{name}.yaml")
    assert config.features.source == "audio"
    assert audio_options(config.features.type, config.features.options).sample_frequency == 16000
    assert config.seed == 10
    assert config.schedule["epochs"] == 500


@pytest.mark.parametrize("word", ["false", "False"])
def test_log_input_can_be_false(word):
    config = load_config(CONF / "resnet_se34l.yaml", [f"model.log_input={word}"])
    assert config.model["log_input"] is False
    torch.manual_seed(0)
    network = build_model(**config.model).eval()
    torch.manual_seed(0)
    logarithmic = build_model(**{**config.model, "log_input": True}).eval()
    wave = torch.randn(1, 16_240)
    with torch.no_grad():
        assert not torch.allclose(network(wave), logarithmic(wave), atol=1e-3)


def test_the_margin_of_the_lab_report_starts_at_chance_and_15():
    loss = load_config(CONF / "vggvox.yaml", ["loss.margin=1", "loss.scale=15"]).loss
    torch.manual_seed(0)
    criterion = build_loss(loss.pop("name"), embedding_dim=64, num_classes=4953, **loss)
    value = criterion(torch.randn(256, 64), torch.arange(256)).item()
    assert value == pytest.approx(np.log(4953) + 15, abs=2.0)
