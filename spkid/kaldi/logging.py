"""Messages on standard error in Kaldi's form, and the frame every tool runs in."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable

from spkid.kaldi.errors import InputError

_program = "spkid"
_verbosity = 0


def set_verbosity(level: int) -> None:
    """Sets the level of `--verbose`."""
    global _verbosity
    _verbosity = level


def program_name() -> str:
    """The name of the tool that runs, as a user types it."""
    return _program


def log(message: str) -> None:
    """Prints `LOG (tool): message`."""
    _print(f"LOG ({_program}): {message}")


def verbose(level: int, message: str) -> None:
    """Prints `VLOG[level] (tool): message` where `--verbose` is at least that level."""
    if level <= _verbosity:
        _print(f"VLOG[{level}] ({_program}): {message}")


def warn(message: str) -> None:
    """Prints `WARNING (tool): message`."""
    _print(f"WARNING ({_program}): {message}")


def error(message: str) -> None:
    """Prints `ERROR (tool): message`, on one line."""
    _print(f"ERROR ({_program}): {message}")


def _print(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed standard error must not stop the work
        print(" ".join(text.splitlines()), file=sys.stderr, flush=True)


def run_tool(main: Callable[[list[str] | None], int]) -> Callable[[list[str] | None], int]:
    """Decorates a tool's `main(argv=None) -> exit status`.

    What a user can cause (InputError, the operating system's errors, an interrupt, too little memory) becomes one line
    on standard error and exit status 1; a reader that went away, nothing but exit status 141, as after SIGPIPE. SIGTERM
    unwinds like an exception, so that temporary files go. The tool's name in messages is that of its file.
    """
    name = os.path.splitext(os.path.basename(main.__code__.co_filename))[0].replace("_", "-")

    @functools.wraps(main)
    def wrapper(argv: list[str] | None = None) -> int:
        global _program
        _program = name
        with _terminating():
            try:
                status = main(argv)
                sys.stdout.flush()
                return status
            except InputError as problem:
                error(str(problem))
            except KeyboardInterrupt:
                error("interrupted")
            except BrokenPipeError:
                # "copy-feats ... | head": the reader has seen enough. Kaldi's tools die of the signal, without a word.
                # Python would try once more to flush at exit, and complain.
                with contextlib.suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 128 + signal.SIGPIPE
            except OSError as problem:
                where = f"{problem.filename}: " if problem.filename else ""
                error(f"{where}{problem.strerror or problem}")
            except MemoryError:
                error("out of memory")
            return 1

    return wrapper


@contextlib.contextmanager
def _terminating():
    def stop(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
