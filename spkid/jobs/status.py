"""What ran, runs and failed below a directory: records of steps and of launchers' calls, and the logs of their jobs."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spkid.jobs.array_job import ArrayJob, parse_numbers
from spkid.jobs.calls import is_alive, read_record
from spkid.jobs.logs import Log, last_lines

TIME = "%Y-%m-%d %H:%M:%S"


@dataclass
class CallStatus:
    """One call of a launcher: how many of its jobs are in which state, and which failed with what last words."""

    log: str
    started: str
    seconds: float
    ended: bool
    counts: dict[str, int]
    launcher: str
    failures: dict[Path, tuple[str, list[str]]] = field(default_factory=dict)  # log -> reason, last lines

    def line(self) -> str:
        """The call in one line."""
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items() if number)
        jobs = sum(self.counts.values())
        return f"{self.started}  {spell_seconds(self.seconds):>9}  {self.log}: {jobs} jobs: {counts} ({self.launcher})"


@dataclass
class StepStatus:
    """One finished step, as its `.done.json` tells."""

    directory: Path
    step: str
    summary: str
    finished: str
    seconds: float

    def line(self) -> str:
        """The step in one line."""
        return f"{self.finished}  {spell_seconds(self.seconds):>9}  {self.directory}: {self.step} done: {self.summary}"


def find(directory: str | os.PathLike, lines: int) -> tuple[list[StepStatus], list[CallStatus]]:
    """All steps and calls below a directory, in order of time. lines: how many last lines of a failed job to keep."""
    steps, calls = [], []
    for path in _records(Path(directory)):
        if path.name == ".done.json":
            found = _step(path)
            if found:
                steps.append(found)
        else:
            record = read_record(path)
            if record:
                calls.append(_call(path, record, lines))
    return sorted(steps, key=lambda step: step.finished), sorted(calls, key=lambda call: call.started)


def _records(directory: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted(files):
            if name == ".done.json" or (name.endswith(".json") and os.path.basename(folder) == "q"):
                yield Path(folder) / name


def _step(path: Path) -> StepStatus | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return StepStatus(path.parent, record["step"], record["summary"], record["finished"], float(record["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _call(path: Path, record: Mapping[str, Any], lines: int) -> CallStatus:
    alive = is_alive(record)
    array = record.get("array")
    job = ArrayJob(record["log"], [], parse_numbers(record["jobs"]) if array else None, array or "JOB")
    counts = dict.fromkeys(("done", "failed", "running", "waiting", "stopped"), 0)
    failures = {}
    for number in job.jobs:
        log = path.parent.parent / job.log_of(number).name  # where the record lies, should the tree have been moved
        state = Log(log)
        reason = record["failed"].get(str(number))
        if reason is None and state.code == 0:
            counts["done"] += 1
        elif reason is not None or state.has_ended:
            counts["failed"] += 1
            failures[log] = (reason or f"ended with code {state.code}", last_lines(log, lines))
        elif alive is False:
            counts["stopped"] += 1
        else:
            counts["running" if state.has_started else "waiting"] += 1
    seconds = record.get("seconds")
    if seconds is None:
        end = _newest(path.parent.parent, job) if alive is False else time.time()
        seconds = max(0.0, end - time.mktime(time.strptime(record["started"], TIME)))
    who = record["launcher"] if record["ended"] else _who(record, alive)
    return CallStatus(
        str(path.parent.parent / Path(record["log"]).name),
        record["started"],
        seconds,
        bool(record["ended"]),
        counts,
        who,
        failures,
    )


def _who(record: Mapping[str, Any], alive: bool | None) -> str:
    ids = f", {record['engine']} {' '.join(record['ids'])}" if record["ids"] else ""
    if alive is False:
        return f"{record['launcher']} was killed{ids}"
    return f"{record['launcher']}, process {record['pid']} on {record['host']}{ids}"


def _newest(directory: Path, job: ArrayJob) -> float:
    times = [log.stat().st_mtime for log in (directory / job.log_of(n).name for n in job.jobs) if log.exists()]
    return max(times, default=0.0)


def spell_seconds(seconds: float) -> str:
    """`45 s`, `12:05 min`, `3:10 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
