"""egs/mini whole with `--cmd utils/slurm.py` on a real Slurm: the same scores as on this machine alone."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from tests.recipes.running import copy_recipe
from tests.shared import REPOSITORY

RESULTS = ("exp/xvector/results/scores_plda", "exp/xvector/results/scores_cosine", "exp/xvector/final.safetensors")


@pytest.fixture
def recipe(tmp_path):
    """A copy of the recipe in a checkout of its own, without what earlier runs have left."""
    return copy_recipe(tmp_path, "mini")


def run(recipe, environment, *options):
    process = subprocess.Popen(
        ["bash", "run.sh", *options],
        cwd=recipe,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        said, _ = process.communicate(timeout=1200)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
    assert process.returncode == 0, said[-4000:]
    return said


def test_mini_on_slurm(slurm, recipe):
    launcher = f"{REPOSITORY}/utils/slurm.py"
    run(recipe, slurm.environment, "--cmd", launcher, "--gpu-cmd", launcher)
    there = {name: (recipe / name).read_bytes() for name in RESULTS}
    for call in ("exp/make_mfcc/q/make_mfcc_train.json", "exp/xvector/log/q/train.json"):
        record = json.loads((recipe / call).read_text())
        assert (record["launcher"], record["engine"], record["failed"]) == ("slurm.py", "slurm", {}), call
    for folder in ("exp", "mfcc"):
        shutil.rmtree(recipe / folder)
    for features in recipe.glob("data/*/feats.scp"):
        features.unlink()
    run(recipe, os.environ)
    for name, content in there.items():
        assert (recipe / name).read_bytes() == content, name
