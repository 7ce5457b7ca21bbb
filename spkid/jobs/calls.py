"""What a launcher's call leaves beside its script: who runs which jobs where, so that others find them."""

import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spkid.jobs.array_job import ArrayJob, ranges
from spkid.jobs.lock import start_time
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write


class Call:
    """The record `q/<name>.json` of one call of a launcher, from before its first job is submitted until its end.

    `name` is what the engine calls the jobs: unique, and on disk before anything is submitted, so that whoever starts
    the same jobs again after a kill finds those that were left behind (`end_orphans`). A call whose launcher lives, or
    runs on another machine, is refused with InputError.
    """

    def __init__(self, job: ArrayJob, launcher: str, engine: str):
        self.path = record_of(job)
        self.launcher = launcher
        title = re.sub(r"[^A-Za-z0-9_.-]", "_", self.path.stem)
        self.name = f"{title if title[:1].isalpha() else f'job_{title}'}.{secrets.token_hex(3)}"
        end_orphans(self.path)
        self._started = time.time()
        self._record: dict[str, Any] = {
            "launcher": launcher,
            "engine": engine,
            "name": self.name,
            "ids": [],
            "log": job.log,
            "array": job.name if job.numbers is not None else None,
            "jobs": ranges(job.jobs),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": start_time(os.getpid()),
            "directory": str(Path.cwd()),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "ended": None,
            "failed": {},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def submitted(self, identifier: str) -> None:
        """Notes what the engine calls an array that it has taken."""
        self._record["ids"].append(identifier)
        self._write()

    def end(self, failed: Mapping[int, str]) -> None:
        """Notes that no job is left, and why those that failed did."""
        self._record["ended"] = time.strftime("%Y-%m-%d %H:%M:%S")
        self._record["seconds"] = round(time.time() - self._started, 3)
        self._record["failed"] = {str(job): reason for job, reason in failed.items()}
        self._write()

    def _write(self) -> None:
        _write(self.path, self._record)


def record_of(job: ArrayJob) -> Path:
    """Where the record of a call lies."""
    return job.script.with_suffix(".json")


def read_record(path: str | os.PathLike) -> dict[str, Any] | None:
    """A call's record; None where there is none."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"launcher", "log", "ended"} <= record.keys() else None


def is_alive(record: Mapping[str, Any]) -> bool | None:
    """Whether the launcher of a record still runs; None where that cannot be told from this machine."""
    if record["ended"]:
        return False
    if record["host"] != socket.gethostname():
        return None
    started = start_time(record["pid"])
    return started is not None and started == record["process_started"]


def end_orphans(path: str | os.PathLike, launcher_is_gone: bool = False) -> None:
    """Cancels the jobs on a cluster that a killed launcher left behind, waits until they have ended, and says so.

    path: a call's record. launcher_is_gone: known from elsewhere (a lock). Raises InputError where the launcher lives.
    """
    record = read_record(path)
    if record is None or record["ended"] or record["pid"] == os.getpid():
        return
    if not launcher_is_gone and is_alive(record) is not False:
        who = f"{record['launcher']}, process {record['pid']} on {record['host']}, since {record['started']}"
        gone = "" if is_alive(record) else f" (if it is gone: cancel jobs named {record['name']} and remove {path})"
        raise InputError(f"the jobs of {record['log']} are run by {who}; wait for it or stop it{gone}")
    if record["engine"] != "local":
        from spkid.jobs.engines import engine_named

        left = f"the jobs that a killed {record['launcher']} left behind"
        print(f"{record['log']}: cancelling {left}", file=sys.stderr, flush=True)
        if not engine_named(record["engine"])().cancel(record["name"]):
            raise InputError(
                f"the jobs named {record['name']} that a killed {record['launcher']} left behind on {record['engine']} "
                "have not ended; cancel them by hand, then run this again"
            )
    record["ended"] = time.strftime("%Y-%m-%d %H:%M:%S")
    _write(Path(path), record)


def _write(path: Path, record: Mapping[str, Any]) -> None:
    with atomic_write(path) as stream:
        json.dump(record, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
