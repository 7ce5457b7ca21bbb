"""Several processes train what one trains: losses, running statistics and weights, to rounding."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from spkid.kaldi import InputError
from spkid.kaldi.tables import read_script
from spkid.train.launch import run_processes
from tests.shared import REPOSITORY
from tests.train.toy import CONFIG, make_data

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def write_config(path, **changes):
    values = yaml.safe_load(CONFIG)
    values["schedule"]["epochs"] = 3
    values["data"]["micro_batches"] = 2
    for key, value in changes.items():
        values[key] = {**values.get(key, {}), **value}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def start(*arguments, launcher=(sys.executable,)):
    command = [*launcher, REPOSITORY / "steps" / "train.py", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, command)], cwd=REPOSITORY, env=ENVIRONMENT, **pipes)


def run(*arguments, launcher=(sys.executable,)):
    process = start(*arguments, launcher=launcher)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture(scope="module")
def shared(data, tmp_path_factory):
    """A training shared by two processes, and what it said."""
    directory = tmp_path_factory.mktemp("shared")
    config = write_config(directory / "c.yaml", checkpoints={"minutes": 1e-9})
    status, _, err = run("--config", config, "--num-processes", 2, data, directory / "exp")
    assert status == 0, err
    return config, directory / "exp", err


def rows(directory):
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if "second" not in key} for line in lines]


def test_two_processes_train_what_one_trains(data, shared, tmp_path):
    config, directory, said = shared
    status, _, err = run("--config", config, data, tmp_path / "one")
    assert status == 0, err
    for one, two in zip(rows(tmp_path / "one"), rows(directory), strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    one, two = (load_file(path / "final.safetensors") for path in (tmp_path / "one", directory))
    assert one.keys() == two.keys()
    assert any("running_var" in name for name in one)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=2e-6, err_msg=name)
    assert said.count("epoch 1:") == 1
    assert "done already" in run("--config", config, "--num-processes", 2, data, directory)[1]


def test_two_interrupted_processes_end_in_the_same_bytes(data, shared, tmp_path):
    config, directory, _ = shared
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start("--config", config, "--num-processes", 2, data, tmp_path / "exp")
    checkpoints = tmp_path / "exp" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("epoch001-batch*2.pt")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "exp" / "final.json").exists()
    status, out, err = run("--config", config, data, tmp_path / "exp", launcher=torchrun)
    assert status == 0, err
    assert "goes on in epoch 2" in err
    assert out.count("train:") == 1  # the step's last line, by process 0
    assert (tmp_path / "exp" / "final.safetensors").read_bytes() == (directory / "final.safetensors").read_bytes()


def test_what_one_process_fails_at_ends_all_with_one_sentence(tmp_path):
    data = make_data(tmp_path / "train", speakers=2, utterances=8)
    last = int(read_script(str(data / "feats.scp"))["spk01-utt07"].rpartition(":")[2])
    (data / "feats.ark").write_bytes((data / "feats.ark").read_bytes()[: last + 20])
    config = write_config(tmp_path / "c.yaml", data={"memory_mb": 0, "micro_batch": 2}, validation={"fraction": 0.0})
    status, _, err = run("--config", config, "--num-processes", 2, data, tmp_path / "exp")
    assert status == 1
    assert err.count("error:") == 1
    assert err.count("utterance spk01-utt07") == 1
    assert "Traceback" not in err


def test_batches_that_processes_cannot_share_are_refused(data, tmp_path):
    config = write_config(tmp_path / "c.yaml", data={"micro_batches": 3})
    status, _, err = run("--config", config, "--num-processes", 2, data, tmp_path / "exp")
    assert status == 1
    assert "data.micro_batches is 3, which 2 processes cannot share evenly" in err
    assert err.count("error:") == 1


DIES = """
import os, signal, time
if os.environ["RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


def test_a_process_that_is_killed_ends_the_others(monkeypatch):
    monkeypatch.setattr("spkid.train.launch.NOTICE_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(InputError, match="process 2 of 3 was ended by SIGKILL"):
        run_processes(3, [sys.executable, "-c", DIES])
    assert time.monotonic() - began < 20


COMPARE = """
import json, sys, torch
from spkid.train.distributed import Processes
from spkid.nnet import build_loss
from spkid.train.objective import Objective
torch.set_num_threads(1)
with Processes() as processes:
    for name in ("ge2e", "softmax_prototypical", "triplet"):
        torch.manual_seed(0)
        network = torch.nn.Linear(6, 4)
        objective = Objective(build_loss(name, embedding_dim=4, num_classes=8), True, 2)
        rows, labels = torch.randn(16, 6), torch.arange(8).repeat_interleave(2)
        own = [part.chunk(processes.count)[processes.rank] for part in (rows, labels)]
        output, labels = processes.gather(network(own[0]), own[1])
        torch.manual_seed(1)
        value, correct = objective(output, labels)
        value.backward()
        learned = [*network.parameters(), *objective.criterion.parameters()]
        total = processes.average(learned, torch.stack([value.detach().double() * len(own[0])]))
        gradient = torch.cat([one.grad.flatten() for one in learned if one.grad is not None])
        if processes.is_first:
            with open(sys.argv[1], "a") as stream:
                print(json.dumps([total.item() / 16, *gradient.tolist()]), file=stream)
"""


def test_a_loss_between_utterances_compares_those_of_all_processes(tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for count in (1, 2):
        command = [sys.executable, "-c", COMPARE, str(tmp_path / f"{count}.txt")]
        assert run_processes(count, command) == 0
    one, two = ([json.loads(line) for line in (tmp_path / f"{count}.txt").open()] for count in (1, 2))
    assert len(one) == 3
    for left, right in zip(one, two, strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-5, atol=1e-6)
