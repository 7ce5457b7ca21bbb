"""utils/status.py: what ran, runs, failed and was stopped, from the files that steps and launchers leave."""

import json
import signal
import subprocess
import sys
import time

import pytest

from spkid.jobs import Step
from spkid.jobs.status import spell_seconds
from tests.shared import REPOSITORY
from tests.steps.running import refuse, succeed

RUN = [sys.executable, str(REPOSITORY / "utils" / "run.py")]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_failures_with_their_last_lines(here):
    script = "test JOB -ne 2 || { echo sad news; exit 7; }"
    subprocess.run([*RUN, "JOB=1:3", "exp/log/x.JOB.log", "sh", "-c", script], stderr=subprocess.DEVNULL)
    said = succeed("status.py", "exp").splitlines()
    assert "exp/log/x.JOB.log: 3 jobs: 2 done, 1 failed (run.py)" in said[0]
    assert said[1:] == ["    exp/log/x.2.log ended with code 7", "        sad news"]


def test_jobs_that_run_and_wait_and_were_stopped(here):
    words = [
        "--max-jobs-run",
        "1",
        "JOB=1:3",
        "exp/log/x.JOB.log",
        "sh",
        "-c",
        "touch began.JOB; test JOB = 1 || sleep 60",
    ]
    process = subprocess.Popen([*RUN, *words], stderr=subprocess.DEVNULL)
    wait_for((here / "began.2").exists)
    assert f"1 done, 1 running, 1 waiting (run.py, process {process.pid} on" in succeed("status.py", "exp")
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert "1 done, 1 failed, 1 stopped (run.py was killed)" in succeed("status.py", "exp")


def test_steps_that_are_done_and_one_at_work(here):
    with Step("count", "exp/count") as step:
        step.finish("counted 7", utterances=7)
    with Step("again", "exp/again"):
        said = succeed("status.py", "exp")
    assert "exp/count: count done: counted 7" in said
    assert "exp/again: running: process" in said
    assert "exp/again" not in succeed("status.py", "exp")


def test_what_is_no_record_is_left_out(here):
    for name in ("exp/log/q/a.json", "exp/a/.done.json", "exp/a/.lock"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("[1")
    (here / "exp/log/q/b.json").write_text(json.dumps({"other": "things"}))
    assert "left a record" in succeed("status.py", "exp")


def test_a_directory_that_is_not_there_is_one_sentence():
    assert "is not a directory" in refuse("status.py", "nowhere")


@pytest.mark.parametrize(("seconds", "text"), [(45.2, "45 s"), (725, "12:05 min"), (11400, "3:10 h")])
def test_spelled_times(seconds, text):
    assert spell_seconds(seconds) == text
