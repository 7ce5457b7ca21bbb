"""steps/prepare_feats_for_egs.py and steps/train.py as commands on files."""

import json
import subprocess
import sys

import numpy as np
import pytest

from spkid.data.source import FeatureSource
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.tables import read_id_map, read_script, write_id_map
from tests.shared import REPOSITORY
from tests.train.toy import CONFIG, make_data

PREPARE = ["--nj", "2", "--cmn-window", "30", "--compress", "false", "--min-frames", "45", "--min-utts", "5"]


def run(step, *arguments):
    command = [sys.executable, f"steps/{step}.py", *map(str, arguments)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr, result.stderr
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    make_data(work / "train")
    (work / "system.yaml").write_text(CONFIG, encoding="utf-8")
    return work


def prepared(work, name, *options):
    result = run("prepare_feats_for_egs", *PREPARE, *options, work / "train", work / name)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_written_features_and_features_on_the_fly_are_the_same(work):
    written, recorded = prepared(work, "written"), prepared(work, "recorded", "--on-the-fly", "true")
    assert written.split(" (")[0] == recorded.split(" (")[0]
    scripts = read_script(str(work / "written" / "feats.scp"))
    source = FeatureSource(work / "recorded", ["cmn_sliding_30", "vad"])
    assert source.ids == list(scripts)
    for index, utterance in enumerate(source.ids):
        assert np.array_equal(source.whole(index), load_matrix(scripts[utterance]))
    counts = [read_id_map(str(work / name)) for name in ("written/utt2num_frames", "recorded/utt2num_voiced")]
    assert counts[0] == counts[1]
    assert json.loads((work / "written" / "feats.json").read_text())["applied"] == ["cmn_sliding_30", "vad"]
    assert json.loads((work / "recorded" / "feats.json").read_text())["applied"] == []
    assert "done already" in prepared(work, "written")


def test_short_utterances_and_small_speakers_are_dropped_and_counted(work):
    source = FeatureSource(work / "train", ["vad"])
    speakers = read_id_map(str(work / "train" / "utt2spk"))
    long_enough = [utterance for utterance, count in zip(source.ids, source.num_frames, strict=True) if count >= 50]
    members = {speaker: [one for one in long_enough if speakers[one] == speaker] for speaker in set(speakers.values())}
    smallest = min(map(len, members.values()))
    expected = sorted(one for group in members.values() if len(group) > smallest for one in group)
    out = work / "dropped"
    options = ["--on-the-fly", "true", "--min-frames", "50", "--min-utts", smallest + 1]
    result = run("prepare_feats_for_egs", *options, work / "train", out)
    assert result.returncode == 0, result.stderr
    assert list(read_id_map(str(out / "utt2spk"))) == expected
    assert f"{len(expected)} of 60 utterances" in result.stdout
    assert f"{60 - len(long_enough)} utterances under 50 frames" in result.stdout


def test_nothing_left_is_an_error_that_says_what_to_lower(work):
    result = run("prepare_feats_for_egs", "--on-the-fly", "true", "--min-frames", "5000", work / "train", work / "none")
    assert result.returncode == 1
    assert "lower --min-frames or --min-utts" in result.stderr


def test_features_of_one_step_train_with_the_configuration_of_the_same_kind_only(work):
    prepared(work, "recorded", "--on-the-fly", "true")
    arguments = ["--config", work / "system.yaml", "--set", "features.cmn_window=31", work / "recorded", work / "exp0"]
    result = run("train", *arguments)
    assert result.returncode == 1
    assert "prepared for cmn_sliding_30 then vad, but the configuration asks for cmn_sliding_31" in result.stderr


def test_written_and_recorded_train_to_the_same_bytes(work):
    prepared(work, "written")
    prepared(work, "recorded", "--on-the-fly", "true")
    options = ["--config", work / "system.yaml", "--set", "data.memory_mb=0"]
    for name, launcher in {"written": [], "recorded": ["--cmd", "utils/run.py"]}.items():
        result = run("train", *options, *launcher, work / name, work / f"exp_{name}")
        assert result.returncode == 0, result.stderr
        assert "4 epochs, training accuracy" in result.stdout
    first, second = (work / f"exp_{name}" / "final.safetensors" for name in ("written", "recorded"))
    assert first.read_bytes() == second.read_bytes()
    again = run("train", *options, "--set", "data.workers=1", work / "written", work / "exp_written")
    assert again.returncode == 0
    assert "done already" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--confg", "x.yaml", "{work}/train", "{work}/exp1"], "did you mean --config"),
        (["--config", "{work}/none.yaml", "{work}/train", "{work}/exp1"], "none.yaml"),
        (["--config", "{work}/system.yaml", "--set", "optimizer.lrr=1", "{work}/train", "{work}/exp1"], "optimizer.lr"),
        (["--config", "{work}/system.yaml", "--set", "model.nam=1", "{work}/train", "{work}/exp1"], "model.name"),
        (["--config", "{work}/system.yaml", "{work}/nothing", "{work}/exp1"], "nothing"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence(work, arguments, sentence):
    result = run("train", *(argument.replace("{work}", str(work)) for argument in arguments))
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (work / "exp1" / "final.json").exists()


def test_a_data_directory_is_checked_before_training(tmp_path):
    data = make_data(tmp_path / "train", speakers=2, utterances=6)
    speakers = read_id_map(str(data / "utt2spk"))
    del speakers["spk01-utt04"]
    write_id_map(str(data / "utt2spk"), speakers)
    (tmp_path / "system.yaml").write_text(CONFIG, encoding="utf-8")
    result = run("train", "--config", tmp_path / "system.yaml", data, tmp_path / "exp")
    assert result.returncode == 1
    assert "speaker spk01" in result.stderr
    assert "utils/fix_data_dir.py" in result.stderr
