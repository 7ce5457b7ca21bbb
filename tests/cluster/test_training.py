"""Training as a job on a real Slurm: on two nodes of one allocation, and requeued in the middle."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from tests.cluster.engines import wait_for
from tests.shared import REPOSITORY
from tests.train.test_distributed import write_config
from tests.train.toy import make_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture
def start(slurm, tmp_path):
    def start(*arguments):
        words = [sys.executable, REPOSITORY / "steps" / "train.py", *arguments]
        environment = {**slurm.environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen([*map(str, words)], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def finish(process):
    _, said = process.communicate(timeout=400)
    assert process.returncode == 0, said


def test_two_nodes_train_what_two_processes_train(start, data, tmp_path):
    config = write_config(tmp_path / "c.yaml")
    launcher = f"{REPOSITORY}/utils/slurm.py --nodes 2 -p both"
    finish(start("--config", config, "--cmd", launcher, data, tmp_path / "nodes"))
    finish(start("--config", config, "--num-processes", 2, data, tmp_path / "processes"))
    nodes, processes = (load_file(tmp_path / name / "final.safetensors") for name in ("nodes", "processes"))
    assert nodes.keys() == processes.keys()
    assert all((nodes[name] == processes[name]).all() for name in nodes)


def test_a_requeued_training_goes_on_from_its_checkpoint(start, slurm, data, tmp_path):
    config = write_config(tmp_path / "c.yaml", checkpoints={"minutes": 1e-9}, schedule={"epochs": 8})
    finish(start("--config", config, data, tmp_path / "undisturbed"))
    process = start("--config", config, "--cmd", f"{REPOSITORY}/utils/slurm.py", data, tmp_path / "requeued")
    checkpoints = tmp_path / "requeued" / "checkpoints"
    wait_for(lambda: checkpoints.is_dir() and os.listdir(checkpoints), seconds=120)
    (record,) = (tmp_path / "requeued" / "log" / "q").glob("*.json")
    (identifier,) = json.loads(record.read_text())["ids"]
    assert slurm.ask("scontrol", "requeue", f"{identifier}_1").returncode == 0
    finish(process)
    log = (tmp_path / "requeued" / "log" / "train.1.log").read_text()
    assert log.count("# Started at") == 2
    ends = [(tmp_path / name / "final.safetensors").read_bytes() for name in ("undisturbed", "requeued")]
    assert ends[0] == ends[1]
