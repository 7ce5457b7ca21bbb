"""Every kind of batches and every sampler trains, is resumed exactly, and is refused where it does not fit."""

import json

import numpy as np
import pytest
import torch
import yaml

from spkid.kaldi import InputError
from spkid.train.config import config_from_dict
from spkid.train.run import train_from_directory
from tests.train.toy import make_data, write_trials

torch.set_num_threads(1)

COMMON = """
features: {type: mfcc, cmn: sliding, cmn_window: 30, vad: true}
threads: 1
device: cpu
model: {name: xvector, embedding_dim: 16, channels: 24, pooled_channels: 32, layer: far}
data: {chunk_frames: [24], micro_batch: 8}
optimizer: {name: adam, lr: 0.005}
schedule: {name: one_cycle, epochs: 3}
validation: {fraction: 0.3}
"""
KINDS = {
    "angular": {
        "loss": {"name": "angular_prototypical"},
        "data": {"sampler": "speakers_by_utterances", "utterances_per_speaker": 2, "max_per_speaker": 6},
    },
    "ge2e": {
        "loss": {"name": "ge2e"},
        "data": {"sampler": "speakers_by_utterances", "utterances_per_speaker": 3, "micro_batch": 9},
    },
    "softmax": {"loss": {"name": "softmax_prototypical"}, "data": {"sampler": "speakers_by_utterances"}},
    "pairs": {"loss": {"name": "triplet", "hard_rank": 1}, "data": {"sampler": "speakers_by_utterances"}},
    "triplets": {"loss": {"name": "cosine_triplet"}, "data": {"sampler": "triplets", "micro_batch": 12}},
    "hard": {
        "loss": {"name": "cosine_triplet"},
        "data": {
            "sampler": "hard_negatives",
            "micro_batch": 12,
            "hard_negatives": {"speakers": 5, "rounds": 3, "anchors": 2},
        },
    },
    "frames": {
        "model": {"name": "frame_mlp", "frames": 5, "channels": 12},
        "loss": {"name": "nll"},
        "data": {"batches": "frames", "micro_batch": 100},
    },
    "segments": {
        "model": {"name": "lstm_vad", "channels": 12},
        "loss": {"name": "bce"},
        "features": {"vad": False},
        "data": {"batches": "labelled_segments"},
    },
}


def config(kind=None, **changes):
    values = yaml.safe_load(COMMON)
    for part in (KINDS.get(kind, {}), changes):
        for key, value in part.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) and "name" not in value else value
    result = config_from_dict(values, "c.yaml")
    result.check_names("c.yaml")
    return result


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_trains_and_validates(data, tmp_path, kind):
    values = train_from_directory(config(kind), data, tmp_path / "exp")
    assert np.isfinite(values["train_loss"])
    assert np.isfinite(values["valid_loss"])
    assert 0 <= values["valid_accuracy"] <= 1
    assert 0 <= values["train_accuracy"] <= 1
    assert (tmp_path / "exp" / "final.json").exists()


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["pairs", "hard", "frames"])
def test_every_kind_goes_on_exactly(data, tmp_path, kind, monkeypatch):
    changed = config(kind, checkpoints={"minutes": 1e-9, "keep": 2})
    train_from_directory(changed, data, tmp_path / "straight")
    from spkid.train.journal import ProgressBar

    done, count = ProgressBar.update, 0

    def update(self, *arguments):
        nonlocal count
        count += 1
        done(self, *arguments)
        if count == stop:
            raise Killed

    rows = [json.loads(line) for line in (tmp_path / "straight" / "metrics.jsonl").read_text().splitlines()]
    stop = rows[0]["updates"] + max(rows[0]["updates"] // 2, 1)  # inside the second epoch
    monkeypatch.setattr(ProgressBar, "update", update)
    with pytest.raises(Killed):
        train_from_directory(changed, data, tmp_path / "killed")
    monkeypatch.setattr(ProgressBar, "update", done)
    train_from_directory(changed, data, tmp_path / "killed")
    straight, killed = ((tmp_path / name / "final.safetensors").read_bytes() for name in ("straight", "killed"))
    assert straight == killed


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        (None, {"loss": {"name": "ge2e"}}, "loss ge2e compares utterances: set data.sampler to speakers_by_utter"),
        (None, {"data": {"sampler": "triplets"}}, "sampler triplets makes triplets for the loss cosine_triplet, not"),
        ("hard", {"loss": {"name": "triplet"}}, "hard_negatives makes triplets for the loss cosine_triplet"),
        ("hard", {"data": {"micro_batch": 60}}, r"chooses 4 triplets a round: set data\.micro_batch to 12"),
        ("hard", {"data": {"chunk_frames": [20, 24]}}, "chunks of one length"),
        ("hard", {"data": {"hard_negatives": {"rouns": 1}}}, r"key 'data\.hard_negatives\.rouns' .did you mean"),
        ("pairs", {"data": {"utterances_per_speaker": 4}}, "takes pairs"),
        ("frames", {"loss": {"name": "softmax"}}, "frames goes together with the loss nll"),
        ("frames", {"data": {"batches": "chunks"}}, r"frame_mlp goes together with data\.batches frames"),
        ("frames", {"data": {"sampler": "triplets"}}, "takes utterances together"),
        ("segments", {"features": {"vad": True}}, r"say features\.vad: false"),
        ("segments", {"features": {"vad": False, "source": "audio"}}, "are made of features.source: files"),
        (None, {"data": {"global_batch": 20}}, "global_batch 20 is no multiple of data.micro_batch 8"),
        (None, {"data": {"global_batch": 32, "micro_batches": 3}}, "is another number"),
        (None, {"data": {"utterances_per_speaker": 1}}, "must be at least 2"),
    ],
)
def test_what_does_not_go_together_is_said(kind, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        config(kind, **changes)


def test_losses_between_utterances_are_not_accumulated(data, tmp_path):
    with pytest.raises(InputError, match=r"micro_batches is 2, but must be the number of processes, 1"):
        train_from_directory(config("angular", data={"micro_batches": 2}), data, tmp_path / "exp")


def test_the_global_batch_decides_how_much_is_accumulated():
    changed = config(data={"global_batch": 32})
    assert changed.data.micro_batches == 4
    assert config_from_dict(changed.to_dict(), "again") == changed
    assert changed.what_decides() == config(data={"micro_batches": 4}).what_decides()


def test_a_frame_network_knows_its_speakers(data, tmp_path):
    train_from_directory(config("frames"), data, tmp_path / "exp")
    description = json.loads((tmp_path / "exp" / "final.json").read_text())
    assert description["config"]["model"]["num_classes"] == 6
    changed = config("frames", model={"name": "frame_mlp", "frames": 5, "num_classes": 4})
    with pytest.raises(InputError, match=r"model\.num_classes is 4, but there are 6 speakers here"):
        train_from_directory(changed, data, tmp_path / "other")


def test_segments_of_unknown_speakers_are_held_out_too(tmp_path):
    data = make_data(tmp_path / "train", speakers=12, utterances=1)
    values = train_from_directory(config("segments", data={"micro_batch": 4}), data, tmp_path / "exp")
    assert "valid_loss" in values
    trials = write_trials(data)
    with pytest.raises(InputError, match="labelled_segments: such a network gives no vectors to score trials with"):
        train_from_directory(config("segments"), data, tmp_path / "other", data, trials)
