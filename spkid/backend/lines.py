"""Large text files of a fixed number of fields a line, read in blocks: fields by column, errors by line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_input

BLOCK_BYTES = 1 << 22
# What `bytes.split` splits at is 0 here, everything else 1.
_FILLED = bytes(0 if byte in b" \t\n\r\x0b\f" else 1 for byte in range(256))


class Lines:
    """The lines of a file in blocks: (number of the first line, the bytes of whole lines)."""

    def __init__(self, rxfilename: str, what: str) -> None:
        self.name = rxfilename
        self.what = what
        self.digest = hashlib.md5(usedforsecurity=False)  # complete when the iteration is

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        number = 1
        with open_input(self.name) as stream:
            while block := stream.read(BLOCK_BYTES):
                block += stream.readline()
                self.digest.update(block)
                if not block.endswith(b"\n"):
                    block += b"\n"
                yield number, block
                number += block.count(b"\n")
        if number == 1:
            raise InputError(f"the {self.what} {self.name} is empty")

    def columns(self, block: bytes, width: int, number: int) -> list[list[bytes]]:
        """The fields of a block by column.

        The block is split as a whole; whether each line held `width` fields is then a question about positions, asked
        for all lines at once.

        Raises:
            InputError: a line has another number of fields.
        """
        fields = block.split()
        lines = block.count(b"\n")
        if len(fields) != width * lines or not _even(block, width):
            for index, line in enumerate(block.split(b"\n")):
                found = line.split()
                if len(found) != width:
                    raise InputError(
                        f"{self.name}, line {number + index}: {width} fields are expected, found {len(found)}: "
                        f"{shown(b' '.join(found))}"
                    )
        return [fields[column::width] for column in range(width)]

    def labels(self, words: Sequence[bytes], meaning: Mapping[bytes, bool], number: int) -> np.ndarray:
        """(len(words),) bool; InputError where a word has no meaning."""
        if not set(words) <= meaning.keys():
            index = next(index for index, word in enumerate(words) if word not in meaning)
            known = " or ".join(word.decode() for word in meaning)
            raise InputError(f"{self.name}, line {number + index}: the label is {shown(words[index])}, not {known}")
        return np.fromiter(map(meaning.__getitem__, words), dtype=bool, count=len(words))

    def numbers(self, texts: Sequence[bytes], number: int) -> np.ndarray:
        """(len(texts),) float64; InputError where a text is not a number."""
        try:
            values = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
        except ValueError:
            values = np.array([_value(text) for text in texts])
        if np.isnan(values).any():
            index = int(np.argmax(np.isnan(values)))
            raise InputError(f"{self.name}, line {number + index}: the score {shown(texts[index])} is not a number")
        return values


class Codes:
    """Numbers for ids in order of appearance."""

    def __init__(self, name: str, convert: Callable[[str], str]) -> None:
        self.name = name
        self.convert = convert
        self.of_id: dict[str, int] = {}
        self.of_field: dict[bytes, int] = {}

    def encode(self, fields: Sequence[bytes]) -> np.ndarray:
        """(len(fields),) int32."""
        new = set(fields).difference(self.of_field)
        for field in dict.fromkeys(field for field in fields if field in new) if new else ():
            try:
                key = self.convert(field.decode("utf-8"))
            except UnicodeDecodeError:
                raise InputError(f"{self.name}: the id {shown(field)} is not UTF-8") from None
            self.of_field[field] = self.of_id.setdefault(key, len(self.of_id))
        return np.fromiter(map(self.of_field.__getitem__, fields), dtype=np.int32, count=len(fields))


def shown(text: bytes) -> str:
    """Part of a file in a message."""
    return repr(text.decode("utf-8", errors="replace")[:80])


def _even(block: bytes, width: int) -> bool:
    """Whether each line has `width` fields, for a block that has as many fields as that takes."""
    filled = np.frombuffer(block.translate(_FILLED), dtype=np.uint8)
    starts = np.flatnonzero(np.diff(filled, prepend=np.uint8(0)) == 1).reshape(-1, width)
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == 10)
    return bool(np.all(starts[:, -1] < ends) and np.all(starts[1:, 0] > ends[:-1]))


def _value(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
