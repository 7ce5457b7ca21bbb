"""Fetching a corpus: downloads that go on where they broke off, and archives that cannot write outside their folder."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import ssl
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from spkid.jobs import progress
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

BLOCK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60
ATTEMPTS = 5
NETWORK_ERRORS = (urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)


def fetch(
    url: str, path: Path, sha256: str = "", attempts: int = ATTEMPTS, pause_seconds: float = 2.0, md5: str = ""
) -> str:
    """Downloads `url` to `path` and returns the SHA-256 of the file.

    What arrived before an interruption is kept in `path.part`, and the next attempt (or the next run) asks the server
    for the rest of the very same file (HTTP Range with If-Range: a file that changed meanwhile is fetched anew). The
    file takes its name only when it has as many bytes as the server announced and, where `sha256` or `md5` is given,
    that sum.

    Raises:
        InputError: the server cannot be reached or refuses, the connection breaks `attempts` times, or a check fails.
    """
    part, state = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, attempts + 1):
        try:
            _receive(url, part, state)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == attempts:
                raise InputError(f"{url}: the server answers {error.code} {error.reason}") from None
        except NETWORK_ERRORS as error:
            if attempt == attempts:
                kept = part.stat().st_size if part.exists() else 0
                why = getattr(error, "reason", None) or error
                raise InputError(
                    f"{url}: {why}; {kept} bytes are kept in {part}: run the same command again to go on"
                ) from None
        time.sleep(pause_seconds)
    found = checksum(part, "sha256")
    for name, wanted in (("sha256", sha256), ("md5", md5)):
        arrived = found if name == "sha256" else checksum(part, name) if wanted else ""
        if wanted and arrived != wanted.lower():
            part.unlink()
            state.unlink(missing_ok=True)
            what = f"the file that arrived has {name.upper().replace('SHA', 'SHA-')} {arrived}"
            raise InputError(f"{url}: {what}, expected {wanted}; it was thrown away")
    os.replace(part, path)
    state.unlink(missing_ok=True)
    return found


def extract(archive: Path, directory: Path) -> None:
    """Unpacks a tar or zip archive's files and folders into `directory`, which must not exist; all of it or nothing.

    Refuses an archive with any member that has an absolute path or `..` in it, or that is a link or a device, before
    a byte is written.

    Raises:
        InputError: such a member, or an archive that is damaged or cut short.
    """
    unpacked = directory.with_name(directory.name + ".part")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with _open(archive) as opened:
            is_zip = isinstance(opened, zipfile.ZipFile)
            members = opened.infolist() if is_zip else opened.getmembers()
            for member in members:
                _check_member(member, archive)
            unpacked.mkdir(parents=True)
            for member in progress(members, f"unpacking {archive.name}", unit="files"):
                opened.extract(member, unpacked, **({} if is_zip else {"set_attrs": False}))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
        shutil.rmtree(unpacked, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{archive}: damaged or cut short ({error}): remove it and download it again") from None
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    os.replace(unpacked, directory)


def _open(archive: Path) -> tarfile.TarFile | zipfile.ZipFile:
    if zipfile.is_zipfile(archive):
        return zipfile.ZipFile(archive)
    tar = tarfile.open(archive)  # noqa: SIM115
    if hasattr(tarfile, "data_filter"):  # not in the Python 3.11.2 of Debian 12
        tar.extraction_filter = tarfile.data_filter
    return tar


def _receive(url: str, part: Path, state: Path) -> None:
    """One attempt: from where `part` ends to the end of the file."""
    known = _read_state(state) if part.exists() else {}
    start = part.stat().st_size if known.get("url") == url and known.get("version") else 0
    if start and start == known.get("bytes"):
        return
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", known["version"])
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        if response.status == 206:
            total = _total_of_range(response.headers.get("Content-Range", ""), start, url)
        else:  # the whole file: the first attempt, another version, or a server that cannot resume
            start, total = 0, int(response.headers.get("Content-Length") or -1)
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if version.startswith("W/"):  # a weak tag does not promise equal bytes
            version = response.headers.get("Last-Modified") or ""
        with atomic_write(state) as stream:
            json.dump({"url": url, "version": version, "bytes": total}, stream)
        _copy(response, part, start, total)
    arrived = part.stat().st_size
    if total >= 0 and arrived != total:
        raise http.client.IncompleteRead(b"", total - arrived)


def _copy(response: http.client.HTTPResponse, part: Path, start: int, total: int) -> None:
    blocks = iter(lambda: response.read(BLOCK_BYTES), b"")
    count = -(-(total - start) // BLOCK_BYTES) if total >= 0 else None
    with open(part, "r+b" if start else "wb") as stream:
        stream.seek(start)
        stream.truncate()
        for block in progress(blocks, "download", total=count, unit="MB"):
            stream.write(block)


def _total_of_range(header: str, start: int, url: str) -> int:
    """The file's length from `Content-Range: bytes 100-199/200`."""
    unit, _, rest = header.partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes" or not total.isdigit() or span.partition("-")[0] != str(start):
        raise InputError(f"{url}: asked for the bytes from {start} on, the server sent 'Content-Range: {header}'")
    return int(total)


def _read_state(state: Path) -> dict:
    try:
        return json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def checksum(path: Path, name: str) -> str:
    """The checksum of a file, in hexadecimal digits; name: `sha256` or `md5`."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, name).hexdigest()


def _check_member(member: tarfile.TarInfo | zipfile.ZipInfo, archive: Path) -> None:
    if isinstance(member, zipfile.ZipInfo):
        name, mode = member.filename, member.external_attr >> 16
        plain = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
    else:
        name, plain = member.name, member.isfile() or member.isdir()
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{archive}: refused, its member '{name}' would be written outside of its folder")
    if not plain:
        raise InputError(f"{archive}: refused, its member '{name}' is neither a file nor a folder")
