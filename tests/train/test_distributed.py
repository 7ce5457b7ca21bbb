"""Several processes train what one trains: losses, running statistics and weights, to rounding."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from tests.shared import REPOSITORY
from tests.train.toy import CONFIG, make_data

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def write_config(path, **changes):
    values = yaml.safe_load(CONFIG)
    values["schedule"]["epochs"] = 2
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) and "name" not in value else value
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def run(*arguments, launcher=(sys.executable,)):
    command = [*launcher, REPOSITORY / "steps" / "train.py", *arguments]
    return subprocess.run([*map(str, command)], cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train")


def rows(directory):
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if "second" not in key} for line in lines]


def assert_same(left, right):
    for one, other in zip(rows(left), rows(right), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    ours, theirs = load_file(left / "final.safetensors"), load_file(right / "final.safetensors")
    assert ours.keys() == theirs.keys()
    assert any("running_var" in name for name in ours)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=2e-6, err_msg=name)


def test_two_processes_train_what_one_trains(data, tmp_path):
    config = write_config(tmp_path / "c.yaml", data={"micro_batches": 2})
    alone = run("--config", config, data, tmp_path / "one")
    assert alone.returncode == 0, alone.stderr
    shared = run("--config", config, "--num-processes", 2, data, tmp_path / "two")
    assert shared.returncode == 0, shared.stderr
    assert_same(tmp_path / "one", tmp_path / "two")
    assert shared.stderr.count("epoch 1:") == 1
    assert "done already" in run("--config", config, "--num-processes", 2, data, tmp_path / "two").stdout
