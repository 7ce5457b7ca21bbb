"""Kaldi's extended file names: files, offsets into files, standard streams and pipes (util/kaldi-io.cc).

A file to read (rxfilename) is `path`, `path:offset`, `-` or the empty string (standard input) or `command |`.
A file to write (wxfilename) is `path`, `-` or the empty string (standard output) or `| command`.

Unlike Kaldi, a command that fails is an error, and a regular file appears under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from typing import IO, BinaryIO

from spkid.kaldi.errors import InputError

BUFFER_BYTES = 1 << 17
NO_PIPES = "SPKID_NO_PIPES"  # set in the environment (by --no-pipes): no file name is run as a command


class InputStream(io.BufferedReader):
    """A binary input whose `name` is fit for an error message."""

    name = ""

    def __init__(self, raw: io.RawIOBase, name: str) -> None:
        super().__init__(raw, BUFFER_BYTES)
        self.name = name

    def move_to(self, offset: int) -> None:
        """Seeks; raises InputError where that is impossible."""
        try:
            self.seek(offset)
        except OSError as error:
            raise InputError(f"cannot read {self.name} at byte {offset}: {reason(error)}") from None


def split_offset(rxfilename: str) -> tuple[str, int]:
    """Splits `path:offset` into path and byte offset; the offset is 0 where there is none."""
    path, colon, digits = rxfilename.rpartition(":")
    if colon and path and digits.isascii() and digits.isdigit() and len(digits) < 19:  # or no file system's offset
        return path, int(digits)
    return rxfilename, 0


def is_pipe(filename: str) -> bool:
    """Whether an rxfilename or wxfilename is a command rather than a file."""
    return filename.endswith("|") or filename.startswith("|")


def forbid_pipes() -> None:
    """From here on this process and those that it starts run no file name as a command."""
    os.environ[NO_PIPES] = "1"


def pipes_are_forbidden() -> bool:
    """Whether `--no-pipes` was given, to this program or to one that started it."""
    return bool(os.environ.get(NO_PIPES))


def _check_pipes(filename: str) -> None:
    if pipes_are_forbidden():
        raise InputError(f"the command '{filename}' is not run: --no-pipes ({NO_PIPES}) forbids it; give a file")


def check_input_name(rxfilename: str) -> None:
    """Refuses names that can only be a mistake: an output pipe, stray blanks, a pipe sign in the middle."""
    if rxfilename.startswith("|"):
        raise InputError(f"cannot read from the output pipe {rxfilename!r}: write the command first, as in 'command |'")
    if rxfilename != rxfilename.strip():
        raise InputError(f"cannot read {rxfilename!r}: the name begins or ends with a blank")
    if "|" in rxfilename and not rxfilename.endswith("|"):
        raise InputError(f"cannot read {rxfilename!r}: a command to read from must end with '|'")


def reason(error: OSError | ValueError) -> str:
    """What the operating system said, without Python's decoration (a ValueError: a NUL byte in a name)."""
    return getattr(error, "strerror", None) or str(error)


@contextlib.contextmanager
def open_input(rxfilename: str) -> Iterator[InputStream]:
    """Opens an rxfilename for reading bytes.

    The exit status of a command is checked when its output was read to the end; a reader that stops early (because it
    has all it wants) does not make the command's broken pipe an error.

    Raises:
        InputError: the file cannot be opened, or the command failed.
    """
    check_input_name(rxfilename)
    if rxfilename in ("", "-"):
        yield InputStream(io.FileIO(0, closefd=False), "standard input")
    elif rxfilename.endswith("|"):
        with _read_command(rxfilename) as stream:
            yield stream
    else:
        path, offset = split_offset(rxfilename)
        with InputStream(open_file(path), path) as stream:
            if offset:
                stream.move_to(offset)
            yield stream


