"""A launcher's main: runs the jobs of its command line, again where --retries asks for it, and reports."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from spkid.jobs.array_job import ArrayJob, parse
from spkid.jobs.calls import Call
from spkid.jobs.logs import last_lines, note_end
from spkid.kaldi import InputError

KILLED = 128 + signal.SIGKILL


def launch(
    usage: str,
    run: Callable[[ArrayJob, Call], dict[int, str]],
    engine: str = "local",
    argv: Sequence[str] | None = None,
) -> int:
    """Parses, lets `run` run all jobs to their end, reports by the exit codes that they left; returns the status.

    run: prepares the script, returns why jobs were ended from outside, by number. engine: see `spkid.jobs.engines`.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    program = Path(sys.argv[0]).name
    if not argv or argv[0] in ("--help", "-h"):
        print(usage.strip())
        return 0 if argv else 1
    try:
        job = parse(argv)
        if not job.jobs:
            return 0  # --pick failed, and none has
        call = Call(job, program, engine)
        failed = _run_and_retry(job, call, run, program)
        call.end(failed)
    except InputError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{program}: error: {error.filename or job.log}: {error.strerror}", file=sys.stderr)
        return 1
    if not failed:
        return 0
    first = min(failed)
    logs = job.log.replace(job.name, "*") if job.numbers is not None else job.log
    print(f"{program}: {len(failed)} / {len(job.jobs)} failed, log is in {logs}", file=sys.stderr)
    print(f"{program}: {job.log_of(first)} {failed[first]}; it closes with", file=sys.stderr)
    for line in last_lines(job.log_of(first)) or last_lines(job.script.with_suffix(".out")) or ["(nothing)"]:
        print(f"    {line}", file=sys.stderr)
    return 1


def _run_and_retry(job: ArrayJob, call: Call, run: Callable, program: str) -> dict[int, str]:
    """Why jobs failed, by number, once --retries is used up."""
    left = job.count("retries", 0, 0)
    while True:
        reasons = run(job, call)
        codes = job.exit_codes()
        failed = {
            number: _spell(codes.get(number), reasons.get(number)) for number in job.jobs if codes.get(number) != 0
        }
        for number, reason in failed.items():
            if number not in codes:
                note_end(job.log_of(number), reason)
        job.forget_codes()
        if not failed or not left:
            return failed
        left -= 1
        first = min(failed)
        print(
            f"{program}: {job.log_of(first)} {failed[first]}: trying {len(failed)} of {len(job.jobs)} jobs again",
            file=sys.stderr,
            flush=True,
        )
        for number in failed:
            if job.log_of(number).exists():
                os.replace(job.log_of(number), f"{job.log_of(number)}.failed")
        job = replace(job, numbers=sorted(failed) if job.numbers is not None else None)


def _spell(code: int | None, reason: str | None) -> str:
    """What happened to a job, as the end of a sentence that begins with its log."""
    if code is None:
        return f"left no exit code: {reason or 'it vanished'}"
    hint = " (killed: out of memory, or by hand)" if code == KILLED else ""
    return f"ended with code {code}{hint}{f': {reason}' if reason else ''}"
