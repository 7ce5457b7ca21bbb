"""utils/slurm.py and utils/queue.py on real engines: what holds for both."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cluster.engines import wait_for
from tests.shared import REPOSITORY


class Launcher:
    """A launcher as a recipe calls it, in a directory of its own."""

    def __init__(self, program, cluster, directory):
        self.program = program
        self.cluster = cluster
        self.directory = directory
        self.words = [sys.executable, str(REPOSITORY / "utils" / program)]

    def run(self, *words, seconds=120):
        return subprocess.run(
            [*self.words, *words],
            cwd=self.directory,
            env=self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self, *words):
        return subprocess.Popen(
            [*self.words, *words], cwd=self.directory, env=self.cluster.environment, stderr=subprocess.PIPE, text=True
        )

    def at_work(self):
        """Whether the engine has a job that waits or runs."""
        command = ["squeue", "-h"] if self.program == "slurm.py" else ["qstat", "-u", "*"]
        return bool(self.cluster.ask(*command).stdout.strip())

    def log(self, name):
        return (self.directory / "log" / name).read_text()

    def record(self, name):
        return json.loads((self.directory / "log" / "q" / f"{name}.json").read_text())

    def has(self, *names):
        return all((self.directory / name).exists() for name in names)


@pytest.fixture(params=["slurm.py", "queue.py"])
def launcher(request, tmp_path):
    cluster = request.getfixturevalue("slurm" if request.param == "slurm.py" else "grid_engine")
    return Launcher(request.param, cluster, tmp_path)


def test_an_array_with_a_failing_job(launcher):
    command = ["test", "JOB", "-ne", "3", "||", "sh", "-c", "echo sad news; exit 7"]
    result = launcher.run("JOB=1:5", "log/x.JOB.log", *command)
    assert result.returncode == 1
    assert "1 / 5 failed, log is in log/x.*.log" in result.stderr
    assert "log/x.3.log ended with code 7" in result.stderr
    assert "sad news" in result.stderr
    assert "# Ended (code 7)" in launcher.log("x.3.log")
    assert all("# Ended (code 0)" in launcher.log(f"x.{job}.log") for job in (1, 2, 4, 5))
    assert len(launcher.record("x")["ids"]) == 1  # one array
    assert not launcher.at_work()


def test_jobs_get_this_environment_and_directory(launcher):
    code = "import os, sys, spkid; print(sys.prefix, os.getcwd(), os.environ['PATH'], os.environ['OMP_NUM_THREADS'])"
    result = launcher.run("--num-threads", "2", "log/x.log", "python3", "-c", code)
    assert result.returncode == 0, result.stderr
    path = launcher.cluster.environment["PATH"]
    assert f"{sys.prefix} {launcher.directory} {path} 2" in launcher.log("x.log").splitlines()


def test_arrays_are_cut_where_the_engine_has_a_limit(launcher):
    result = launcher.run("JOB=1:16", "log/x.JOB.log", "touch", "ran.JOB")
    assert result.returncode == 0, result.stderr
    assert launcher.has(*(f"ran.{job}" for job in range(1, 17)))
    assert len(launcher.record("x")["ids"]) == 3  # of at most 7 tasks


def test_scattered_numbers_reach_their_jobs(launcher):
    result = launcher.run("JOB=2,90:91", "log/x.JOB.log", "touch", "ran.JOB")
    assert result.returncode == 0, result.stderr
    assert sorted(file.name for file in launcher.directory.glob("ran.*")) == ["ran.2", "ran.90", "ran.91"]


def test_a_job_whose_script_is_killed_has_vanished(launcher):
    result = launcher.run("JOB=1:2", "log/x.JOB.log", "test", "JOB", "=", "1", "||", "kill", "-9", "0")
    assert result.returncode == 1
    assert "log/x.2.log left no exit code: it was killed by signal 9" in result.stderr
    assert "1 / 2 failed" in result.stderr
    assert "# Ended (no code)" in launcher.log("x.2.log")


def test_a_job_that_is_cancelled_from_outside_is_told(launcher):
    process = launcher.start("JOB=1:2", "log/x.JOB.log", "touch", "began.JOB", "&&", "sleep", "60")
    wait_for(lambda: launcher.has("began.1", "began.2"))
    name = launcher.record("x")["name"]
    launcher.cluster.ask(*(["scancel", f"--name={name}"] if launcher.program == "slurm.py" else ["qdel", name]))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "2 / 2 failed" in said
    assert "cancelled" in said if launcher.program == "slurm.py" else "killed" in said


def test_pick_and_retries(launcher):
    first = launcher.run("JOB=1:3", "log/x.JOB.log", "test", "JOB", "-ne", "2", "&&", "touch", "ran.JOB")
    assert first.returncode == 1
    again = ["--pick", "failed", "--retries", "2", "JOB=1:3", "log/x.JOB.log"]
    result = launcher.run(
        *again, "sh", "-c", "if test -e tried.JOB; then touch ran.JOB; else touch tried.JOB; exit 1; fi"
    )
    assert result.returncode == 0, result.stderr
    assert "trying 1 of 1 jobs again" in result.stderr
    assert sorted(file.name for file in launcher.directory.glob("tried.*")) == ["tried.2"]
    assert launcher.has("ran.1", "ran.2", "ran.3", "log/x.2.log.failed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_array_and_waits(launcher, number):
    process = launcher.start("JOB=1:4", "log/x.JOB.log", "touch", "began.JOB", "&&", "sleep", "60")
    wait_for(lambda: launcher.has("began.1", "began.2"))
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert not launcher.at_work()
    assert not launcher.has("began.3")


def test_jobs_of_a_killed_launcher_are_cancelled_by_the_next(launcher):
    words = ["JOB=1:4", "log/x.JOB.log", "echo", "JOB", ">>", "began", "&&", "sleep", "60"]
    process = launcher.start(*words)
    wait_for(lambda: launcher.has("began"))
    refused = launcher.run("JOB=1:4", "log/x.JOB.log", "true")
    assert refused.returncode == 1
    assert f"process {process.pid}" in refused.stderr
    process.kill()
    process.wait()
    assert launcher.at_work()
    result = launcher.run("JOB=1:4", "log/x.JOB.log", "true")
    assert result.returncode == 0, result.stderr
    assert "cancelling the jobs that a killed" in result.stderr
    assert len((launcher.directory / "began").read_text().split()) <= 2  # the two that waited never began
    assert not launcher.at_work()


def test_max_jobs_run_bounds_what_runs_together(launcher):
    script = "touch running.JOB; ls running.* | wc -l; sleep 1.5; rm running.JOB"
    result = launcher.run("--max-jobs-run", "1", "JOB=1:4", "log/x.JOB.log", "sh", "-c", script)
    assert result.returncode == 0, result.stderr
    assert all("1" in launcher.log(f"x.{job}.log").splitlines() for job in range(1, 5))


def test_a_lost_controller_is_waited_out(launcher):
    controller = "slurmctld" if launcher.program == "slurm.py" else "qmaster"
    program = "sge_qmaster" if controller == "qmaster" else controller
    words = ["slurmctld", "-D"] if controller == "slurmctld" else [program]
    script = "touch began.JOB; sleep 8; test JOB != 2"
    process = launcher.start("JOB=1:3", "log/x.JOB.log", "sh", "-c", script)
    wait_for(lambda: launcher.has("began.1", "began.2"))
    launcher.cluster.stop(controller, signal.SIGTERM)
    time.sleep(14)
    assert process.poll() is None
    launcher.cluster.start(controller, *words)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "does not answer" in said
    assert "answers again" in said
    assert "1 / 3 failed" in said
    assert "log/x.2.log ended with code 1" in said


def test_what_the_engine_refuses_is_one_sentence(launcher):
    option = ["-p", "nowhere"] if launcher.program == "slurm.py" else ["-l", "nothing=1"]
    result = launcher.run(*option, "JOB=1:2", "log/x.JOB.log", "true")
    assert result.returncode == 1
    assert "refuses the job" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_conf_says_how_options_are_spelled(launcher):
    submit = "sbatch" if launcher.program == "slurm.py" else "qsub -cwd -S /bin/bash"
    conf = launcher.directory / "conf" / ("slurm.conf" if launcher.program == "slurm.py" else "queue.conf")
    conf.parent.mkdir()
    added = "--export=ALL,GREETING=$0" if launcher.program == "slurm.py" else "-v GREETING=$0"
    conf.write_text(f"command {submit}  # no environment\ndefault greeting=hello\noption greeting=* {added}\n")
    assert launcher.run("log/x.log", "printenv", "GREETING", "PATH").returncode == 0
    assert "hello" in launcher.log("x.log").splitlines()
    assert os.environ["PATH"] in launcher.log("x.log")
    refused = launcher.run("--mem", "4G", "log/x.log", "true")
    assert refused.returncode == 1
    assert "--mem 4G is not described in conf/" in refused.stderr
