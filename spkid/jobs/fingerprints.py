"""What a step's inputs and outputs looked like, in a few characters each."""

import hashlib
import os
from pathlib import Path

from spkid.kaldi import InputError

# Too large or too costly to read again only to learn that nothing changed: size and modification time stand for these.
AUDIO = {".wav", ".flac", ".sph", ".ogg", ".mp3", ".m4a", ".pcm"}
ARCHIVES = {".ark", ".gz", ".tgz", ".zip", ".npy", ".mat", ".mcp"}
LARGEST_HASHED_FILE = 256 * 2**20  # bytes


def fingerprint(path: str | os.PathLike) -> str:
    """A string that changes when the file, or what it lists, changes.

    Text and configuration: SHA-256 of the bytes. Archives, audio and files over 256 MB: size and modification time.
    A `.scp` file: its text and the size and time of the archives or audio files that it points to, because an archive
    can be rewritten without changing any offset. A directory: its visible regular files. What is not there: "missing".
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        return _digest("".join(f"{file.name} {fingerprint(file)}\n" for file in files).encode())
    try:
        status = path.stat()
        if path.suffix.lower() in AUDIO | ARCHIVES or status.st_size > LARGEST_HASHED_FILE:
            return f"{status.st_size}:{status.st_mtime_ns}"
        content = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    return _digest(content) + (f"+{_stamps_of_listed_files(content)}" if path.suffix == ".scp" else "")


def stamp(path: str | os.PathLike) -> str:
    """Size in bytes and modification time in nanoseconds, `size:time`; "missing" where there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed_file(entry: str) -> str | None:
    """The file behind an entry of a script (`path`, `path:offset`, `path:offset[range]`); None for a command."""
    entry = entry.strip()
    if not entry or entry.endswith("|"):
        return None
    if entry.endswith("]"):
        entry = entry.rpartition("[")[0]
    archive, colon, offset = entry.rpartition(":")
    return archive if colon and offset.isdigit() else entry


def _stamps_of_listed_files(script: bytes) -> str:
    lines = script.decode("utf-8", "surrogateescape").splitlines()
    files = {file for line in lines if (file := listed_file(line.partition(" ")[2])) is not None}
    return _digest("".join(f"{file} {stamp(file)}\n" for file in sorted(files)).encode("utf-8", "surrogateescape"))[:16]