def open_file(path: str) -> io.FileIO:
    """Opens a regular file, or says why not."""
    try:
        return io.FileIO(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None


@contextlib.contextmanager
def _read_command(rxfilename: str) -> Iterator[InputStream]:
    import subprocess

    _check_pipes(rxfilename)
    process = subprocess.Popen(rxfilename[:-1], shell=True, stdout=subprocess.PIPE, bufsize=0)
    stream = InputStream(process.stdout, rxfilename)
    problem = None
    try:
        yield stream
    except InputError as error:  # what the command left unfinished is better explained by its own failure
        problem = error
    except BaseException:
        process.terminate()
        stream.close()
        process.wait()
        raise
    finished = not stream.peek(1)
    stream.close()
    status = process.wait()
    if finished and status:
        raise InputError(f"the command '{rxfilename}' failed with status {status}")
    if problem is not None:
        raise problem


@contextlib.contextmanager
def open_output(wxfilename: str) -> Iterator[BinaryIO]:
    """Opens a wxfilename for writing bytes; a regular file takes its name when the block ends without an exception.

    Raises:
        InputError: the file cannot be written (missing directory, no permission, full disk), or the command failed.
    """
    if wxfilename in ("", "-"):
        with _naming("standard output"), _standard_output() as stream:
            yield stream
            stream.flush()
    elif wxfilename.startswith("|"):
        with _write_command(wxfilename) as stream:
            yield stream
    elif wxfilename.endswith("|"):
        raise InputError(f"cannot write to the input pipe {wxfilename!r}: write '| command'")
    elif wxfilename != wxfilename.strip():
        raise InputError(f"cannot write {wxfilename!r}: the name begins or ends with a blank")
    elif split_offset(wxfilename)[0] != wxfilename:
        raise InputError(f"cannot write to an offset inside a file: {wxfilename}")
    else:
        with atomic_write(wxfilename, "wb") as stream:
            yield stream


@contextlib.contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    stream = sys.stdout.buffer
    if not isinstance(stream, io.RawIOBase):
        yield stream
        return
    # PYTHONUNBUFFERED: a raw stream may write less than it is given, and does not say so
    stream = io.BufferedWriter(stream, BUFFER_BYTES)
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError):  # what is left after an error
            stream.detach()


@contextlib.contextmanager
def _write_command(wxfilename: str) -> Iterator[BinaryIO]:
    import subprocess

    _check_pipes(wxfilename)
    process = subprocess.Popen(wxfilename[1:], shell=True, stdin=subprocess.PIPE, bufsize=BUFFER_BYTES)
    try:
        yield process.stdin
        process.stdin.close()
    except BrokenPipeError:
        pass  # the command's own status, below, says more
    except BaseException:
        process.kill()
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()
        raise
    status = process.wait()
    if status:
        raise InputError(f"the command '{wxfilename}' failed with status {status}")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Writes a file that appears under its name, whole, when the block ends; after an exception nothing has changed.

    Args:
        path: the file. A symbolic link stays a link. Devices and named pipes are written directly.
        mode: "w" for UTF-8 text with "\\n" line ends, "wb" for bytes.

    Raises:
        InputError: the file cannot be written; the sentence names it.
    """
    path = os.fspath(path)
    target = os.path.realpath(path)
    with _naming(path):
        try:
            special = not stat.S_ISREG(os.stat(target).st_mode)
        except FileNotFoundError:
            special = False
        if special:
            with _open_for_writing(target, mode) as stream:
                yield stream
            return
        folder, name = os.path.split(target)
        if not os.path.isdir(folder):
            raise InputError(f"cannot write {path}: the directory {folder} does not exist")
        # Hidden, so that no '*.ark' catches it; with the process's number, so that two writers do not meet.
        temporary = os.path.join(folder, f".{name[:120]}.{os.getpid()}.{os.urandom(3).hex()}.tmp")
        try:
            with _open_for_writing(temporary, mode, exclusive=True) as stream:
                yield stream
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _open_for_writing(path: str, mode: str, exclusive: bool = False) -> IO:
    letter = "x" if exclusive else "w"
    if mode == "wb":
        return open(path, letter + "b", buffering=BUFFER_BYTES)
    if mode == "w":
        return open(path, letter, encoding="utf-8", newline="\n")
    raise ValueError(f"mode {mode!r} is neither 'w' nor 'wb'")


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Gives an operating-system error raised while writing the name of the file.

    Errors that carry the name of some other file pass through: the block may read as well.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None and os.path.dirname(error.filename) != os.path.dirname(os.path.realpath(path)):
            raise
        raise InputError(f"cannot write {path}: {reason(error)}") from None
