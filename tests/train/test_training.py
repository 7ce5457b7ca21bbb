"""Training learns, is reproducible to the byte, survives being killed, and says what is wrong with its data."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, TableWriter, read_script, write_id_map
from spkid.train.config import config_from_dict
from spkid.train.evaluation import hold_out
from spkid.train.run import train_from_directory
from tests.shared import REPOSITORY
from tests.train.toy import CONFIG, make_data, write_trials

torch.set_num_threads(1)


def config(**changes):
    values = yaml.safe_load(CONFIG)
    values["optimizer"]["lr"] = 0.005
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            values[key] = {**values[key], **value}
        else:
            values[key] = value
    return config_from_dict(values, "test")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train")


def weights(directory):
    return (directory / "final.safetensors").read_bytes()


def test_an_experiment_is_complete(data, tmp_path):
    development = make_data(tmp_path / "dev", speakers=4, utterances=5, seed=1)
    values = train_from_directory(config(), data, tmp_path / "exp", development, write_trials(development))
    names = {path.name for path in (tmp_path / "exp").iterdir()}
    assert names >= {"config.json", "speakers.txt", "train.log", "metrics.jsonl", "curves.png", "checkpoints",
                     "tensorboard", "final.safetensors", "final.json"}  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "exp" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1] == values
    assert ["dev_eer" in row for row in rows] == [False, True, False, True]
    assert all("valid_accuracy" in row for row in rows)
    log = (tmp_path / "exp" / "train.log").read_text()
    assert log.startswith("# ")
    assert re.search(r"Model has \d+ parameters", log)
    description = json.loads((tmp_path / "exp" / "final.json").read_text())
    assert description["front_end"]["transforms"] == ["cmn_sliding_30", "vad"]
    assert description["front_end"]["options"] == {"num_ceps": 8}
    assert {"torch", "spkid", "python"} <= description["versions"].keys()
    assert len(list((tmp_path / "exp" / "checkpoints").iterdir())) == 2


def test_training_learns(tmp_path):
    data = make_data(tmp_path / "train", speakers=4, utterances=20)
    changed = config(schedule={"epochs": 25}, data={"spec_augment": {}})
    values = train_from_directory(changed, data, tmp_path / "exp")
    assert values["train_accuracy"] > 0.9
    assert values["valid_accuracy"] > 0.7


def test_the_same_run_gives_the_same_bytes_and_another_seed_does_not(data, tmp_path):
    for name, changed in {
        "first": config(),
        "again": config(),
        "disk": config(data={"memory_mb": 0, "workers": 2}),
        "seed": config(seed=1),
    }.items():
        train_from_directory(changed, data, tmp_path / name)
    assert weights(tmp_path / "first") == weights(tmp_path / "again")
    assert weights(tmp_path / "first") == weights(tmp_path / "disk")
    assert weights(tmp_path / "first") != weights(tmp_path / "seed")


def test_accumulated_micro_batches_are_one_update(data, tmp_path):
    values = train_from_directory(config(data={"micro_batches": 3}), data, tmp_path / "exp")
    assert values["updates"] == 4 * (54 // 24)


RUN = """
import sys, time
from pathlib import Path
from spkid.train.journal import ProgressBar
from spkid.train.config import load_config
from spkid.train.run import train_from_directory
done = ProgressBar.update
def slow(self, *arguments):
    done(self, *arguments)
    print("update", flush=True)
    time.sleep(float(sys.argv[4]))
