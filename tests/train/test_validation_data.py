"""Validation on a directory of its own: the same numbers as where these utterances are held out of the training set."""

import json
from pathlib import Path

import numpy as np
import pytest

from spkid.kaldi import InputError
from spkid.kaldi.tables import read_id_map, write_id_map
from spkid.train.config import TrainConfig, config_from_dict
from spkid.train.evaluation import hold_out
from spkid.train.run import train_from_directory
from spkid.train.yaml_text import load
from tests.train.toy import CONFIG, make_data

KINDS = {
    "chunks": {},
    "frames": {
        "model": {"name": "frame_mlp", "frames": 5, "channels": 16},
        "loss": {"name": "nll"},
        "data": {"batches": "frames", "micro_batch": 100},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "all")


def config(tmp_path: Path, kind: str = "chunks") -> TrainConfig:
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    values = load(tmp_path / "config.yaml")
    values |= {"schedule": {"name": "one_cycle", "epochs": 2}, "validation": {"fraction": 0.2}, **KINDS[kind]}
    return config_from_dict(values, "toy")


def part(data: Path, directory: Path, utterances: list[str]) -> Path:
    """Some utterances of a data directory as another one."""
    directory.mkdir()
    for name in ("utt2spk", "feats.scp", "vad.scp", "utt2num_frames"):
        table = read_id_map(data / name)
        write_id_map(directory / name, {utterance: table[utterance] for utterance in utterances})
    (directory / "feats.json").write_text((data / "feats.json").read_text())
    return directory


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_of_its_own_is_as_good_as_utterances_held_out(kind, data, tmp_path):
    expected = train_from_directory(config(tmp_path, kind), data, tmp_path / "held_out")
    speaker_of = read_id_map(data / "utt2spk")
    ids = list(speaker_of)
    codes = np.unique(list(speaker_of.values()), return_inverse=True)[1]
    held = hold_out(ids, codes, 0.2, 1000, 0)
    assert held.sum() == 12
    train = part(data, tmp_path / "train", [one for one, out in zip(ids, held, strict=True) if not out])
    valid = part(data, tmp_path / "valid", [one for one, out in zip(ids, held, strict=True) if out])
    values = train_from_directory(config(tmp_path, kind), train, tmp_path / "given", valid_dir=valid)
    for key in ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"):
        assert values[key] == expected[key]


def test_speakers_that_training_does_not_know_are_refused(data, tmp_path):
    ids = list(read_id_map(data / "utt2spk"))
    train = part(data, tmp_path / "train", [one for one in ids if not one.startswith("spk00")])
    with pytest.raises(InputError, match="1 of its speakers are not among those of training, spk00 for one"):
        train_from_directory(config(tmp_path), train, tmp_path / "exp", valid_dir=data)


def test_features_made_otherwise_are_refused(data, tmp_path):
    valid = part(data, tmp_path / "valid", list(read_id_map(data / "utt2spk")))
    record = json.loads((valid / "feats.json").read_text())
    record["options"]["num_ceps"] = 9
    (valid / "feats.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="num_ceps=9"):
        train_from_directory(config(tmp_path), data, tmp_path / "exp", valid_dir=valid)
