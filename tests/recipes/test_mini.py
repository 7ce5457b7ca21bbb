"""egs/mini whole: from nothing to the equal error rates, and what a second run and single stages do."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.recipes.running import call, copy_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """egs/mini in a directory of its own, beside links to everything else of the repository."""
    return copy_recipe(tmp_path, "mini")


def start(recipe: Path, *options: str) -> subprocess.CompletedProcess:
    """Calls run.sh from another directory, as the README says."""
    return call("bash", "egs/mini/run.sh", *options, cwd=recipe.parents[1])


def run(recipe: Path, *options: str) -> str:
    """What run.sh prints; it must succeed."""
    done = start(recipe, *options)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def cpu_seconds() -> float:
    """What the processes started here have used; the clock on the wall also counts what else the machine does."""
    used = os.times()
    return used.children_user + used.children_system


def stamps(recipe: Path) -> dict[Path, int]:
    """When each file was written; who holds a lock changes with every run."""
    files = (path for path in recipe.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {path: path.stat().st_mtime_ns for path in files}


def test_from_nothing_to_equal_error_rates(recipe):
    said = run(recipe)
    assert "synthetic" in said
    for stage in range(8):
        assert f"Stage {stage}:" in said

    results = {
        name: json.loads((recipe / "exp" / name / "results.json").read_text())
        for name in ("statistics/results/cosine", "xvector/results/cosine", "xvector/results/plda")
    }
    for name, result in results.items():
        assert result["trials"]["count"] == 180 * 179 // 2
        assert result["trials"]["targets"] == 12 * 15 * 14 // 2
        assert f"exp/{name}: EER {100 * result['eer']:.2f}%" in said
        for picture in ("det.png", "scores.png"):
            assert (recipe / "exp" / name / picture).read_bytes().startswith(b"\x89PNG")
    baseline, cosine, plda = (result["eer"] for result in results.values())
    assert 0.02 < cosine < 0.20
    assert 0.02 < plda < 0.20
    assert cosine <= 0.7 * baseline
    assert plda <= 0.7 * baseline

    before, begin = stamps(recipe), cpu_seconds()
    said = run(recipe)
    assert cpu_seconds() - begin < 30
    assert said.count("done already") == 18
    assert stamps(recipe) == before

    short = recipe / "conf" / "short.yaml"
    short.write_text((recipe / "conf" / "xvector.yaml").read_text().replace("epochs: 15", "epochs: 1"))
    said = run(recipe, "--stage", "3", "--stop-stage", "3", "--train-config", "conf/short.yaml")
    assert "Stage 3:" in said
    assert said.count("Stage") == 1
    assert (recipe / "exp" / "short" / "final.safetensors").is_file()
    assert {path.name for path in (recipe / "exp" / "short").iterdir()}.isdisjoint({"xvectors_test", "results"})


def test_an_unknown_option_is_refused_before_any_work(recipe):
    done = start(recipe, "--stge", "3")
    assert done.returncode == 1
    assert "--stge" in done.stderr
    assert "--stage" in done.stderr
    assert not (recipe / "data").exists()


def test_a_word_that_is_no_option_is_refused_before_any_work(recipe):
    done = start(recipe, "3", "--stage", "3")  # the options after it would be lost
    assert done.returncode == 1
    assert "not '3'" in done.stderr
    assert not (recipe / "data").exists()


def test_every_stage_is_short_and_help_tells_the_options(recipe):
    done = start(recipe, "--help")
    assert done.returncode == 0
    for word in ("synthetic", "--stage", "--stop-stage", "--nj", "--cmd"):
        assert word in done.stdout
    stages = (recipe / "run.sh").read_text().split("if [ ")[1:]
    assert len(stages) == 8
    for stage in stages:
        assert len(stage.strip().splitlines()) <= 2 + 6 + 1  # if, echo, up to six lines, fi
