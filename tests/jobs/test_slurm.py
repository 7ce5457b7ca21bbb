"""utils/slurm.py on a stand-in for Slurm: limits, accounts, environment; tests/cluster has the real one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spkid.jobs.array_job import parse
from spkid.jobs.slurm import Slurm, _indices
from tests.jobs.stand_in import make_stand_in
from tests.shared import REPOSITORY


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_stand_in(tmp_path / "slurm", monkeypatch)


def run(*words, seconds=120):
    command = [sys.executable, str(REPOSITORY / "utils" / "slurm.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


def calls(folder):
    return (folder / "calls").read_text().splitlines()


def test_arrays_are_no_longer_than_the_engine_takes(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv("LONGEST_ARRAY", "4")
    result = run("JOB=1:10", "log/x.JOB.log", "touch", "ran.JOB")
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("ran.*"))) == 10
    assert [word for call in calls(stand_in) for word in call.split() if "--array" in word] == [
        "--array=1-4",
        "--array=1-4",
        "--array=1-2",
    ]


def test_a_full_engine_gets_fewer_and_later(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv("MOST_TASKS", "3")
    result = run("JOB=1:8", "log/x.JOB.log", "touch", "ran.JOB")
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("ran.*"))) == 8
    assert "has no room for 8 jobs" in result.stderr


def test_a_submission_whose_answer_is_lost_is_not_repeated(stand_in, tmp_path):
    (stand_in / "unheard").touch()
    result = run("JOB=1:2", "log/x.JOB.log", "echo", "JOB", ">>", "ran")
    assert result.returncode == 0, result.stderr
    assert "does not answer" in result.stderr
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "2"]
    assert len(calls(stand_in)) == 1


def test_a_job_that_is_never_taken_is_an_error(stand_in, monkeypatch):
    monkeypatch.setenv("MOST_TASKS", "0")
    result = run("JOB=1:2", "log/x.JOB.log", "true")
    assert result.returncode == 1
    assert "does not take this job" in result.stderr


def test_the_accounts_say_what_became_of_a_vanished_job(stand_in, monkeypatch):
    monkeypatch.setenv("LOSE", "3:OUT_OF_MEMORY")
    result = run("JOB=1:4", "log/x.JOB.log", "true")
    assert result.returncode == 1
    assert "log/x.3.log left no exit code: it used more memory than it had asked for" in result.stderr


def test_options_reach_sbatch(stand_in):
    words = ["--mem", "4G", "--num-threads", "3", "--gpu", "2", "--time=1:00:00", "--max-jobs-run", "5", "-p", "big"]
    assert run(*words, "JOB=1:9", "log/x.JOB.log", "true").returncode == 0
    (call,) = calls(stand_in)
    for word in ("--mem=4G", "--cpus-per-task=3", "--gres=gpu:2", "--time=1:00:00", "--array=1-9%5", "-p big"):
        assert word in call


def test_arrays_follow_one_another_where_jobs_are_throttled(stand_in, monkeypatch):
    monkeypatch.setenv("LONGEST_ARRAY", "2")
    script = "touch running.JOB; ls running.* | wc -l; sleep .3; rm running.JOB"
    result = run("--max-jobs-run", "2", "JOB=1:6", "log/x.JOB.log", "sh", "-c", script)
    assert result.returncode == 0, result.stderr
    counts = [int(Path(f"log/x.{job}.log").read_text().splitlines()[4]) for job in range(1, 7)]
    assert max(counts) <= 2


def test_variables_of_an_outer_job_are_not_handed_on(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    monkeypatch.setenv("SLURM_CONF", "/a/slurm.conf")
    environment = Slurm()._environment
    assert "SLURM_MEM_PER_NODE" not in environment
    assert environment["SLURM_CONF"] == "/a/slurm.conf"


def test_a_step_that_was_killed_leaves_jobs_that_the_next_one_cancels(stand_in, tmp_path):
    code = (
        "import sys; from spkid.jobs import Step\n"
        "with Step('count', 'exp/count') as step:\n"
        "    step.run_jobs(sys.argv[1], 4, 'exp/log/x.JOB.log', ['sh', '-c', sys.argv[2]])\n"
        "    step.finish('done')\n"
    )
    launcher = str(REPOSITORY / "utils" / "slurm.py")
    words = [sys.executable, "-c", code, launcher]
    first = subprocess.Popen([*words, "echo JOB >>began; sleep 60"], process_group=0)
    deadline = time.monotonic() + 20
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second = subprocess.run([*words, "echo JOB >>again"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 0, second.stderr
    assert "cancelling the jobs that a killed slurm.py left behind" in second.stderr
    assert sorted((tmp_path / "again").read_text().split()) == ["1", "2", "3", "4"]
    assert len((tmp_path / "began").read_text().split()) == 2  # of two at a time: the others were never begun


@pytest.mark.parametrize(
    ("text", "indices"),
    [("7", [7]), ("1-3,9%2", [1, 2, 3, 9]), ("N/A", []), ("2-8:3", [2, 5, 8]), ("5-6,...", [5, 6])],
)
def test_lists_of_tasks(text, indices):
    assert list(_indices(text)) == indices


def test_without_slurm_it_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    start = time.monotonic()
    result = run("JOB=1:2", "log/x.JOB.log", "true")
    assert result.returncode == 1
    assert "is not on PATH" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert time.monotonic() - start < 10


def test_one_dash_options_are_the_engines():
    job = parse(["-V", "-pe", "smp", "5", "-l", "gpu=1", "--mem", "1G", "log", "true"])
    assert job.engine_words == ["-V", "-pe", "smp", "5", "-l", "gpu=1"]
    assert job.options == {"mem": "1G"}
