"""What a table can hold: how one value is read from a stream and written to it (util/kaldi-holder.h).

A holder is any object with `read(stream) -> value` and `write(stream, value, binary)`; the stream stands just behind
`key `. A holder whose values may be cut by a range (`feats.ark:17[0:99]`) also has `load(rxfilename) -> value`.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, Protocol

import numpy as np

from spkid.kaldi import matrix
from spkid.kaldi.errors import InputError
from spkid.kaldi.headers import BINARY_MARK
from spkid.kaldi.lists import is_word


class Holder(Protocol):
    """What tables need of a kind of value."""

    def read(self, stream: BinaryIO) -> Any:
        """Reads one value."""

    def write(self, stream: BinaryIO, value: Any, binary: bool) -> None:
        """Writes one value, with a line end where it is text."""


def _single(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # to infinity, as Kaldi
        return array.astype(np.float32, copy=False)


class _Matrix:
    """float32 matrices, (rows, columns); `compression` is Kaldi's method 1 to 7, or None."""

    def __init__(self, compression: int | None = None) -> None:
        self.compression = compression

    def read(self, stream: BinaryIO) -> np.ndarray:
        return _single(matrix.read_matrix(stream))

    def load(self, rxfilename: str) -> np.ndarray:
        return _single(matrix.load_matrix(rxfilename))

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool) -> None:
        matrix.write_matrix(stream, _single(np.asarray(value)), binary, self.compression if binary else None)


class _Shape:
    """(rows, columns) of matrices, whose data are not read; for reading only."""

    def read(self, stream: BinaryIO) -> tuple[int, int]:
        return matrix.read_shape(stream)

    def load(self, rxfilename: str) -> tuple[int, int]:
        return matrix.matrix_shape(rxfilename)


class _Vector:
    """float32 vectors, (dims,)."""

    def read(self, stream: BinaryIO) -> np.ndarray:
        return _single(matrix.read_vector(stream))

    def load(self, rxfilename: str) -> np.ndarray:
        return _single(matrix.load_vector(rxfilename))

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool) -> None:
        matrix.write_vector(stream, _single(np.asarray(value)), binary)


class _IntVector:
    """Vectors of 32-bit integers, (n,)."""

    def read(self, stream: BinaryIO) -> np.ndarray:
        return matrix.read_int_vector(stream)

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool) -> None:
        matrix.write_int_vector(stream, value, binary)


class _Tokens:
    """Lists of words, one line each; always text."""

    def read(self, stream: BinaryIO) -> list[str]:
        try:
            return [word.decode("utf-8") for word in stream.readline().split()]
        except UnicodeDecodeError:
            raise InputError(f"{matrix.stream_name(stream)}: not UTF-8 text") from None

    def write(self, stream: BinaryIO, value: list[str], binary: bool) -> None:
        if not all(map(is_word, value)):
            raise InputError(f"cannot write {value!r}: a word is empty or holds a blank")
        stream.write(" ".join([*value, "\n"]).encode("utf-8"))


class _Token:
    """Single words; always text."""

    def read(self, stream: BinaryIO) -> str:
        words = TOKENS.read(stream)
        if len(words) != 1:
            raise InputError(f"{matrix.stream_name(stream)}: one word was expected, found {' '.join(words)[:60]!r}")
        return words[0]

    def write(self, stream: BinaryIO, value: str, binary: bool) -> None:
        if not is_word(value):
            raise InputError(f"cannot write {value!r}: it is empty or holds a blank")
        stream.write(f"{value}\n".encode())


class _Number:
    """Single numbers: 32-bit integers or floats (a float stored in double precision is read as well)."""

    def __init__(self, python_type: type, forms: str) -> None:
        self.python_type = python_type
        self.forms = {struct.calcsize(form): struct.Struct("<" + form) for form in forms}

    def read(self, stream: BinaryIO) -> int | float:
        first = stream.read(1)
        if first == BINARY_MARK[:1]:
            mark, size = stream.read(1), stream.read(1)
            form = self.forms.get(size[0]) if size else None
            data = stream.read(form.size) if form else b""
            if mark != BINARY_MARK[1:] or not form or len(data) < form.size:
                raise InputError(f"{matrix.stream_name(stream)}: truncated or damaged number")
            return form.unpack(data)[0]
        line = first if first == b"\n" else first + stream.readline()
        try:
            if b"_" in line:  # Python's own notation
                raise ValueError
            return self.python_type(line)
        except ValueError:
            kind = "a whole number" if self.python_type is int else "a number"
            found = line.strip()[:40].decode("utf-8", "replace")
            raise InputError(f"{matrix.stream_name(stream)}: {kind} was expected, found {found!r}") from None

    def write(self, stream: BinaryIO, value: float, binary: bool) -> None:
        if binary:
            stream.write(BINARY_MARK + b"\4" + self.forms[4].pack(value))
        else:
            stream.write((f"{value}\n" if self.python_type is int else f"{value:.7g}\n").encode())


MATRIX = _Matrix()
SHAPE = _Shape()
VECTOR = _Vector()
INT_VECTOR = _IntVector()
TOKENS = _Tokens()
TOKEN = _Token()
FLOAT = _Number(float, "fd")
INT = _Number(int, "i")


def compressed_matrix(method: int = 1) -> Holder:
    """Matrices written in Kaldi's compressed forms; `method` as in compression.compress."""
    return _Matrix(method)
