"""Ten thousand jobs in one call, on the stand-in for Slurm: what the launcher itself costs must not grow with them."""

import os
import subprocess
import sys
import time

from tests.jobs.stand_in import make_stand_in
from tests.shared import REPOSITORY

JOBS = 10_000


def test_ten_thousand_jobs(tmp_path, monkeypatch):
    make_stand_in(tmp_path / "slurm", monkeypatch)
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    words = [str(REPOSITORY / "utils" / "slurm.py"), f"JOB=1:{JOBS}", "log/x.JOB.log", "test", "JOB", "-ne", "7777"]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, own = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    print(f"{JOBS} jobs in {seconds:.0f} s, of which the launcher and its questions used {own:.1f} s of a processor")
    assert process.returncode == 1
    assert f"1 / {JOBS} failed" in said
    assert "log/x.7777.log ended with code 1" in said
    assert len((tmp_path / "slurm" / "calls").read_text().splitlines()) == 1
    assert own < 60  # at most 6 ms a job
    assert seconds < 1500
