"""What goes wrong under a running recipe: one clear sentence, exit status 1, and the next run repairs what is missing.

Other faults are tested where they belong: a job or a step that is killed (tests/jobs, tests/train, tests/local), two
runs of one step and a disk that fills up under features (tests/steps/test_features_steps.py), whole recipes killed
(kill_recipe.py here).
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from spkid.kaldi.lists import read_id_map, write_id_map
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table
from tests.shared import REPOSITORY
from tests.steps.test_features_steps import write_corpus
from tests.train.toy import CONFIG, make_data

MFCC = ("data/train", "exp/make_mfcc", "mfcc")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def corpus(here):
    """data/train of twelve utterances and a configuration."""
    write_corpus(here / "data/train")
    (here / "conf").mkdir()
    (here / "conf/mfcc.conf").write_text("--num-ceps=20\n--num-mel-bins=24\n")
    (here / "conf/vad.conf").write_text("--vad-energy-threshold=5.5\n")
    return here


@pytest.fixture
def training(here):
    """A toy training set, and a configuration with two epochs."""
    make_data(here / "data/toy")
    (here / "system.yaml").write_text(CONFIG.replace("epochs: 4", "epochs: 2"), encoding="utf-8")
    return "--config", "system.yaml", "data/toy", "exp/toy"


@pytest.fixture
def trials(here):
    """Vectors of 120 utterances, and all their pairs as trials: a score file of 340 kB."""
    names = [f"s{index // 6:02d}-u{index:03d}" for index in range(120)]
    with TableWriter("ark,scp:vectors.ark,vectors.scp", VECTOR) as writer:
        for name, vector in zip(names, np.random.default_rng(0).standard_normal((120, 8)), strict=True):
            writer.write(name, vector.astype(np.float32))
    pairs = [(one, other) for index, one in enumerate(names) for other in names[index + 1 :]]
    lines = [f"{one} {other} {'' if one[:3] == other[:3] else 'non'}target\n" for one, other in pairs]
    Path("trials").write_text("".join(lines))
    return "trials", "vectors.scp", "vectors.scp"


def step(name, *words, status=0):
    """Runs a step as a user does; what it said on both streams. A failure is one line on standard error."""
    command = [sys.executable, str(REPOSITORY / "steps" / f"{name}.py"), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == status, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    if status:
        assert result.stderr.rstrip().splitlines()[-1].startswith(f"{name}.py: error: "), result.stderr
    return result.stdout + result.stderr


@contextmanager
def file_system(place: Path, size: str):
    """A small file system of its own, mounted at `place`; yields what changes its options."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system of our own can be mounted: {mounted.stderr.strip()}")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def stamps(pattern):
    return {str(path): path.stat().st_mtime_ns for path in Path().glob(pattern)}


def features():
    return dict(read_table("scp:data/train/feats.scp", MATRIX))


def test_a_disk_that_fills_up_under_scores(here, trials):
    with file_system(here / "exp", "100k") as change:
        said = step("score_trials", *trials, "exp/scores", status=1)
        assert "exp/scores: No space left on device" in said
        assert not Path("exp/scores").exists()
        assert not list(Path("exp").rglob(".*.tmp"))
        change("size=2m")
        step("score_trials", *trials, "exp/scores")
        step("score_trials", *trials, "scores")
        assert Path("exp/scores").read_bytes() == Path("scores").read_bytes()


def test_a_disk_that_fills_up_under_training(here, training):
    with file_system(here / "exp", "64k") as change:
        said = step("train", *training, status=1)
        assert "No space left on device" in said
        assert not Path("exp/toy/final.json").exists()
        change("size=20m")
        step("train", *training)
        assert Path("exp/toy/final.safetensors").is_file()


def test_an_output_directory_that_became_read_only(corpus, trials):
    with file_system(corpus / "mfcc", "2m") as change:
        change("ro")
        said = step("make_mfcc", "--nj", 2, *MFCC, status=1)
        assert "mfcc" in said
        assert "Read-only file system" in said
        assert len(said.splitlines()) == 1
        change("rw")
        step("make_mfcc", "--nj", 2, *MFCC)
        assert len(features()) == 12
        change("ro")
        assert "Read-only file system" in step("score_trials", *trials, "mfcc/scores", status=1)
        assert "Read-only file system" in step("make_mfcc", "--nj", 2, *MFCC, status=1)
        change("rw")
        assert "done already" in step("make_mfcc", "--nj", 2, *MFCC)


