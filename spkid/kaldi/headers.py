"""What stands before the data of a binary matrix or vector, and what the data then mean."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from spkid.kaldi.compression import (
    COLUMN_HEADER_BYTES,
    GLOBAL_HEADER,
    compressed_bytes,
    decompress_columns,
    decompress_linear,
)
from spkid.kaldi.errors import InputError

BINARY_MARK = b"\0B"
# token (three bytes, the blank included where there is room) -> bytes from there to the data
HEADER_BYTES = {
    b"FM ": 10, b"DM ": 10, b"CM ": 16, b"CM2": 17, b"CM3": 17, b"FP ": 5, b"DP ": 5, b"FV ": 5, b"DV ": 5,
}  # fmt: skip
SIZES = struct.Struct("<BiBi")
SIZE = struct.Struct("<Bi")
_SINGLE, _DOUBLE, _BYTE, _TWO_BYTES = (np.dtype(name) for name in ("<f4", "<f8", "u1", "<u2"))
_LAYOUT = {
    b"FM ": ("FM", _SINGLE),
    b"DM ": ("DM", _DOUBLE),
    b"FP ": ("FP", _SINGLE),
    b"DP ": ("DP", _DOUBLE),
    b"FV ": ("FV", _SINGLE),
    b"DV ": ("DV", _DOUBLE),
    b"CM ": ("CM", _BYTE),
    b"CM2": ("CM2", _TWO_BYTES),
    b"CM3": ("CM3", _BYTE),
}


class Header(NamedTuple):
    """What stands before the data. `layout`: FM, DM, CM, CM2, CM3, FP, DP, FV or DV; a vector has one column.

    FP and DP are symmetric matrices, of which the rows of the lower triangle follow.
    """

    layout: str
    dtype: np.dtype
    rows: int
    columns: int
    minimum: float = 0.0
    value_range: float = 0.0

    @property
    def data_bytes(self) -> int:
        """How many bytes follow the header."""
        if self.layout[0] == "C":
            return compressed_bytes(self.layout, self.rows, self.columns)
        if self.layout[1] == "P":
            return self.rows * (self.rows + 1) // 2 * self.dtype.itemsize
        return self.rows * self.columns * self.dtype.itemsize


def parse_header(token: bytes, rest: bytes, name: str) -> Header:
    """Understands a token of three bytes and the header that follows it.

    Raises:
        InputError: truncated, damaged or of a kind that this package does not hold (sparse).
    """
    length = HEADER_BYTES.get(token)
    if length is None:
        if token in (b"SM ", b"SV "):
            raise sparse(name)
        if len(token) < 3:
            raise InputError(f"{name}: ends inside the header of a matrix or vector")
        raise InputError(f"{name}: not a matrix or vector of Kaldi's (found {token!r} where FM, DM, CM or FV stands)")
    if len(rest) < length:
        raise InputError(f"{name}: ends inside the header of a matrix or vector")
    layout, dtype = _LAYOUT[token]
    minimum = value_range = 0.0
    if length == 10:
        mark, rows, other_mark, columns = SIZES.unpack_from(rest)
        intact = mark == other_mark == 4
    elif length == 5:
        mark, rows = SIZE.unpack_from(rest)
        columns = rows if layout[1] == "P" else 1
        intact = mark == 4
    else:
        minimum, value_range, rows, columns = GLOBAL_HEADER.unpack_from(rest, length - 16)
        intact = length == 16 or rest[:1] == b" "
    if not intact or rows < 0 or columns < 0:
        raise InputError(f"{name}: damaged header after {layout}")
    return Header(layout, dtype, rows, columns, minimum, value_range)


def sparse(name: str) -> InputError:
    """The error for a file of Kaldi's SparseMatrix or SparseVector."""
    return InputError(f"{name}: holds a sparse matrix or vector, which is not supported: write it as a full one")


def truncated(name: str, header: Header, count: int) -> InputError:
    """The error for a file that holds fewer bytes than its header claims."""
    return InputError(
        f"{name}: truncated or damaged, the header claims {header.rows} x {header.columns} values "
        f"({header.data_bytes} bytes) but only {count} bytes follow"
    )


def decode(header: Header, data: np.ndarray) -> np.ndarray:
    """The matrix, (rows, columns), in the flat data of a whole matrix."""
    if header.layout == "CM":
        split = COLUMN_HEADER_BYTES * header.columns
        percentiles = data[:split].view("<u2").reshape(header.columns, 4)
        codes = data[split:].reshape(header.columns, header.rows)
        return decompress_columns(codes, percentiles, header.minimum, header.value_range)
    if header.layout[1] == "P":
        full = np.empty((header.rows, header.rows), data.dtype)
        rows, columns = np.tril_indices(header.rows)
        full[rows, columns] = full[columns, rows] = data
        return full
    data = data.reshape(header.rows, header.columns)
    if header.layout[0] == "C":
        return decompress_linear(data, header.minimum, header.value_range)
    return data
