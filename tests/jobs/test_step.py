"""A step's contract: done is done, a change is named, one run at a time, orphans are waited for."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from spkid.jobs import Step
from spkid.jobs.array_job import ranges
from spkid.jobs.lock import Lock
from spkid.kaldi import InputError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("some text\n")
    return tmp_path


def make_step(force=False, inputs=("in.txt",), **options):
    return Step("count", "exp/count", inputs, options, ["exp/out.txt"], force)


def run_once(here, capsys, force=False, inputs=("in.txt",), **options):
    """Runs the toy step; returns whether it worked, and what it said."""
    with make_step(force, inputs, **options) as step:
        worked = not step.is_done
        if worked:
            (here / "exp/out.txt").write_text(json.dumps(options))
            step.finish("counted", words=2)
    return worked, capsys.readouterr().out


def test_done_is_done_and_says_so(here, capsys):
    assert run_once(here, capsys, size=1)[0]
    worked, said = run_once(here, capsys, size=1)
    assert not worked
    assert "done already" in said
    assert "counted" in said
    record = json.loads((here / "exp/count/.done.json").read_text())
    assert record["options"] == {"size": 1}
    assert record["facts"] == {"words": 2}
    assert record["seconds"] >= 0
    assert {"spkid", "python", "numpy"} <= record["versions"].keys()


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (None, {"size": 2}, "option size was 1 and is 2"),
        (None, {"size": 1, "kind": "new"}, "option kind is new ('new')"),
        (None, {}, "option size is gone (it was 1)"),
        (("in.txt", "other"), {"size": 1}, "input in.txt changed"),
        (("exp/out.txt", "other"), {"size": 1}, "output exp/out.txt changed"),
        (("exp/out.txt", None), {"size": 1}, "output exp/out.txt is missing"),
        (("exp/count/.done.json", "{"), {"size": 1}, "exp/count/.done.json is not a record of this step"),
        (("exp/count/.done.json", "[]"), {"size": 1}, "exp/count/.done.json is not a record of this step"),
    ],
)
def test_a_change_makes_it_run_again_and_is_named(here, capsys, change, options, reason):
    run_once(here, capsys, size=1)
    if change:
        path, content = change
        (here / path).unlink() if content is None else (here / path).write_text(content)
    worked, said = run_once(here, capsys, **options)
    assert worked
    assert f"runs again: {reason}" in said
    assert not run_once(here, capsys, **options)[0]


def test_of_a_section_only_the_value_that_changed_is_named(here, capsys):
    run_once(here, capsys, data={"batch": 4, "mask": {"width": 3, "count": 1}})
    said = run_once(here, capsys, data={"batch": 4, "mask": {"width": 5, "count": 1}})[1]
    assert "runs again: option data.mask.width was 3 and is 5\n" in said
    said = run_once(here, capsys, data={"mask": {"width": 5, "count": 1}})[1]
    assert "option data.batch is gone (it was 4)\n" in said


def test_force_repeats(here, capsys):
    run_once(here, capsys)
    worked, said = run_once(here, capsys, force=True)
    assert worked
    assert "--force" in said


def test_touching_a_text_changes_nothing_but_a_rewritten_archive_does(here, capsys):
    (here / "a.ark").write_bytes(b"12345")
    (here / "feats.scp").write_text(f"u1 {here}/a.ark:3\n")
    inputs = ("in.txt", "feats.scp")
    run_once(here, capsys, inputs=inputs)
    os.utime("in.txt", (1, 1))
    assert not run_once(here, capsys, inputs=inputs)[0]
    (here / "a.ark").write_bytes(b"54321")
    os.utime("a.ark", (1, 1))
    worked, said = run_once(here, capsys, inputs=inputs)
    assert worked
    assert "a file listed in input feats.scp changed" in said


def test_inputs_that_come_and_go_are_named(here, capsys):
    run_once(here, capsys)
    (here / "more.txt").write_text("x")
    assert "input more.txt is new" in run_once(here, capsys, inputs=("in.txt", "more.txt"))[1]
    assert "input more.txt is no longer used" in run_once(here, capsys)[1]


def test_a_tree_that_moved_is_still_done(here, capsys, monkeypatch, tmp_path_factory):
    run_once(here, capsys, size=1)
    moved = tmp_path_factory.mktemp("moved") / "tree"
    monkeypatch.chdir("/")
    here.rename(moved)
    monkeypatch.chdir(moved)
    assert not run_once(moved, capsys, size=1)[0]


def test_a_step_that_failed_is_not_done(here, capsys):
    run_once(here, capsys, size=1)
    with contextlib.suppress(InputError), make_step(size=2):
        raise InputError("no")
    assert run_once(here, capsys, size=1)[0]


def test_finish_demands_the_outputs(here):
    def finish():
        with make_step() as step:
            step.finish("nothing written")

    with pytest.raises(InputError, match=r"out\.txt"):
        finish()


def test_a_second_run_refuses_and_names_the_first(here):
    with make_step():
        code = "from spkid.jobs import Step\nStep('count', 'exp/count').__enter__()"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert f"exp/count is in use by process {os.getpid()} on {socket.gethostname()}" in second.stderr


def test_the_lock_is_free_after_the_block(here):
    for _ in range(2):
        with make_step():
            pass


HOLDER = """
import subprocess, sys, time
from spkid.jobs.array_job import ranges
from spkid.jobs.lock import Lock
lock = Lock("lock").acquire()
job = "import time; time.sleep(1.5); open('finished', 'w')"
subprocess.Popen([sys.executable, "-c", job], pass_fds=[lock.descriptor])
print("started", flush=True)
time.sleep(60)
"""


def test_jobs_of_a_killed_run_are_waited_for(here, capfd):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "started\n"
    with pytest.raises(InputError, match=f"process {holder.pid}"):
        Lock("lock").acquire()
    holder.kill()
    holder.wait()
    with Lock("lock"):
        assert (here / "finished").exists()
    assert f"process {holder.pid} left behind" in capfd.readouterr().err


STARTER = """
import subprocess, sys, time
from pathlib import Path
step = "import time; from spkid.jobs.lock import Lock; Lock('lock').acquire(); time.sleep(1.5); open('finished', 'w')"
subprocess.Popen([sys.executable, "-c", step])
while not (Path("lock").exists() and Path("lock").read_bytes()):
    time.sleep(0.02)
