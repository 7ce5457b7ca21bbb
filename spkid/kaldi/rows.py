"""Some rows of a binary matrix in a file, without reading the others: what training on chunks needs."""

from __future__ import annotations

import mmap
import os

import numpy as np

from spkid.kaldi.compression import COLUMN_HEADER_BYTES, decompress_columns, decompress_linear
from spkid.kaldi.errors import InputError
from spkid.kaldi.headers import BINARY_MARK, HEADER_BYTES, Header, parse_header, truncated
from spkid.kaldi.io import reason, split_offset

_LARGE_BYTES = 1 << 20
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
    descriptor = _open(path)
    try:
        found = _locate(descriptor, offset, rxfilename)
        return None if found is None else _read(descriptor, *found, start, stop, rxfilename)
    except OSError as error:
        raise InputError(f"cannot read {rxfilename}: {reason(error)}") from None
    finally:
        os.close(descriptor)


class RowReader:
    """Reads rows of the same binary matrices again and again, as training does.

    Archives stay open and headers stay known, so that a chunk of an uncompressed matrix costs one system call. Files
    replaced meanwhile are still read as they were. It may be used after a fork and be pickled.
    """

    MOST_OPEN = 64

    def __init__(self) -> None:
        self._descriptors: dict[str, int] = {}
        self._known: dict[str, tuple[str, Header, int]] = {}

    def shape(self, rxfilename: str) -> tuple[int, int]:
        """Rows and columns of a matrix."""
        header = self._find(rxfilename)[1]
        return header.rows, header.columns

    def read(self, rxfilename: str, start: int, stop: int) -> np.ndarray:
        """Rows start ... stop - 1, (stop - start, columns).

        Raises:
            InputError: as read_rows, and where the object is not a binary matrix in a file.
        """
        path, header, position = self._known.get(rxfilename) or self._find(rxfilename)
        try:
            descriptor = self._descriptors.get(path)
            if descriptor is None:
                descriptor = self._open(path)
            return _read(descriptor, header, position, start, stop, rxfilename)
        except OSError as error:
            raise InputError(f"cannot read {rxfilename}: {reason(error)}") from None

    def close(self) -> None:
        """Closes the archives; reading opens them again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def _open(self, path: str) -> int:
        if len(self._descriptors) >= self.MOST_OPEN:  # the one that was opened first
            os.close(self._descriptors.pop(next(iter(self._descriptors))))
        self._descriptors[path] = descriptor = _open(path)
        return descriptor

    def _find(self, rxfilename: str) -> tuple[str, Header, int]:
        if rxfilename not in self._known:
            path, offset = split_offset(rxfilename)
            descriptor = self._descriptors[path] if path in self._descriptors else self._open(path)
            found = _locate(descriptor, offset, rxfilename)
            if found is None:
                raise InputError(f"{rxfilename}: not a binary matrix; copy it into a binary archive first")
            self._known[rxfilename] = path, *found
        return self._known[rxfilename]

    def __getstate__(self) -> dict:
        return {"_descriptors": {}, "_known": self._known}

    def __del__(self) -> None:
        self.close()


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None


def _locate(descriptor: int, offset: int, name: str) -> tuple[Header, int] | None:
    """The header of the matrix at an offset and where its data begin; None when it is not binary, or packed."""
    head = os.pread(descriptor, _HEAD_BYTES, offset)
    if head[:2] != BINARY_MARK:
        return None
    token = head[2:5]
    header = parse_header(token, head[5:], name)
    if header.layout[1] == "V":
        raise InputError(f"{name}: holds a vector where a matrix was expected")
    if header.layout[1] == "P":  # no row lies there as a whole
        return None
    return header, offset + 5 + HEADER_BYTES[token]


def _read(descriptor: int, header: Header, position: int, start: int, stop: int, name: str) -> np.ndarray:
    layout, dtype, rows, columns, minimum, value_range = header
    check_rows(start, stop, rows, name)
    if layout == "CM":
        return _compressed_columns(descriptor, position, header, start, stop, name)
    skipped = start * columns * dtype.itemsize
    needed = (stop - start) * columns * dtype.itemsize
    if needed > _LARGE_BYTES and needed > (left := os.fstat(descriptor).st_size - position - skipped):
        raise truncated(name, header, max(left, 0))  # before memory is taken for what a header claims
    data = np.empty((stop - start, columns), dtype)
    count = os.preadv(descriptor, [data], position + skipped) if data.size else 0
    if count < data.nbytes:
        raise truncated(name, header, skipped + count)
    return decompress_linear(data, minimum, value_range) if layout[0] == "C" else data


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
