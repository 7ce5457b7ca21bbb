"""Runs the jobs of a launcher's call on this machine."""

import os
import signal
import subprocess
import time

from spkid.jobs.array_job import ArrayJob
from spkid.jobs.calls import Call
from spkid.jobs.signals import interrupt_on_signals

GRACE = 5.0  # seconds between the request to end and the end


def run_here(job: ArrayJob, call: Call) -> dict[int, str]:
    """Runs all jobs, as many at a time as `--max-jobs-run` says or the cores allow; returns when all have ended.

    Each job leads a process group of its own. Ctrl-C and SIGTERM end all of them, then the launcher, with that signal's
    status. Inheritable descriptors (a step's lock) are handed on. Returns what ended jobs from outside, by number.
    """
    at_once = job.at_once(max(1, len(os.sched_getaffinity(0)) // job.threads))
    job.prepare(call.launcher)
    waiting = list(reversed(job.jobs))
    # Process -> job, and the object: subprocess reaps the child of one that is forgotten, and its end is lost here.
    running: dict[int, tuple[int, subprocess.Popen]] = {}
    reasons: dict[int, str] = {}
    interrupt_on_signals()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number = waiting.pop()
                process = subprocess.Popen(
                    ["bash", str(job.script), str(number)],
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                    close_fds=False,
                )
                running[process.pid] = number, process
            pid, status = os.waitpid(-1, 0)
            ended = running.pop(pid, None)
            if ended is not None and os.WIFSIGNALED(status):
                reasons[ended[0]] = f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    except KeyboardInterrupt as interrupt:
        _end(running)
        raise SystemExit(128 + interrupt.args[0]) from None
    return reasons


def _end(running: dict[int, tuple[int, subprocess.Popen]]) -> None:
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
