"""Text files of `id value` lines as lists of bytes: fast and small enough for millions of utterances.

Bytes, because Kaldi's order is the order of bytes and its separators are ASCII blanks; files are checked to be UTF-8.
"""

import codecs
import contextlib
import io
import operator
import os
from collections.abc import Iterable, Iterator
from itertools import compress, islice
from typing import BinaryIO, NamedTuple

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import atomic_write, open_file

FIX = "run utils/fix_data_dir.py on its directory"
_NOT_BLANK = bytes(set(range(256)) - set(b" \t\n\v\f\r"))
_BLOCK_BYTES = 1 << 20
_PLAIN = bytes(range(0x21, 0x7F))  # printable ASCII without the blank


class IdTable(NamedTuple):
    """The lines of a file in its order: ids, and what follows each (outer blanks removed). Both lists of bytes."""

    keys: list[bytes]
    values: list[bytes]

    def select(self, keep: "set[bytes] | dict") -> "IdTable":
        """The lines whose id is in `keep`."""
        kept = list(map(keep.__contains__, self.keys))
        if all(kept):
            return self
        return IdTable(list(compress(self.keys, kept)), list(compress(self.values, kept)))

    def sorted(self) -> "IdTable":
        """The same lines by the bytes of their ids."""
        if not find_unsorted(self.keys):
            return self
        order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
        return IdTable([self.keys[i] for i in order], [self.values[i] for i in order])


def read_id_table(path: str | os.PathLike) -> IdTable:
    """Reads a file of `id value` lines; `-` is standard input.

    Raises:
        InputError: missing, empty, not UTF-8, Windows line ends, a line without a value, an id that does not print.
            The sentence names the file and the line. Order and duplicates are not looked at (`check_order`).
    """
    path = os.fspath(path)
    keys: list[bytes] = []
    values: list[bytes] = []
    number = 1
    with _open(path) as raw:
        while block := raw.read(_BLOCK_BYTES):
            block += raw.readline()
            lines = block.count(b"\n")
            if is_two_words_a_line(block, lines):
                words = block.split()
                keys += words[::2]
                values += words[1::2]
            else:
                _read_lines(path, block, number, keys, values)
            number += lines
    if not keys:
        raise InputError(f"{path}: is empty: make it again or remove it")
    check_ids(keys, path)
    return IdTable(keys, values)


def is_two_words_a_line(content: bytes, lines: int) -> bool:
    """Whether each of so many lines is two words with one blank between them, and nothing else."""
    return (
        content.translate(None, _NOT_BLANK) == b" \n" * lines
        and content.endswith(b"\n")
        and not content.startswith(b" ")
        and b"\n " not in content
        and b" \n" not in content
    )


def _read_lines(path: str, block: bytes, first: int, keys: list[bytes], values: list[bytes]) -> None:
    for number, line in enumerate(io.BytesIO(block), first):
        try:
            key, value = line.split(None, 1)
        except ValueError:
            kind = "is blank" if not line.strip() else f"holds the id {_show(line)} and nothing behind it"
            raise InputError(f"{path}: line {number} {kind}: complete or remove it, or {FIX}") from None
        keys.append(key)
        values.append(value.rstrip())


def write_id_table(path: str | os.PathLike, table: IdTable) -> None:
    """Writes `id value` lines in the table's order, atomically."""
    with atomic_write(path, "wb") as stream:
        stream.writelines(map(b"%b %b\n".__mod__, zip(table.keys, table.values, strict=True)))


def read_ids(path: str | os.PathLike) -> list[bytes]:
    """The first field of every line: a list of ids, or any file that begins with them (`-`: standard input)."""
    with _open(os.fspath(path)) as raw:
        return [fields[0] for line in raw if (fields := line.split(None, 1))]


