"""The log of a job, in Kaldi's form: `# command`, host and start time first; elapsed time and exit code last."""

import os
import re
import signal
import time
from pathlib import Path

NO_CODE = "# Ended (no code) at"
KILLED = 128 + signal.SIGKILL
BASH_SAYS_KILLED = re.compile(r": line \d+: +\d+ Killed\b")
ENDED = re.compile(r"# Ended \((?:code )?(\d+|no code)\)")


class Log:
    """How far the job of a log has come: whether it has started and ended, and its exit code (None: it left none)."""

    def __init__(self, log: str | os.PathLike):
        lines = _tail(log)
        closing = ENDED.match(lines[-1]) if lines else None
        self.has_started = bool(lines)
        self.has_ended = closing is not None
        self.code = int(closing[1]) if closing and closing[1] != "no code" else None


def succeeded(log: str | os.PathLike) -> bool:
    """Whether the log's closing line says that its job ended with code 0."""
    return Log(log).code == 0


def has_ended(log: str | os.PathLike) -> bool:
    """Whether the log's closing line says that its job has ended, well or not."""
    return Log(log).has_ended


def last_lines(log: str | os.PathLike, count: int = 10) -> list[str]:
    """The last `count` lines that the job itself wrote (not the launcher's `#` lines)."""
    return [line for line in _tail(log) if line.strip() and not line.startswith("# ") and line != "#"][-count:]


def note_end(log: str | os.PathLike, reason: str) -> None:
    """Closes the log of a job that could not do so itself."""
    with open(log, "a", encoding="utf-8") as stream:
        stream.write(f"\n{NO_CODE} {time.strftime('%Y-%m-%d %H:%M:%S')}: it {reason}\n")


def last_words(log: str | os.PathLike) -> str:
    """The last line that the job itself wrote, or what is to be said in its place."""
    if not Path(log).exists():
        return "nothing (the job has not started)"
    lines = _tail(log)
    if lines and lines[-1].startswith(NO_CODE):
        return lines[-1].partition(": ")[2]
    words = next(iter(last_lines(log, 1)), "nothing")
    if Log(log).code == KILLED or BASH_SAYS_KILLED.search(words):
        return "killed (signal 9), perhaps out of memory: give a job more, or run fewer at a time (--max-jobs-run)"
    return words


def _tail(log: str | os.PathLike) -> list[str]:
    """The last lines of the file, from its last 64 kB."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 2**16))
            return stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
