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
HEADER_BYTES = {b"FM ": 10, b"DM ": 10, b"CM ": 16, b"CM2": 17, b"CM3": 17, b"FV ": 5, b"DV ": 5}
SIZES = struct.Struct("<BiBi")
SIZE = struct.Struct("<Bi")
_ITEM_TYPE = {"F": np.dtype("<f4"), "D": np.dtype("<f8")}


class Header(NamedTuple):
    """What stands before the data. `layout`: FM, DM, CM, CM2, CM3, FV or DV; a vector has one column."""

    layout: str
    rows: int
    columns: int
    minimum: np.float32 = np.float32(0)
    value_range: np.float32 = np.float32(0)

    @property
    def dtype(self) -> np.dtype:
        if self.layout == "CM2":
            return np.dtype("<u2")
        return _ITEM_TYPE.get(self.layout[:1], np.dtype("u1"))

    @property
    def data_bytes(self) -> int:
        if self.layout.startswith("C"):
            return compressed_bytes(self.layout, self.rows, self.columns)
        return self.rows * self.columns * self.dtype.itemsize


def parse_header(token: bytes, rest: bytes, name: str) -> Header:
    """Understands a token of three bytes and the header that follows it.

    Raises:
        InputError: truncated, damaged or of a kind that this package does not hold (sparse).
    """
    length = HEADER_BYTES.get(token)
    if length is None:
        if token == b"SM ":
            raise InputError(f"{name}: holds a sparse matrix, which is not supported; write it with --sparse=false")
        if len(token) < 3:
            raise InputError(f"{name}: ends inside the header of a matrix or vector")
        raise InputError(f"{name}: not a matrix or vector of Kaldi's (found {token!r} where FM, DM, CM or FV stands)")
    if len(rest) < length:
        raise InputError(f"{name}: ends inside the header of a matrix or vector")
    layout = token.decode().strip()
    minimum = value_range = np.float32(0)
    if token[0:1] == b"C":
        if length == 17 and rest[:1] != b" ":
            raise InputError(f"{name}: damaged header after {layout}")
        minimum, value_range, rows, columns = GLOBAL_HEADER.unpack_from(rest, length - 16)
    elif token[1:2] == b"V":
        mark, rows = SIZE.unpack_from(rest)
        columns = 1
        if mark != 4:
            raise InputError(f"{name}: damaged header after {layout}")
    else:
        mark, rows, other_mark, columns = SIZES.unpack_from(rest)
        if mark != 4 or other_mark != 4:
            raise InputError(f"{name}: damaged header after {layout}")
    if rows < 0 or columns < 0:
        raise InputError(f"{name}: damaged header, it claims {rows} x {columns} values")
    return Header(layout, rows, columns, np.float32(minimum), np.float32(value_range))


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
    data = data.reshape(header.rows, header.columns)
    if header.layout.startswith("C"):
        return decompress_linear(data, header.minimum, header.value_range)
    return data
