"""Kaldi's tables: sequences of (key, value) named by rspecifiers and wspecifiers (util/kaldi-table.h).

To read: `ark:rxfilename`, `scp:rxfilename`, with options such as `scp,p:` (leave out what cannot be read), `ark,s,cs:`
(keys sorted, and asked for in order: an archive is then read once, in bounded memory), `ark,o:` (each key asked for
once). To write: `ark:wxfilename`, `ark,t:` (text), `ark,scp:archive,script`, `scp:rxfilename` (each value to the file
that the script names).
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from spkid.kaldi.errors import InputError
from spkid.kaldi.holders import FLOAT, INT, INT_VECTOR, MATRIX, SHAPE, TOKEN, TOKENS, VECTOR, Holder, compressed_matrix
from spkid.kaldi.io import InputStream, is_pipe, open_input, open_output, split_offset
from spkid.kaldi.lists import check_id, read_id_map, read_lines, read_script, write_id_map
from spkid.kaldi.logging import warn
from spkid.kaldi.ranges import split_range

__all__ = [
    "FLOAT",
    "INT",
    "INT_VECTOR",
    "MATRIX",
    "SHAPE",
    "TOKEN",
    "TOKENS",
    "VECTOR",
    "Holder",
    "TableWriter",
    "compressed_matrix",
    "is_table",
    "open_table",
    "read_id_map",
    "read_script",
    "read_table",
    "write_id_map",
]

_READ_OPTIONS = {"ark", "scp", "o", "no", "p", "np", "s", "ns", "cs", "ncs", "b", "t", "bg"}
_WRITE_OPTIONS = {"ark", "scp", "b", "t", "f", "nf", "p"}
LONGEST_KEY = 4096


class Specifier(NamedTuple):
    """A parsed rspecifier or wspecifier; the last of two contradicting options wins, as in Kaldi."""

    text: str
    archive: str | None
    script: str | None
    options: frozenset[str]


def is_table(specifier: str) -> bool:
    """Whether a command-line argument names a table (`ark:...`, `scp:...`) rather than a single file."""
    words = specifier.partition(":")[0].replace(" ", "").split(",")
    return ":" in specifier and ("ark" in words or "scp" in words) and set(words) <= _READ_OPTIONS | _WRITE_OPTIONS


def _parse(text: str, known: set[str], kind: str) -> Specifier:
    before, colon, rest = text.partition(":")
    words = before.replace(" ", "").split(",")
    sources = [word for word in words if word in ("ark", "scp")]
    unknown = [word for word in words if word not in known]
    example = "ark:file, scp:file or ark,t:-"
    if not colon or not sources:
        raise InputError(f"{text!r} is not {kind}; write for example {example}")
    if unknown:
        raise InputError(f"{text!r} is not {kind}: unknown option {unknown[0]!r}")
    if text != text.rstrip():
        raise InputError(f"{text!r} is not {kind}: it ends with a blank")
    options = set()
    for word in words:
        options -= {word.removeprefix("n"), "n" + word, {"t": "b", "b": "t"}.get(word)}
        options.add(word)
    if sources == ["ark"]:
        return Specifier(text, rest, None, frozenset(options))
    if sources == ["scp"]:
        return Specifier(text, None, rest, frozenset(options))
    archive, comma, script = rest.partition(",")
    if sources != ["ark", "scp"] or known is _READ_OPTIONS or not comma:
        raise InputError(f"{text!r} is not {kind}; write for example {example} or (to write) ark,scp:archive,script")
    return Specifier(text, archive, script, frozenset(options))


def _parse_rspecifier(text: str) -> Specifier:
    return _parse(text, _READ_OPTIONS, "an rspecifier")


def read_table(rspecifier: str, holder: Holder) -> Iterator[tuple[str, Any]]:
    """Yields the (key, value) pairs of a table in its order.

    Raises:
        InputError: the table or a value cannot be read (with `p`: a warning instead, and the value is left out).
    """
    specifier = _parse_rspecifier(rspecifier)
    pairs = _read_archive(specifier, holder) if specifier.archive is not None else _read_by_script(specifier, holder)
    if "s" not in specifier.options:
        yield from pairs
        return
    previous = ""
    for key, value in pairs:
        if key <= previous:
            raise _unsorted(specifier, previous, key)
        previous = key
        yield key, value


def _unsorted(specifier: Specifier, previous: str, key: str) -> InputError:
    return InputError(f"{specifier.text}: said to be sorted (s), but {key} follows {previous}; sort it by bytes")


def _read_archive(specifier: Specifier, holder: Holder) -> Iterator[tuple[str, Any]]:
    with open_input(specifier.archive) as stream:
        previous = None
        while True:
            key = None
            try:
                key, line_ended = read_key(stream)
                if not key:
                    return
                value = holder.read(io.BytesIO(b"\n") if line_ended else stream)
            except InputError as error:
                where = f"id {key}" if key else f"after id {previous}" if previous else "at its beginning"
                error = InputError(f"{specifier.text}, {where}: {error}")
                if "p" not in specifier.options:
                    raise error from None
                warn(f"{error}; the rest of the archive is left out")
                return
            previous = key
            yield key, value


def read_key(stream: BinaryIO) -> tuple[str, bool]:
    """Reads an archive's next key, and the blank behind it.

    Returns:
        The key, empty at the end of the archive, and whether a line end stood behind it (then the value is empty).
    """
    read = stream.read
    byte = read(1)
    while byte.isspace():
        byte = read(1)
    key = bytearray()
    while byte and not byte.isspace():
        key += byte
        byte = read(1)
        if len(key) > LONGEST_KEY:
            raise InputError(f"not an archive: no id within {LONGEST_KEY} bytes")
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"not an archive, or damaged: {bytes(key[:40])!r} stands where an id should") from None
    if key and not byte:
        raise InputError(f"truncated behind the id {text[:80]!r}")
    return text, byte == b"\n"


class _Script:
    """Loads values by rxfilename, keeping the last archive open: neighbours in a script are neighbours in a file."""

    def __init__(self, specifier: Specifier, holder: Holder) -> None:
        self.specifier = specifier
        self.holder = holder
        self.path: str | None = None
        self.stream: InputStream | None = None
        self.closing = contextlib.ExitStack()

    def load(self, key: str, rxfilename: str) -> Any:
        try:
            name, text = split_range(rxfilename)
            if text is not None:
                if not hasattr(self.holder, "load"):
                    raise InputError(f"{rxfilename}: a range cannot be taken of this kind of value")
                return self.holder.load(rxfilename)
            path, offset = split_offset(name)
            if is_pipe(name) or path in ("", "-"):
                with open_input(name) as stream:
                    return self.holder.read(stream)
            if path == self.path:
                self.stream.move_to(offset)
            else:
                self.close()
                self.stream = self.closing.enter_context(open_input(name))
                self.path = path
            return self.holder.read(self.stream)
        except InputError as error:
            raise InputError(f"{self.specifier.text}, id {key}: {error}") from None

    def close(self) -> None:
        self.path = None
        self.closing.close()


def _read_by_script(specifier: Specifier, holder: Holder) -> Iterator[tuple[str, Any]]:
    script = _Script(specifier, holder)
    with contextlib.closing(script):
        for number, key, rxfilename in read_lines(specifier.script):
            if not rxfilename:
                raise InputError(f"{specifier.script}, line {number}: nothing follows the id {key}")
            try:
                value = script.load(key, rxfilename)
            except InputError as error:
                if "p" not in specifier.options:
                    raise
                warn(f"{error}; left out")
                continue
            yield key, value


def open_table(rspecifier: str, holder: Holder) -> ScriptTable | ArchiveTable:
    """Opens a table for access by key: `key in table`, `table[key]`; a context manager.

    A script loads each value when it is asked for. An archive is read up to the key that is asked for and kept in
    memory; `s,cs` (or `o`) keeps no more than it must.
    """
    specifier = _parse_rspecifier(rspecifier)
    if specifier.archive is None:
        return ScriptTable(specifier, holder)
    return ArchiveTable(specifier, holder)


class ScriptTable:
    """Random access to `scp:`. Made by open_table."""

    def __init__(self, specifier: Specifier, holder: Holder) -> None:
        self._names = read_script(specifier.script)
        self._script = _Script(specifier, holder)
        self._permissive = "p" in specifier.options
        self._last: tuple[str, Any] | None = None
        if "s" in specifier.options:
            keys = list(self._names)
            for previous, key in itertools.pairwise(keys):
                if key < previous:
                    raise _unsorted(specifier, previous, key)

    def __contains__(self, key: str) -> bool:
        if key not in self._names:
            return False
        if self._permissive:
            try:
                self[key]
            except InputError as error:
                warn(str(error))
                return False
        return True

    def __getitem__(self, key: str) -> Any:
        if self._last is None or self._last[0] != key:
            self._last = key, self._script.load(key, self._names[key])
        return self._last[1]

    def __enter__(self) -> ScriptTable:
        return self

    def __exit__(self, *exception: object) -> None:
        self._script.close()


class ArchiveTable:
    """Random access to `ark:`. Made by open_table."""

    def __init__(self, specifier: Specifier, holder: Holder) -> None:
        self._specifier = specifier
        self._pairs = _read_archive(specifier, holder)
        self._ahead = next(self._pairs, None)
        self._values: dict[str, Any] = {}
        self._asked = ""

    def __contains__(self, key: str) -> bool:
        self._seek(key)
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        self._seek(key)
        return self._values.pop(key) if "o" in self._specifier.options else self._values[key]

    def _seek(self, key: str) -> None:
        """Reads on until the key is in memory, or is known to be missing."""
        options = self._specifier.options
        if "cs" in options:
            if key < self._asked:
                raise InputError(
                    f"{self._specifier.text}: keys were promised in order (cs), but {key} was asked for after "
                    f"{self._asked}; leave out cs"
                )
            if key != self._asked and "s" in options:
                self._values = {known: value for known, value in self._values.items() if known >= key}
            self._asked = key
        while key not in self._values and self._ahead is not None:
            found, value = self._ahead
            if "s" in options and found > key:
                return
            if found in self._values:
                raise InputError(f"{self._specifier.text}: the id {found} is given twice")
            if not ("s" in options and "cs" in options and found < key):
                self._values[found] = value
            self._ahead = next(self._pairs, None)
            if "s" in options and self._ahead is not None and self._ahead[0] <= found:
                raise _unsorted(self._specifier, found, self._ahead[0])

    def __enter__(self) -> ArchiveTable:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pairs.close()


class TableWriter:
    """Writes a table; a context manager. Files take their names when it ends without an exception.

    Example:
        with TableWriter("ark,scp:feats.ark,feats.scp", MATRIX) as writer:
            writer.write("utterance", features)
    """

    def __init__(self, wspecifier: str, holder: Holder) -> None:
        self._specifier = _parse(wspecifier, _WRITE_OPTIONS, "a wspecifier")
        self._holder = holder
        self._binary = "t" not in self._specifier.options
        self._closing = contextlib.ExitStack()
        self._archive: BinaryIO | None = None
        self._script = None
        self._names: dict[str, str] = {}
        archive, script = self._specifier.archive, self._specifier.script
        if archive is None:
            self._names = read_id_map(script)
        elif script is not None and (is_pipe(archive) or archive in ("", "-")):
            raise InputError(f"{wspecifier}: a script can only point into a file, not into {archive or '-'}")

    def __enter__(self) -> TableWriter:
        archive, script = self._specifier.archive, self._specifier.script
        with contextlib.ExitStack() as opening:  # left last in, first out: the archive must stand before its script
            if archive is not None:
                if script is not None:
                    self._script = opening.enter_context(open_output(script))
                self._archive = opening.enter_context(open_output(archive))
            self._closing = opening.pop_all()
        return self

    def write(self, key: str, value: Any) -> None:
        """Adds one pair.

        Raises:
            InputError: the key is no word, `scp:` has no file for it, or the file cannot be written.
        """
        check_id(key, self._specifier.text)
        if self._archive is None:
            self._write_alone(key, value)
            return
        try:
            self._archive.write(key.encode("utf-8") + b" ")
            if self._script is not None:
                self._script.write(f"{key} {self._specifier.archive}:{self._archive.tell()}\n".encode())
            self._holder.write(self._archive, value, self._binary)
        except ValueError as error:
            raise InputError(f"{self._specifier.text}, id {key}: {error}") from None
        if "f" in self._specifier.options:
            self._archive.flush()

    def _write_alone(self, key: str, value: Any) -> None:
        if key not in self._names:
            if "p" in self._specifier.options:
                return
            raise InputError(f"{self._specifier.text}: the script names no file for the id {key}")
        with open_output(self._names[key]) as stream:
            self._holder.write(stream, value, self._binary)

    def __exit__(self, *exception: object) -> None:
        self._closing.__exit__(*exception)