def group_by_value(table: IdTable) -> IdTable:
    """utt2spk to spk2utt: each value with its ids in the table's order, sorted by value."""
    groups: dict[bytes, list[bytes]] = {}
    for key, value in zip(table.keys, table.values, strict=True):
        try:
            groups[value].append(key)
        except KeyError:
            groups[value] = [key]
    speakers = sorted(groups)
    return IdTable(speakers, [b" ".join(groups[speaker]) for speaker in speakers])


def ungroup(table: IdTable) -> IdTable:
    """spk2utt to utt2spk, in the table's order."""
    keys, values = [], []
    for key, value in zip(table.keys, table.values, strict=True):
        members = value.split()
        keys += members
        values += [key] * len(members)
    return IdTable(keys, values)


def find_unsorted(keys: list[bytes]) -> int:
    """Index of the first id that is not greater than the one before it (a duplicate too); 0 where all are."""
    for index, wrong in enumerate(map(operator.ge, keys, islice(keys, 1, None)), 1):
        if wrong:
            return index
    return 0


def check_order(keys: list[bytes], path: str | os.PathLike) -> None:
    """Raises InputError unless ids ascend strictly by bytes: names a duplicate, or the first out of order."""
    index = find_unsorted(keys)
    if not index:
        return
    duplicate = find_duplicate(keys)
    if duplicate is not None:
        raise InputError(f"{path}: the id {show(duplicate)} stands on more than one line: remove one, or {FIX}")
    raise InputError(
        f"{path}: is not sorted by bytes (LC_ALL=C sort): line {index + 1}, {show(keys[index])}, "
        f"comes after {show(keys[index - 1])}: {FIX}"
    )


def find_duplicate(keys: Iterable[bytes]) -> bytes | None:
    """The first id that occurs a second time, or None."""
    seen: set[bytes] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None


def check_ids(keys: list[bytes], path: str | os.PathLike) -> None:
    """Raises InputError for an id with a control character, an invisible or a non-breaking blank in it."""
    for number, key in odd_ids(keys):
        raise InputError(f"{path}: line {number}: the id {_show(key)} does not print as it is: rename it or {FIX}")


def odd_ids(keys: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Line number, from 1, and id of those that are not UTF-8 or hold what is no letter, digit or sign."""
    for start in range(0, len(keys), 65536):
        block = keys[start : start + 65536]
        if b"".join(block).translate(None, _PLAIN):
            yield from ((number, key) for number, key in enumerate(block, start + 1) if _is_odd(key))


def _is_odd(key: bytes) -> bool:
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return not text.isprintable() or any(character.isspace() for character in text)


def show(key: bytes) -> str:
    """An id for a message."""
    return key.decode("utf-8", "backslashreplace")


def _show(text: bytes) -> str:
    return ascii(text.decode("utf-8", "backslashreplace").strip()[:80])


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """A checked text file as a stream of bytes; what cannot be read twice (a pipe) is held in memory."""
    with open_file("/dev/stdin" if path == "-" else path) as raw:
        stream = io.BufferedReader(raw, 1 << 20) if raw.seekable() else io.BytesIO(raw.readall())
        _check_encoding(stream, "standard input" if path == "-" else path)
        stream.seek(0)
        yield stream


def _check_encoding(raw: BinaryIO, path: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, ascii_only = 1, True
    while block := raw.read(1 << 20):
        if b"\r" in block:
            number = line + block[: block.index(b"\r")].count(b"\n")
            raise InputError(f"{path}: line {number} ends as Windows ends lines (CRLF): {FIX}")
        ascii_only = ascii_only and block.isascii()
        if not ascii_only:
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                number = line + block[: error.start].count(b"\n")
                raise InputError(
                    f"{path}: line {number} is not UTF-8 (byte 0x{error.object[error.start]:02X}): "
                    f"convert it with iconv -t UTF-8, or {FIX}"
                ) from None
        line += block.count(b"\n")
    if not ascii_only:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise InputError(f"{path}: line {line} is not UTF-8 (it breaks off inside a character): {FIX}") from None
