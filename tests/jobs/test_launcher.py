"""Launchers: Kaldi's command line, the log, exit codes, signals. Run as commands, as recipes do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spkid.jobs.array_job import parse
from spkid.kaldi import InputError
from tests.shared import REPOSITORY

RUN = [sys.executable, str(REPOSITORY / "utils" / "run.py")]


def run(tmp_path, *words):
    return subprocess.run([*RUN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)


def test_each_job_gets_its_number_and_its_log(tmp_path):
    result = run(tmp_path, "JOB=2:4", "log/x.JOB.log", "echo", "this is JOB", "|", "tee", "out.JOB")
    assert result.returncode == 0, result.stderr
    for job in (2, 3, 4):
        assert (tmp_path / f"out.{job}").read_text() == f"this is {job}\n"
        lines = (tmp_path / f"log/x.{job}.log").read_text().splitlines()
        assert lines[0] == f"# echo 'this is {job}' | tee out.{job}"
        assert lines[1].startswith("# Running on ")
        assert lines[2].startswith("# Started at ")
        assert f"this is {job}" in lines
        assert lines[-1].startswith("# Ended (code 0) at ")
        assert "elapsed time" in lines[-1]


def test_words_reach_the_job_as_they_are(tmp_path):
    odd = ["a  b", "$HOME", "`id`", "it's", 'say "x"', "*", "semi;colon", "ark:cat x |", "", "ü", "new\nline", "$(id)"]
    result = run(tmp_path, "log", sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *odd)
    assert result.returncode == 0, result.stderr
    assert ascii(odd) in (tmp_path / "log").read_text().splitlines()


def test_operators_are_the_shells(tmp_path):
    assert run(tmp_path, "log", "echo", "one", ">", "a", "&&", "cat", "<a", ">>", "a two", "2>&1").returncode == 0
    assert (tmp_path / "a two").read_text() == "one\n"


@pytest.mark.parametrize("words", [["false", "|", "true"], ["sh", "-c", "exit 3", "|", "cat"]])
def test_a_failure_inside_a_pipe_is_a_failure(tmp_path, words):
    assert run(tmp_path, "log", *words).returncode == 1


def test_a_failed_job_is_named_with_its_last_lines(tmp_path):
    command = ["test", "JOB", "-ne", "2", "||", "sh", "-c", "echo sad news; exit 7"]
    result = run(tmp_path, "JOB=1:3", "log/x.JOB.log", *command)
    assert result.returncode == 1
    assert "1 / 3 failed, log is in log/x.*.log" in result.stderr
    assert "log/x.2.log ended with code 7" in result.stderr
    assert "sad news" in result.stderr
    assert "code 7" in (tmp_path / "log/x.2.log").read_text().splitlines()[-1]


def test_a_job_that_leaves_no_exit_code_has_failed(tmp_path):
    result = run(tmp_path, "JOB=1:2", "log/x.JOB.log", "sh", "-c", "kill -9 0")
    assert result.returncode == 1
    assert "no exit code" in result.stderr


def test_exit_codes_of_an_earlier_run_do_not_count(tmp_path):
    assert run(tmp_path, "log/x.log", "true").returncode == 0
    assert run(tmp_path, "log/x.log", "sh", "-c", "kill -9 0").returncode == 1


def test_pick_failed_runs_only_what_has_not_succeeded(tmp_path):
    first = run(tmp_path, "JOB=1:3", "log/x.JOB.log", "sh", "-c", "test JOB -ne 2 && touch ran.JOB")
    assert first.returncode == 1
    for file in tmp_path.glob("ran.*"):
        file.unlink()
    assert run(tmp_path, "--pick", "failed", "JOB=1:3", "log/x.JOB.log", "touch", "ran.JOB").returncode == 0
    assert [file.name for file in tmp_path.glob("ran.*")] == ["ran.2"]
    assert run(tmp_path, "--pick", "failed", "JOB=1:3", "log/x.JOB.log", "false").returncode == 0


def test_pick_failed_leaves_what_never_started_and_incomplete_does_not(tmp_path):
    assert run(tmp_path, "JOB=1:2", "log/x.JOB.log", "test", "JOB", "=", "1").returncode == 1
    for pick, ran in (("failed", ["ran.2"]), ("incomplete", ["ran.3"]), ("all", ["ran.1", "ran.2", "ran.3"])):
        assert run(tmp_path, "--pick", pick, "JOB=1:3", "log/x.JOB.log", "touch", "ran.JOB").returncode == 0
        assert sorted(file.name for file in tmp_path.glob("ran.*")) == ran
        for file in tmp_path.glob("ran.*"):
            file.unlink()


def test_retries(tmp_path):
    script = "if test -e tried.JOB; then exit 0; fi; touch tried.JOB; test JOB != 2"
    result = run(tmp_path, "--retries", "1", "JOB=1:3", "log/x.JOB.log", "sh", "-c", script)
    assert result.returncode == 0, result.stderr
    assert "trying 1 of 3 jobs again" in result.stderr
    assert (tmp_path / "log/x.2.log.failed").exists()
    result = run(tmp_path, "--retries", "2", "log/y.log", "sh", "-c", "echo >>tries; exit 5")
    assert result.returncode == 1
    assert (tmp_path / "tries").read_text() == 3 * "\n"


def test_two_launchers_of_the_same_jobs(tmp_path):
    words = ["JOB=1:2", "log/x.JOB.log", "sh", "-c", "echo > began; sleep 60"]
    first = subprocess.Popen([*RUN, *words], cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "began").exists)
    second = run(tmp_path, "JOB=1:2", "log/x.JOB.log", "true")
    first.terminate()
    first.wait()
    assert second.returncode == 1
    assert f"process {first.pid}" in second.stderr
    assert run(tmp_path, "JOB=1:2", "log/x.JOB.log", "true").returncode == 0


def test_max_jobs_run_bounds_what_runs_together(tmp_path):
    script = (
        "import os, pathlib, sys, time\n"
        "here = pathlib.Path(sys.argv[1]); here.touch(); time.sleep(.2)\n"
        "print('together', len(list(pathlib.Path('.').glob('running.*')))); here.unlink()\n"
    )
    words = ["--max-jobs-run", "2", "JOB=1:5", "log/x.JOB.log", sys.executable, "-c", script, "running.JOB"]
    assert run(tmp_path, *words).returncode == 0
    counts = [
        int(line.split()[1])
        for log in (tmp_path / "log").glob("*.log")
        for line in log.read_text().splitlines()
        if line.startswith("together")
    ]
    assert len(counts) == 5
    assert max(counts) <= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_jobs_too(tmp_path, number):
    words = ["JOB=1:2", "log/x.JOB.log", "sh", "-c", "echo $$ > pid.JOB; sleep 60; true"]
    launcher = subprocess.Popen(
        [*RUN, "--max-jobs-run", "2", *words],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # nohup of these tests would be respected
    )
    files = [tmp_path / "pid.1", tmp_path / "pid.2"]
    wait_for(lambda: all(file.exists() and file.read_text().strip() for file in files))
    launcher.send_signal(number)
    assert launcher.wait(timeout=10) == 128 + number
    assert not any(is_running(int(file.read_text())) for file in files)
    assert "Ended (code 143)" in (tmp_path / "log/x.1.log").read_text()


def test_nohup_is_respected(tmp_path):
    words = ["nohup", *RUN, "log/x.log", "sh", "-c", "echo > started; sleep 1; echo > finished"]
    launcher = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "started").exists)
    launcher.send_signal(signal.SIGHUP)
    assert launcher.wait(timeout=20) == 0
    assert (tmp_path / "finished").exists()


def test_kaldis_options_are_accepted(tmp_path):
    words = ["--mem", "4G", "--num-threads=2", "--gpu", "0", "--time", "1:00:00", "--config", "conf/none.conf", "-V",
             "-q", "all.q", "-pe", "smp", "5", "-l", "arch=*64*", "--partition", "big"]  # fmt: skip
    assert run(tmp_path, *words, "JOB=1:2", "log/x.JOB.log", "printenv", "OMP_NUM_THREADS").returncode == 0
    assert "2" in (tmp_path / "log/x.1.log").read_text().splitlines()


def test_command_line():
    job = parse(["--mem", "4G", "JOB=1,4:6", "log.JOB", "echo", "--mem", "JOB"])
    assert (job.jobs, job.log) == ([1, 4, 5, 6], "log.JOB")
    assert (job.command, job.options) == (["echo", "--mem", "JOB"], {"mem": "4G"})
    assert str(job.log_of(4)) == "log.4"
    single = parse(["log.JOB", "echo", "JOB"])
    assert single.jobs == [1]
    assert str(single.log_of(1)) == "log.JOB"
    assert parse(["TASK=3", "log.TASK", "echo", "TASK"]).jobs == [3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["JOB=1:4", "x.log", "true"], "cannot share the log"),
        (["JOB=5:4", "x.JOB.log", "true"], "ends before it begins"),
        (["--mem", "JOB=1:4", "x.JOB.log", "true"], "--mem needs a value"),
        (["x.log"], "a log file and a command are needed"),
        (["--max-jobs-run", "0", "x.log", "true"], "at least 1"),
        (["--num-threads", "many", "x.log", "true"], "at least 1"),
        (["--pick", "some", "JOB=1:2", "x.JOB.log", "true"], "--pick is one of all, failed, incomplete"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(tmp_path, words, sentence):
    result = run(tmp_path, *words)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    result = run(tmp_path, "file/x.log", "true")
    assert result.returncode == 1
    assert "file" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_jobs_inherit_what_the_launcher_was_given(tmp_path):
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    words = ["log", sys.executable, "-c", f"import os; os.write({writing}, b'held')"]
    subprocess.run([*RUN, *words], cwd=tmp_path, pass_fds=[writing], check=True, timeout=60)
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == "held"


def test_a_launcher_starts_without_the_heavy_packages():
    code = "import sys; import spkid.jobs.launcher, spkid.jobs.local; print([m for m in sys.modules if m in sys.argv])"
    result = subprocess.run([sys.executable, "-c", code, "numpy", "plumbum", "torch"], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_parse_refuses_before_anything_runs():
    with pytest.raises(InputError):
        parse([])


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