ProgressBar.update = slow
train_from_directory(load_config(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


def history(directory):
    """metrics.jsonl but for the times."""
    rows = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{key: row[key] for key in row if key not in ("seconds", "utterances_per_second")} for row in rows]


def start(config_file, data, directory, pause):
    command = [sys.executable, "-c", RUN, str(config_file), str(data), str(directory), str(pause)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def test_a_killed_run_ends_in_the_same_bytes(data, tmp_path):
    # A checkpoint after every update, an optimiser with state, dropout-like randomness from the masks.
    text = CONFIG + "checkpoints: {minutes: 1e-9, keep: 3}\n"
    config_file = tmp_path / "c.yaml"
    config_file.write_text(text, encoding="utf-8")
    straight = start(config_file, data, tmp_path / "straight", 0)
    assert straight.wait(120) == 0
    for kill_after in (9, 4):  # inside the second epoch; then again, inside what follows
        process = start(config_file, data, tmp_path / "killed", 0.05)
        for _ in range(kill_after):
            assert process.stdout.readline() == "update\n"
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed" / "final.json").exists()
    last = start(config_file, data, tmp_path / "killed", 0)
    updates_left = len(last.stdout.read().splitlines())
    assert last.wait() == 0
    assert updates_left < 24 - 9  # it went on and did not begin again
    assert weights(tmp_path / "killed") == weights(tmp_path / "straight")
    assert history(tmp_path / "killed") == history(tmp_path / "straight")


def test_a_damaged_checkpoint_is_passed_over(data, tmp_path):
    expected = train_from_directory(config(), data, tmp_path / "straight")
    (tmp_path / "exp").mkdir()
    train_from_directory(config(), data, tmp_path / "exp")
    newest = max((tmp_path / "exp" / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    (tmp_path / "exp" / "final.json").unlink()
    assert train_from_directory(config(), data, tmp_path / "exp")["train_loss"] == expected["train_loss"]
    assert weights(tmp_path / "exp") == weights(tmp_path / "straight")


def test_another_configuration_does_not_go_on_from_here(data, tmp_path, capsys):
    train_from_directory(config(), data, tmp_path / "exp")
    train_from_directory(config(seed=5), data, tmp_path / "exp")
    assert "another configuration" in capsys.readouterr().err
    assert (tmp_path / "exp" / "checkpoints.replaced").is_dir()
    train_from_directory(config(seed=5), data, tmp_path / "straight")
    assert weights(tmp_path / "exp") == weights(tmp_path / "straight")


def test_loss_that_is_not_a_number_names_the_utterances(data, tmp_path):
    sentence = r"became (nan|inf) in epoch \d, update \d+, on the utterances spk\d\d-utt\d\d"
    with pytest.raises(InputError, match=sentence):
        train_from_directory(config(optimizer={"name": "sgd", "lr": 1e30}, clip_norm=0), data, tmp_path / "exp")


def test_bf16_training_stays_finite(data, tmp_path):
    values = train_from_directory(config(precision="bf16"), data, tmp_path / "exp")
    assert np.isfinite(values["train_loss"])
    assert all(value.isfinite().all() for value in load_file(tmp_path / "exp" / "final.safetensors").values())


def test_an_utterance_without_features_is_named(tmp_path):
    data = make_data(tmp_path / "train", speakers=2, utterances=6)
    scripts = read_script(str(data / "feats.scp"))
    with TableWriter(f"ark,scp:{data}/empty.ark,{data}/empty.scp", MATRIX) as writer:
        writer.write("spk00-utt03", np.zeros((0, 0), np.float32))
    scripts["spk00-utt03"] = read_script(str(data / "empty.scp"))["spk00-utt03"]
    write_id_map(str(data / "feats.scp"), scripts)
    (data / "utt2num_frames").unlink()
    with pytest.raises(InputError, match="utterance spk00-utt03 has no frame left"):
        train_from_directory(config(features={"vad": False}), data, tmp_path / "exp")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"features": {"type": "fbank"}}, "its features are mfcc, but the configuration says features.type: fbank"),
        ({"data": {"micro_batch": 4000}}, "54 training utterances do not fill one batch of 4000"),
        ({"data": {"chunk_frames": [200, 5]}}, "chunk_frames 5: the network xvector needs at least 15 frames"),
        ({"device": "cuda"}, "torch finds no GPU" if not torch.cuda.is_available() else None),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(data, tmp_path, change, sentence):
    if sentence is None:
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match=sentence):
        train_from_directory(config(**change), data, tmp_path / "exp")


def test_held_out_utterances_leave_everybody_two_thirds():
    ids = [f"s{speaker}-{number}" for speaker in range(5) for number in range(6)]
    speakers = np.repeat(np.arange(5), 6)
    held = hold_out(ids, speakers, 0.5, 1000, 0)
    assert (np.bincount(speakers[held], minlength=5) == 2).all()
    assert hold_out(ids, speakers, 0.1, 1000, 0).sum() == 3
    assert hold_out(ids, speakers, 0.5, 4, 0).sum() == 4
    assert not hold_out(ids, speakers, 0.0, 1000, 0).any()


def test_frozen_configuration_differs_only_where_it_was_changed():
    assert replace(config(), seed=1) == config(seed=1)
