"""Starting the processes of one training on this machine, as torchrun does, but with one process's last word."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from spkid.kaldi import InputError

LOOK_SECONDS = 0.1
NOTICE_SECONDS = 3.0  # in which the others notice by themselves that one has ended, and say it
GRACE_SECONDS = 10.0


def number_of_nodes() -> int:
    """On how many machines this training's processes are."""
    return int(os.environ.get("NNODES", 1))


def run_processes(count: int, command: Sequence[str], keep_open: Sequence[int] = ()) -> int:
    """Runs `command` `count` times at once with the variables that torchrun sets; 0, or the status of one that failed.

    When one fails, the others are ended; a process that a signal ended is an InputError. On several nodes (NNODES,
    NODE_RANK, MASTER_ADDR, MASTER_PORT, from utils/slurm.py --nodes) these are the processes of one node of them.

    keep_open: file descriptors that the processes inherit (a lock).
    """
    nodes, node = number_of_nodes(), int(os.environ.get("NODE_RANK", 0))
    common = {"WORLD_SIZE": nodes * count, "LOCAL_WORLD_SIZE": count}
    if nodes == 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free.getsockname()[1]}
    running = []
    try:
        for rank in range(count):
            own = {**common, "RANK": node * count + rank, "LOCAL_RANK": rank}
            environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
            running.append(subprocess.Popen(command, env=environment, pass_fds=keep_open))
        while True:
            statuses = [process.poll() for process in running]
            failed = [status for status in statuses if status]
            if all(status == 0 for status in statuses):
                return 0
            if failed:
                _wait(running, NOTICE_SECONDS)
                break
            time.sleep(LOOK_SECONDS)
    finally:
        _end(running)
    if failed[0] < 0:
        number, name = statuses.index(failed[0]) + 1, signal.Signals(-failed[0]).name
        raise InputError(f"process {number} of {count} was ended by {name}")
    return failed[0]


def _end(running: Sequence[subprocess.Popen]) -> None:
    for process in running:
        if process.poll() is None:
            process.terminate()
    _wait(running, GRACE_SECONDS)
    for process in running:
        if process.poll() is None:  # stuck in an exchange with one that is gone
            process.kill()
            process.wait()


def _wait(running: Sequence[subprocess.Popen], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(process.poll() is None for process in running):
        time.sleep(LOOK_SECONDS)