def test_a_worker_that_is_killed_for_want_of_memory(corpus):
    wav = read_id_map("data/train/wav.scp")
    victim = list(wav)[3]
    write_id_map("data/train/wav.scp", wav | {victim: f"kill -9 $PPID; cat {wav[victim]} |"})
    said = step("make_mfcc", "--nj", 2, *MFCC, status=1)
    assert "1 of 2 jobs failed; exp/make_mfcc/make_mfcc_train.1.log says: killed (signal 9), perhaps out of" in said
    before = stamps("mfcc/*.2.ark")
    write_id_map("data/train/wav.scp", wav)
    said = step("make_mfcc", "--nj", 2, *MFCC)
    assert "goes on: 1 of 2 parts are finished" in said
    assert stamps("mfcc/*.2.ark") == before
    assert len(features()) == 12


def test_an_audio_file_that_is_cut_short_between_stages(corpus):
    step("make_mfcc", "--nj", 3, *MFCC)
    whole, before = features(), stamps("mfcc/*.ark")
    victim, path = list(read_id_map("data/train/wav.scp").items())[7]
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])
    said = step("make_mfcc", "--nj", 3, *MFCC, status=1)
    assert "a file listed in input data/train/wav.scp changed" in said
    assert f"{victim} is left out" in said
    assert "11 of 12 utterances done" in said
    assert not Path("data/train/feats.scp").exists()
    Path(path).write_bytes(content)
    step("make_mfcc", "--nj", 3, *MFCC)
    again, after = features(), stamps("mfcc/*.ark")
    assert all(np.array_equal(again[one], whole[one]) for one in whole)
    assert [name for name in before if before[name] != after[name]] == ["mfcc/raw_mfcc_train.2.ark"]


def test_an_archive_whose_end_is_missing(corpus):
    step("make_mfcc", "--compress", "false", "--nj", 3, *MFCC)
    whole, before = features(), stamps("mfcc/*.ark")
    archive = Path("mfcc/raw_mfcc_train.3.ark")
    os.truncate(archive, archive.stat().st_size - 2000)
    said = step("compute_vad_decision", "--nj", 1, "data/train", "exp/make_vad", "mfcc", status=1)
    assert "raw_mfcc_train.3.ark: truncated or damaged" in said
    said = step("make_mfcc", "--compress", "false", "--nj", 3, *MFCC)
    assert "a file listed in output data/train/feats.scp changed" in said
    assert "goes on: 2 of 3 parts are finished" in said
    again, after = features(), stamps("mfcc/*.ark")
    assert all(np.array_equal(again[one], whole[one]) for one in whole)
    assert [name for name in before if before[name] != after[name]] == [str(archive)]
    step("compute_vad_decision", "--nj", 1, "data/train", "exp/make_vad", "mfcc")


def test_weights_and_checkpoints_that_are_cut_in_half(training):
    step("train", *training)
    exp = Path("exp/toy")
    weights = (exp / "final.safetensors").read_bytes()
    os.truncate(exp / "final.safetensors", len(weights) // 2)
    said = step("extract_xvectors", "exp/toy", "data/toy", "exp/vectors", status=1)
    assert "exp/toy/final.safetensors" in said
    newest = max((exp / "checkpoints").iterdir())
    os.truncate(newest, newest.stat().st_size // 2)
    said = step("train", *training)
    assert "output exp/toy/final.safetensors changed" in said
    assert newest.name in said
    assert (exp / "final.safetensors").read_bytes() == weights


def test_two_runs_at_once_in_one_directory(training):
    words = [sys.executable, str(REPOSITORY / "steps" / "train.py"), *training]
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (Path("exp/toy/.lock").exists() and Path("exp/toy/.lock").read_bytes()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        said = step("train", *training, status=1)
        assert f"exp/toy is in use by process {first.pid} on " in said
        assert "steps/train.py --config system.yaml" in said
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    step("train", *training)
