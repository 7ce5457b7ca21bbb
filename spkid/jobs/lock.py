"""A lock on an output directory that a step's jobs inherit, so that nobody writes there beside them."""

import fcntl
import json
import os
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import Self

from spkid.kaldi import InputError

SECONDS_BETWEEN_ATTEMPTS = 0.5


class Lock:
    """An flock on `path` (created, never removed), held until `release`, and by heirs until they end.

    Pass `descriptor` on to the processes that must hold the lock too (`subprocess`: `pass_fds`). `acquire` refuses with
    InputError where the run that took the lock is alive, naming it. What a killed run left behind is waited for: jobs,
    and a step that goes on although the recipe that started it is gone.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.descriptor: int | None = None

    def acquire(self) -> Self:
        """Takes the lock and writes who holds it into the file."""
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        told = False
        while not self._try():
            owner = self._owner()
            left = _left_behind(owner)
            if left is None:
                os.close(self.descriptor)
                raise InputError(f"{self.path.parent} is in use by {_describe(owner)}; wait for it or stop it")
            if not told:
                print(f"{self.path.parent}: waiting for {left}", file=sys.stderr, flush=True)
                told = True
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": start_time(os.getpid()),
            "parent": os.getppid(),
            "parent_started": start_time(os.getppid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "command": shlex.join(sys.argv),
        }
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(owner).encode(), 0)
        return self

    def release(self) -> None:
        """Lets go of this process's share of the lock."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_) -> None:
        self.release()

    def _try(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise InputError(f"{self.path} cannot be locked ({error.strerror}); write somewhere else") from None
        return True

    def _owner(self) -> dict | None:
        try:
            return json.loads(self.path.read_bytes())
        except ValueError:
            return None  # taken this instant: its owner has not signed yet


def _left_behind(owner: dict | None) -> str | None:
    """What a run that was killed on this machine has left there; None where somebody may still want it to go on."""
    if owner is None or owner["host"] != socket.gethostname():
        return None
    if start_time(owner["pid"]) != owner["started"]:
        return f"the jobs that process {owner['pid']} left behind when it was killed"
    # init as the parent: what started it was gone before it took the lock
    if owner.get("parent") == 1 or start_time(owner.get("parent")) != owner.get("parent_started"):
        return f"process {owner['pid']} ({owner['command']}), which goes on although what started it is gone"
    return None


def _describe(owner: dict | None) -> str:
    if owner is None:
        return "another run"
    return f"process {owner['pid']} on {owner['host']} since {owner['since']} ({owner['command']})"


def start_time(pid: int | None) -> str | None:
    """When process `pid` started, in the kernel's ticks: a later process may have its number. None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
