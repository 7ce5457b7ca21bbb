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


class Holder(Protocol):
    """What tables need of a kind of value."""

    def read(self, stream: BinaryIO) -> Any:
        """Reads one value."""

    def write(self, stream: BinaryIO, value: Any, binary: bool) -> None:
        """Writes one value, with a line end where it is text."""


class _Matrix:
    """float32 matrices, (rows, columns); `compression` is Kaldi's method 1 to 7, or None."""

    def __init__(self, compression: int | None = None) -> None:
        self.compression = compression

    def read(self, stream: BinaryIO) -> np.ndarray:
        return matrix.read_matrix(stream).astype(np.float32, copy=False)

    def load(self, rxfilename: str) -> np.ndarray:
        return matrix.load_matrix(rxfilename).astype(np.float32, copy=False)

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool) -> None:
        matrix.write_matrix(stream, np.asarray(value, dtype=np.float32), binary, self.compression if binary else None)


class _Shape:
    """(rows, columns) of matrices, whose data are not read; for reading only."""

    def read(self, stream: BinaryIO) -> tuple[int, int]:
        return matrix.read_shape(stream)

    def load(self, rxfilename: str) -> tuple[int, int]:
        return matrix.matrix_shape(rxfilename)


class _Vector:
    """float32 vectors, (dims,)."""

    def read(self, stream: BinaryIO) -> np.ndarray:
        return matrix.read_vector(stream).astype(np.float32, copy=False)

    def load(self, rxfilename: str) -> np.ndarray:
        return matrix.load_vector(rxfilename).astype(np.float32, copy=False)

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool) -> None:
        matrix.write_vector(stream, np.asarray(value, dtype=np.float32), binary)


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
            return stream.readline().decode("utf-8").split()
        except UnicodeDecodeError:
            raise InputError(f"{matrix.stream_name(stream)}: not UTF-8 text") from None

    def write(self, stream: BinaryIO, value: list[str], binary: bool) -> None:
        if any(not word or word.split() != [word] for word in value):
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
        if not value or value.split() != [value]:
            raise InputError(f"cannot write {value!r}: it is empty or holds a blank")
        stream.write(f"{value}\n".encode())


class _Number:
    """Single numbers: 32-bit integers or floats."""

    def __init__(self, python_type: type, code: str) -> None:
        self.python_type = python_type
        self.form = struct.Struct("<b" + code)

    def read(self, stream: BinaryIO) -> int | float:
        first = stream.read(1)
        if first == BINARY_MARK[:1]:
            data = stream.read(1 + self.form.size)
            if len(data) < 1 + self.form.size or data[:1] != BINARY_MARK[1:] or data[1] != 4:
                raise InputError(f"{matrix.stream_name(stream)}: truncated or damaged number")
            return self.form.unpack(data[1:])[1]
        line = first if first == b"\n" else first + stream.readline()
        try:
            if b"_" in line:
                raise ValueError
            return self.python_type(line)
        except ValueError:
            kind = "a whole number" if self.python_type is int else "a number"
            raise InputError(
                f"{matrix.stream_name(stream)}: {kind} was expected, found {line.strip()[:40]!r}"
            ) from None

    def write(self, stream: BinaryIO, value: float, binary: bool) -> None:
        if binary:
            stream.write(BINARY_MARK + self.form.pack(4, value))
        else:
            stream.write((f"{value}\n" if self.python_type is int else f"{value:.7g}\n").encode())


MATRIX = _Matrix()
SHAPE = _Shape()
VECTOR = _Vector()
INT_VECTOR = _IntVector()
TOKENS = _Tokens()
TOKEN = _Token()
FLOAT = _Number(float, "f")
INT = _Number(int, "i")


def compressed_matrix(method: int = 1) -> Holder:
    """Matrices written in Kaldi's compressed forms; `method` as in compression.compress."""
    return _Matrix(method)
