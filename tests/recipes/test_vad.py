"""egs/vad whole, on a miniature of the laboratory's corpus: its tables, its pictures, and what it must achieve."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from local.miniature import Miniature
from tests.recipes.running import call, copy_recipe, recorded, results
from tests.shared import corpora

NETWORKS = ("lstm", "blstm", "lstm2")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """egs/vad in a directory of its own, beside links to everything else of the repository, and a corpus."""
    size = ["--rate", "8000", "--speakers", "12", "--utterances", "8", "--test-speakers", "4"]
    words = ["miniature.py", "vad", *recorded(), *size, str(tmp_path / "corpus")]
    assert Miniature.run(words, exit=False)[1] == 0
    return copy_recipe(tmp_path, "vad")


def run(recipe: Path, *options: str) -> subprocess.CompletedProcess:
    """Calls run.sh as the README says."""
    return call("bash", "egs/vad/run.sh", *options, cwd=recipe.parents[1])


def test_from_the_corpus_to_tables_and_pictures(recipe):
    corpus = str(recipe.parents[1] / "corpus")
    options = ["--corpus", corpus, "--snrs", "20 0"]
    done = run(recipe, *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "is a miniature: narrow networks" in done.stdout
    for stage in range(9):
        assert f"Stage {stage}:" in done.stdout

    for network in NETWORKS:
        for name in ("valid", "single"):
            found = results(recipe, network, name)
            assert sum(map(sum, found["confusion"])) == found["frames"]
            assert found["accuracy"] > found["majority_class_accuracy"] + 0.1
            assert (recipe / "exp" / network / "results" / name / "confusion.png").read_bytes().startswith(b"\x89PNG")
        for picture in ("overlay.png", "curves.png"):
            assert (recipe / "exp" / network / picture).read_bytes().startswith(b"\x89PNG")
        history = (recipe / "exp" / network / "metrics.jsonl").read_text().splitlines()
        assert len(history) == 4
        assert "valid_accuracy" in json.loads(history[-1])
    table = (recipe / "exp" / "results.md").read_text()
    assert [line.count("|") for line in table.splitlines()] == [8] * (2 + 2 * 4)

    for ratio in ("synthetic/20", "synthetic/0"):
        found = results(recipe, "noisy", ratio)
        assert found["accuracy"] > found["majority_class_accuracy"] + 0.1
        assert found["accuracy"] > results(recipe, "energy_kaldi", ratio)["accuracy"]
    assert results(recipe, "noisy", "synthetic/0")["accuracy"] > results(recipe, "energy", "synthetic/0")["accuracy"]
    assert (recipe / "exp/noisy/accuracy_synthetic.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((recipe / "exp/noisy/synthetic/0/vad.json").read_text())["method"] == "model"

    trained = (recipe / "exp/noisy/final.safetensors").stat().st_mtime_ns
    again = run(recipe, *options, "--stage", "6", "--stop-stage", "6")
    assert again.returncode == 0, again.stderr[-2000:]
    assert "train: runs again" not in again.stdout + again.stderr
    assert (recipe / "exp/noisy/final.safetensors").stat().st_mtime_ns == trained


@pytest.mark.nightly
def test_recordings_alone_and_real_noises_kind_by_kind(recipe):
    """No .mat: MFCC of the recordings and the labels beside them; kitchen and babble, not heard in training."""
    corpus = recipe.parents[1] / "corpus"
    for name in ("train.lst", "valid.lst", "single.lst"):
        (corpus / name).unlink()
    shutil.rmtree(corpus / "mat")
    noises = corpora("noises")
    done = run(recipe, "--corpus", str(corpus), "--kind", "wav", "--noises", str(noises), "--snrs", "5", "--nj", "1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for network in NETWORKS:
        for name in ("valid", "single"):
            found = results(recipe, network, name)
            assert found["accuracy"] > found["majority_class_accuracy"] + 0.1
    for kind in sorted(path.name for path in noises.iterdir()):
        found = results(recipe, "noisy", f"{kind}/5")
        assert found["accuracy"] > found["majority_class_accuracy"] + 0.1
        halves = [set((recipe / f"data/noise/{name}_{kind}/wav").iterdir()) for name in ("train", "valid")]
        assert not {path.read_bytes() for path in halves[0]} & {path.read_bytes() for path in halves[1]}
        table = (recipe / f"exp/noisy/results_{kind}.md").read_text()
        assert [line.count("|") for line in table.splitlines()] == [8] * (2 + 4)
    heard = (recipe / "data/noisy/train/wav.scp").read_text()
    assert "data/noise/train_kitchen" in heard
    assert "data/noise/valid" not in heard


def test_options_are_checked_before_any_work(recipe):
    assert "is not a folder" in run(recipe).stderr
    assert "--corpus" in run(recipe, "--corpsu", "x").stderr
    said = run(recipe, "--help").stdout
    for word in ("--corpus", "--stage", "--stop-stage", "--nj", "--cmd", "--mini"):
        assert word in said
    assert not (recipe / "data").exists()
