"""Some rows of a binary matrix in a file, without reading the others: what training on chunks needs."""

from __future__ import annotations

import mmap
import os

import numpy as np

from spkid.kaldi.compression import COLUMN_HEADER_BYTES, decompress_columns, decompress_linear
from spkid.kaldi.errors import InputError
from spkid.kaldi.headers import BINARY_MARK, HEADER_BYTES, Header, parse_header, truncated
from spkid.kaldi.io import reason, split_offset

_HEAD_BYTES = len(BINARY_MARK) + 3 + max(HEADER_BYTES.values())


def check_rows(start: int, stop: int, rows: int, name: str) -> None:
    """Refuses rows that are not in the matrix."""
    if not 0 <= start <= stop <= rows:
        raise InputError(f"{name}: rows {start} to {stop} were asked for, the matrix has {rows}")


def read_binary_rows(rxfilename: str, start: int, stop: int) -> np.ndarray | None:
    """Rows start ... stop - 1 of the binary matrix at `path` or `path:offset`; None when the object is not binary.

    Raises:
        InputError: the file cannot be read, is truncated, or lacks these rows.
    """
    path, offset = split_offset(rxfilename)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (OSError, ValueError) as error:
        what = reason(error) if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read {path}: {what}") from None
    try:
        head = os.pread(descriptor, _HEAD_BYTES, offset)
        if head[:2] != BINARY_MARK:
            return None
        token = head[2:5]
        header = parse_header(token, head[5:], rxfilename)
        if header.layout.endswith("V"):
            raise InputError(f"{rxfilename}: holds a vector where a matrix was expected")
        check_rows(start, stop, header.rows, rxfilename)
        position = offset + 5 + HEADER_BYTES[token]
        if header.layout == "CM":
            return _compressed_columns(descriptor, position, header, start, stop, rxfilename)
        row_bytes = header.columns * header.dtype.itemsize
        data = np.empty((stop - start, header.columns), header.dtype)
        count = os.preadv(descriptor, [data], position + start * row_bytes) if data.size else 0
        if count < data.nbytes:
            raise truncated(rxfilename, header, start * row_bytes + count)
        return decompress_linear(data, header.minimum, header.value_range) if header.layout.startswith("C") else data
    except OSError as error:
        raise InputError(f"cannot read {rxfilename}: {reason(error)}") from None
    finally:
        os.close(descriptor)


def _compressed_columns(
    descriptor: int, position: int, header: Header, start: int, stop: int, name: str
) -> np.ndarray:
    """The rows of a `CM` matrix lie scattered, a stretch in each column: mapped, so that only their pages are read."""
    left = os.fstat(descriptor).st_size - position
    if left < header.data_bytes:
        raise truncated(name, header, left)
    if not header.data_bytes:
        return np.empty((stop - start, header.columns), np.float32)
    aligned = position - position % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(
        descriptor, header.data_bytes + position - aligned, access=mmap.ACCESS_READ, offset=aligned
    ) as pages:
        first = position - aligned
        percentiles = np.frombuffer(pages, "<u2", 4 * header.columns, first).reshape(header.columns, 4).copy()
        first += COLUMN_HEADER_BYTES * header.columns
        codes = np.frombuffer(pages, np.uint8, header.columns * header.rows, first)
        codes = codes.reshape(header.columns, header.rows)[:, start:stop].copy()
    return decompress_columns(codes, percentiles, header.minimum, header.value_range)
