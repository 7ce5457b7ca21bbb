"""Corpora of archives: fetched, checked and unpacked once, and never again while the files are there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from plumbum import cli

from local.common.archives import checksum, extract, fetch
from local.common.walking import LeftOut, files_below
from spkid.jobs import Program
from spkid.jobs.lock import Lock
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

RECORDINGS = (".wav", ".flac")
OPENSLR = "https://www.openslr.org/resources"


class Archive(NamedTuple):
    """An archive of a corpus.

    Attributes:
        url: where it is; where it comes in several files, the endings of their names are in `parts`.
        md5: as its publisher says, one a part.
        content: what it unpacks to, below the folder of downloads: `musan`, `LibriSpeech/test-clean`.
        recordings: how many there are in `content`, at least, when it is complete.
    """

    url: str
    md5: tuple[str, ...]
    content: str
    recordings: int
    parts: tuple[str, ...] = ("",)

    @property
    def name(self) -> str:
        """The archive's own file name."""
        return self.url.rpartition("/")[2]


class DownloadProgram(Program):
    """What every `download` of archives takes; a corpus' own says which archives and what to do with a mirror."""

    url = cli.SwitchAttr("--url", str, default="", help="a mirror: the folder that holds the archives")
    keep_archive = cli.Flag("--keep-archive", help="do not remove an archive when it is unpacked")
    no_checksum = cli.Flag("--no-checksum", help="take a mirror's archive whatever its checksum")

    def get(self, directory: str, archives: Sequence[Archive], unpack: Callable[[Path], None] | None = None) -> int:
        """Fetches what is not there into the folder; `unpack` is called with the unpacked tree before it is moved."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(folder / ".lock"):
            for archive in archives:
                if not _is_complete(folder, archive):
                    self._get(folder, archive, unpack)
                print(f"{Path(self.PROGNAME).stem.split()[0]}: {folder / archive.content} is complete", flush=True)
        return 0

    def _get(self, folder: Path, archive: Archive, unpack: Callable[[Path], None] | None) -> None:
        path, unpacked = folder / archive.name, folder / f".{archive.name}.unpacked"
        source = f"{self.url.rstrip('/')}/{archive.name}" if self.url else archive.url
        if path.exists():
            self._check(path, archive)
        else:
            pieces = [path.with_name(path.name + ending) for ending in archive.parts]
            for piece, ending, md5 in zip(pieces, archive.parts, archive.md5, strict=True):
                if not piece.exists():
                    fetch(source + ending, piece, md5="" if self.no_checksum else md5)
            if len(pieces) > 1:
                _join(pieces, path)
        shutil.rmtree(unpacked, ignore_errors=True)
        extract(path, unpacked)
        if not (unpacked / archive.content).is_dir():
            shutil.rmtree(unpacked)
            raise InputError(f"{path}: holds no folder {archive.content}; it is another archive: remove it")
        if unpack is not None:
            unpack(unpacked / archive.content)
        count = _count(unpacked / archive.content)
        merge_tree(unpacked, folder)
        with atomic_write(_stamp(folder, archive)) as stream:
            json.dump({"archive": archive.name, "recordings": count}, stream)
        shutil.rmtree(unpacked, ignore_errors=True)
        if count < archive.recordings:
            told = f"{folder / archive.content} has {count} recordings (published: {archive.recordings} or more)"
            print(f"warning: {told}", flush=True)
        if not self.keep_archive:
            path.unlink()

    def _check(self, path: Path, archive: Archive) -> None:
        """An archive that somebody put there, or that --keep-archive kept; the joined one of several is taken as is."""
        if self.no_checksum or len(archive.md5) > 1:
            return
        found = checksum(path, "md5")
        if found != archive.md5[0]:
            raise InputError(
                f"{path}: has MD5 {found}, expected {archive.md5[0]}: remove it, so that it is fetched again, "
                "or take it as it is with --no-checksum"
            )


def _is_complete(folder: Path, archive: Archive) -> bool:
    content = folder / archive.content
    if not content.is_dir():
        return False
    try:
        expected = json.loads(_stamp(folder, archive).read_text(encoding="utf-8"))["recordings"]
    except (OSError, ValueError, KeyError, TypeError):
        expected = archive.recordings  # unpacked by hand
    return _count(content) >= expected


def _stamp(folder: Path, archive: Archive) -> Path:
    return folder / f".{archive.name}.json"


def _count(folder: Path) -> int:
    """Recordings below a folder that are not empty."""
    return len(files_below(folder, RECORDINGS, LeftOut()))


def _join(pieces: list[Path], path: Path) -> None:
    with atomic_write(path, "wb") as stream:
        for piece in pieces:
            with open(piece, "rb") as source:
                shutil.copyfileobj(source, stream, 1 << 24)
    for piece in pieces:
        piece.unlink()


def merge_tree(source: Path, target: Path) -> None:
    """Moves what is in a folder into another one; a file that is there already is replaced."""
    for entry in source.iterdir():
        there = target / entry.name
        if entry.is_dir() and there.is_dir():
            merge_tree(entry, there)
            entry.rmdir()
        else:
            os.replace(entry, there)
