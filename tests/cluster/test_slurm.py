"""What Slurm alone does: lost nodes, requeued jobs, time limits, jobs on several nodes."""

import json
import subprocess
import sys

import pytest

from tests.cluster.engines import wait_for
from tests.shared import REPOSITORY

MEETING = """
import os, torch
from torch import distributed
distributed.init_process_group("gloo")
number = torch.ones(1) * (distributed.get_rank() + 1)
distributed.all_reduce(number)
print("met", distributed.get_rank(), distributed.get_world_size(), int(number), os.environ["NODE_RANK"], flush=True)
"""


@pytest.fixture
def start(slurm, tmp_path):
    def start(*words):
        command = [sys.executable, str(REPOSITORY / "utils" / "slurm.py"), *words]
        return subprocess.Popen(command, cwd=tmp_path, env=slurm.environment, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def lose_beta(slurm):
    """Takes the node beta away; it is back for the next test."""
    yield lambda: slurm.ask("scontrol", "update", "nodename=beta", "state=down", "reason=test")
    slurm.ask("scontrol", "update", "nodename=beta", "state=resume")
    wait_for(lambda: slurm.ask("sinfo", "-h", "-n", "beta", "-t", "idle").stdout.strip(), slurm)


def test_a_lost_node_is_told(start, lose_beta, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "slurm.conf").write_text("command sbatch --no-requeue --partition=second\n")
    process = start("JOB=1:2", "log/x.JOB.log", "touch", "began.JOB", "&&", "sleep", "60")
    wait_for(lambda: (tmp_path / "began.1").exists() and (tmp_path / "began.2").exists())
    lose_beta()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "its node was lost" in said


def test_a_requeued_job_runs_again(start, slurm, tmp_path):
    script = "echo attempt; if test -e began; then exit 0; fi; touch began; sleep 60"
    process = start("log/x.log", "sh", "-c", script)
    wait_for((tmp_path / "began").exists)
    (identifier,) = json.loads((tmp_path / "log/q/x.json").read_text())["ids"]
    assert slurm.ask("scontrol", "requeue", f"{identifier}_1").returncode == 0
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert (tmp_path / "log/x.log").read_text().splitlines().count("attempt") == 2


def test_a_time_limit_is_told(start):
    process = start("--time", "0:01:00", "JOB=1:1", "log/x.JOB.log", "sleep", "300")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "it reached its time limit" in said


def test_one_allocation_of_two_nodes(start, tmp_path):
    """torchrun on both nodes of one job; all processes meet on the first."""
    (tmp_path / "meeting.py").write_text(MEETING)
    nodes = ["--nnodes=$NNODES", "--node-rank=$NODE_RANK", "--master-addr=$MASTER_ADDR", "--master-port=$MASTER_PORT"]
    torchrun = " ".join([sys.executable, "-m", "torch.distributed.run", *nodes, "--nproc-per-node=1", "meeting.py"])
    process = start("--nodes", "2", "-p", "both", "log/x.log", "sh", "-c", torchrun)
    _, said = process.communicate(timeout=120)
    log = (tmp_path / "log/x.log").read_text()
    assert process.returncode == 0, said + log
    assert sorted(line for line in log.splitlines() if line.startswith("met")) == ["met 0 2 3 0", "met 1 2 3 1"]


@pytest.fixture
def room_for_few(slurm):
    """A controller that holds few jobs at a time, those that have ended among them for MinJobAge seconds."""
    conf = slurm.root / "slurm.conf"
    usual = conf.read_text()

    def restart(text):
        slurm.stop("slurmctld")
        conf.write_text(text)
        slurm.start_controller()
        wait_for(lambda: slurm.ask("sinfo", "-h", "-N", "-t", "idle").stdout.count("\n") >= 4, slurm)

    restart(usual.replace("MinJobAge=20", "MinJobAge=2") + "MaxJobCount=6\n")
    yield
    restart(usual)


def test_a_full_controller_gets_fewer_jobs_at_a_time(start, room_for_few, tmp_path):
    process = start("JOB=1:9", "log/x.JOB.log", "touch", "ran.JOB")
    _, said = process.communicate(timeout=80)
    assert process.returncode == 0, said
    assert len(list(tmp_path.glob("ran.*"))) == 9
    assert "has no room for 7 jobs" in said


def test_a_command_that_is_killed_for_its_memory_is_told(start):
    """What the out-of-memory killer does where it picks the command and not its script."""
    process = start("JOB=1:2", "log/x.JOB.log", "sh", "-c", "test JOB = 1 || kill -9 $$")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 / 2 failed" in said
    assert "log/x.2.log ended with code 137" in said
