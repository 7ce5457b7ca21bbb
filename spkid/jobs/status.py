"""What ran, runs and failed below a directory: records of steps and of launchers' calls, and the logs of their jobs."""

import fcntl
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
class Status:
    """One step, or one call of a launcher: when it ended or began, how long it took, what is to be said of it.

    failures: logs of jobs that failed -> what happened, the last lines.
    """

    time: str
    seconds: float
    text: str
    failures: dict[Path, tuple[str, list[str]]] = field(default_factory=dict)

    def line(self) -> str:
        """It in one line."""
        return f"{self.time}  {spell_seconds(self.seconds):>9}  {self.text}"


def find(directory: str | os.PathLike, lines: int) -> list[Status]:
    """All steps and calls below a directory. lines: how many last lines of a failed job to keep."""
    found = []
    for path in _records(Path(directory)):
        if path.name == ".done.json":
            found.append(_finished_step(path))
        elif path.name == ".lock":
            found.append(_running_step(path))
        else:
            record = read_record(path)
            found.append(_call(path, record, lines) if record else None)
    return [status for status in found if status]


def _records(directory: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted(files):
            if name in (".done.json", ".lock") or (name.endswith(".json") and os.path.basename(folder) == "q"):
                yield Path(folder) / name


def _finished_step(path: Path) -> Status | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        text = f"{path.parent}: {record['step']} done: {record['summary']}"
        return Status(record["finished"], float(record["seconds"]), text)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _running_step(lock: Path) -> Status | None:
    try:
        with open(lock, "rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = json.loads(stream.read())
                text = f"{lock.parent}: running: process {owner['pid']} on {owner['host']} ({owner['command']})"
                return Status(owner["since"], time.time() - _seconds(owner["since"]), text)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None  # nobody works there


def _seconds(text: str) -> float:
    return time.mktime(time.strptime(text, TIME))


def _call(path: Path, record: Mapping[str, Any], lines: int) -> Status:
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
        seconds = max(0.0, end - _seconds(record["started"]))
    who = record["launcher"] if record["ended"] else _who(record, alive)
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    name = path.parent.parent / Path(record["log"]).name
    return Status(record["started"], seconds, f"{name}: {len(job.jobs)} jobs: {states} ({who})", failures)


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
