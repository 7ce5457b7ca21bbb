"""Finding the files of a corpus: one walk over its folders, and a list of what was met and could not be used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write, reason

DEEPEST_FOLDER = 12  # more is a loop of symbolic links
SHOWN = 3
MINIATURE = "MINIATURE"  # the file that tells a miniature (local/miniature.py) from the corpus it is named after


class File(NamedTuple):
    """A file under a root: its path below the root, with `/`, and its size in bytes."""

    path: str
    size: int

    @property
    def parts(self) -> list[str]:
        """The folders and the name."""
        return self.path.split("/")

    @property
    def stem(self) -> str:
        """The name without its last extension."""
        return self.path.rpartition("/")[2].rpartition(".")[0]


class LeftOut:
    """What a preparation met and did not use, by reason; nothing is left out silently.

    `report` prints a line a reason and `write` keeps the whole list.
    """

    def __init__(self) -> None:
        self.by_reason: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Notes one file, speaker or line under a reason that follows on its name: `is empty`."""
        self.by_reason.setdefault(reason, []).append(name)

    def __len__(self) -> int:
        return sum(map(len, self.by_reason.values()))

    def report(self, say: Callable[[str], None]) -> None:
        """One line a reason with how many and the first ones."""
        for why, names in sorted(self.by_reason.items()):
            rest = f" and {len(names) - SHOWN} more" if names[SHOWN:] else ""
            shown = ", ".join(_printable(name) for name in sorted(names)[:SHOWN])
            say(f"warning: left out {len(names)}, {why}: {shown}{rest}")

    def write(self, path: str | os.PathLike) -> None:
        """All of it, `reason<TAB>name` a line, sorted; an empty file where nothing was left out."""
        with atomic_write(path) as stream:
            for why, names in sorted(self.by_reason.items()):
                stream.writelines(f"{why}\t{_printable(name)}\n" for name in sorted(names))


def files_below(
    root: str | os.PathLike, extensions: Collection[str], left_out: LeftOut, *, ignore: Collection[str] = ()
) -> list[File]:
    """Every file below a folder with one of these extensions (".wav", lower case), sorted by path.

    Folders and files whose name begins with a dot are passed over, and so are, without a word, files named in `ignore`
    (the corpus' own notes) and the mark of a miniature. Links are followed. Files that cannot be used are left out and
    noted: other extensions, empty files, names that no line of a table can hold.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    root = os.fspath(root).rstrip("/") or "/"
    found: list[File] = []
    extensions = tuple(extensions)
    ignore = {*ignore, MINIATURE}
    waiting = [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        for entry in _entries(f"{root}/{folder}"):
            name = entry.name
            if name.startswith("."):
                continue
            path = folder + name
            if entry.is_dir():
                if depth < DEEPEST_FOLDER:
                    waiting.append((path + "/", depth + 1))
                else:
                    left_out.add("a folder deeper than any corpus has (do links make a circle?)", path)
            elif not name.lower().endswith(extensions):
                if name not in ignore:
                    left_out.add("not a file of the corpus", path)
            elif (why := unusable(path)) is not None:
                left_out.add(why, path)
            else:
                try:
                    size = entry.stat().st_size
                except OSError as error:
                    left_out.add(f"cannot be read ({reason(error)})", path)
                    continue
                if size:
                    found.append(File(path, size))
                else:
                    left_out.add("an empty file", path)
    found.sort()
    return found


def unusable(path: str) -> str | None:
    """Why a path cannot stand in wav.scp; None where it can. Blanks inside and any letters are fine."""
    if not path.isprintable():
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            return "its name is not UTF-8: rename it"
        return "its name holds a line end or another character that does not print: rename it"
    if "|" in path:
        return "its name holds |, which means a command in wav.scp: rename it"
    return None


def word(text: str) -> str:
    """A name as an id: blanks become `_`; everything else, letters of any script too, stays."""
    return "_".join(text.split())


def digest(files: Iterable[File]) -> str:
    """A few characters that change when a file comes, goes or changes its size."""
    checksum, count = hashlib.sha256(), 0
    for file in files:
        checksum.update(f"{file.path}\t{file.size}\n".encode("utf-8", "surrogateescape"))
        count += 1
    return f"{count} files, {checksum.hexdigest()[:16]}"


def folder(path: str | os.PathLike, what: str) -> Path:
    """An absolute path of a folder that must exist. Raises InputError: `what` says which option names it."""
    if not os.path.isdir(path):
        raise InputError(f"{path}: no such folder; {what}")
    found = Path(os.path.abspath(path))
    problem = unusable(str(found))
    if problem is not None:
        raise InputError(f"{_printable(str(found))}: cannot stand in wav.scp, {problem}")
    return found


def read_text_table(path: Path) -> dict[str, str]:
    """A corpus' own table of `id words` lines, forgiving about line ends, blank lines and lines without words.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8") from None
    rows = (line.split(None, 1) for line in lines)
    return {row[0]: row[1].strip() for row in rows if len(row) == 2}


def _entries(path: str) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as error:
        raise InputError(f"{path.rstrip('/')}: {reason(error)}") from None


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
