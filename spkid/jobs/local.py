"""Runs the jobs of a launcher's call on this machine."""

import os
import signal
import subprocess
import time

from spkid.jobs.launcher import ArrayJob

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE = 5.0  # seconds between the request to end and the end


def run_here(job: ArrayJob) -> None:
    """Runs all jobs, as many at a time as `--max-jobs-run` says or the cores allow; returns when all have ended.

    Each job leads a process group of its own. Ctrl-C and SIGTERM end all of them, then the launcher, with that signal's
    status. Inheritable descriptors (a step's lock) are handed on.
    """
    at_once = job.at_once(max(1, len(os.sched_getaffinity(0)) // job.threads))
    waiting = list(reversed(job.jobs))
    running: dict[int, subprocess.Popen] = {}
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, _interrupt)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                process = subprocess.Popen(
                    ["bash", str(job.script), str(waiting.pop())],
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                    close_fds=False,
                )
                running[process.pid] = process
            pid, _ = os.waitpid(-1, 0)
            running.pop(pid, None)
    except KeyboardInterrupt as interrupt:
        _end(running)
        raise SystemExit(128 + interrupt.args[0]) from None


def _interrupt(number, _frame):
    for other in ENDING_SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # a second one must not keep us from ending the jobs
    raise KeyboardInterrupt(number)


def _end(running: dict[int, subprocess.Popen]) -> None:
    deadline = time.monotonic() + GRACE
    for request in (signal.SIGTERM, signal.SIGKILL):
        for pid in running:
            try:
                os.killpg(pid, request)
            except ProcessLookupError:
                continue
        while running and (request == signal.SIGKILL or time.monotonic() < deadline):
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                running.pop(pid, None)
            else:
                time.sleep(0.02)