print("started", flush=True)
time.sleep(60)
"""


def test_a_step_whose_recipe_was_killed_is_waited_for(here, capfd):
    recipe = subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)
    assert recipe.stdout.readline() == "started\n"
    with pytest.raises(InputError, match="in use by process"):
        Lock("lock").acquire()
    recipe.kill()
    recipe.wait()
    with Lock("lock"):
        assert (here / "finished").exists()
    assert "which goes on although what started it is gone" in capfd.readouterr().err


def test_jobs_run_and_a_failed_one_is_named(here):
    with make_step() as step:
        step.run_jobs("utils/run.py", 2, "log/a.JOB.log", ["echo", "job JOB", ">", "out.JOB"])
        assert (here / "out.2").read_text() == "job 2\n"
        step.run_jobs("utils/run.py --max-jobs-run 1", 9, "log/b.JOB.log", ["touch", "only.JOB"], jobs=[2, 3, 7])
        assert sorted(file.name for file in here.glob("only.*")) == ["only.2", "only.3", "only.7"]
        command = ["sh", "-c", "echo the disk is on fire >&2; exit $((JOB - 1))"]
        with pytest.raises(InputError, match=r"1 of 2 jobs failed; log/c\.2\.log says: the disk is on fire"):
            step.run_jobs("utils/run.py", 2, "log/c.JOB.log", command)


def test_a_long_step_says_how_far_it_has_come(here, capfd, monkeypatch):
    monkeypatch.setattr("spkid.jobs.step.SECONDS_BETWEEN_LOOKS", 0.05)
    with make_step() as step:
        step.run_jobs("utils/run.py --max-jobs-run 1", 2, "log/a.JOB.log", ["sleep", "0.5"])
    assert "1 of 2 jobs have ended" in capfd.readouterr().out


@pytest.mark.parametrize(("cmd", "sentence"), [("no/such/launcher", "cannot be run"), ("", "empty"), ("'", "closing")])
def test_a_launcher_that_is_none_is_named(here, cmd, sentence):
    with make_step() as step, pytest.raises(InputError, match=sentence):
        step.run_jobs(cmd, 2, "log/a.JOB.log", ["true"])


STEP = """
import sys
from spkid.jobs import Program, Step
class Sleep(Program):
    def main(self):
        with Step("sleep", "exp/sleep") as step:
            command = ["sh", "-c", "echo $$ > pid.JOB; sleep SECONDS; touch end.JOB"]
            step.run_jobs("utils/run.py", 2, "log/s.JOB.log", command)
            step.finish("slept")
Sleep.run()
"""


def start_sleeping(here, seconds):
    (here / "sleep.py").write_text(STEP.replace("SECONDS", str(seconds)))
    process = subprocess.Popen([sys.executable, "sleep.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not all((here / f"pid.{job}").exists() for job in (1, 2)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def test_a_stopped_step_stops_its_jobs(here):
    process = start_sleeping(here, 30)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in err
    with make_step():
        pass
    with Step("sleep", "exp/sleep"):  # free: no job holds it
        assert not list(here.glob("end.*"))


def test_jobs_of_a_killed_step_end_before_the_next_run_begins(here):
    process = start_sleeping(here, 1.5)
    process.kill()
    process.communicate()
    with Step("sleep", "exp/sleep"):
        assert len(list(here.glob("end.*"))) == 2


def test_ranges_of_jobs():
    assert [ranges(jobs) for jobs in ([1, 2, 3], [5], [1, 3, 4], [7, 5])] == ["1:3", "5", "1,3:4", "5,7"]
    assert all(re.fullmatch(r"[\d:,]+", ranges(jobs)) for jobs in ([1], [2, 9]))
