"""A column of numbers in a file: for lists that are longer than memory should be."""

from __future__ import annotations

import os
import tempfile

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import reason


class FileColumn:
    """Numbers in a file without a name, which is gone with this object or the process; stretches of them are arrays.

        column = FileColumn("exp/results", np.int32)
        column.append(numbers)
        column[1000:2000]

    Only what is asked for is in memory: a slice without a step, or the number at an index of 0 or more. A mask and
    indices select from all, which is read for them.
    """

    def __init__(self, directory: str | os.PathLike, dtype: np.typing.DTypeLike) -> None:
        """Raises InputError where no file can be made in the directory."""
        self.dtype = np.dtype(dtype)
        self.size = 0
        self._directory = os.fspath(directory)
        try:
            self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  it lives as long as the column
        except OSError as error:
            raise InputError(f"{self._directory}: no file can be made there ({reason(error)})") from None

    def append(self, numbers: np.ndarray) -> None:
        """Adds numbers at the end. Raises InputError where the disk is full."""
        try:
            self._file.write(np.ascontiguousarray(numbers, dtype=self.dtype).data)
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._directory}: cannot hold the trial list meanwhile ({reason(error)})") from None
        self.size += len(numbers)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, where) -> np.ndarray:
        if not isinstance(where, slice):
            return self[:][where] if np.ndim(where) else self[int(where) : int(where) + 1][0]
        start, stop, step = where.indices(self.size)
        if step != 1:
            return self[:][where]
        numbers = np.empty(max(0, stop - start), dtype=self.dtype)
        if not numbers.size:
            return numbers
        self._file.seek(start * self.dtype.itemsize)
        if self._file.readinto(numbers.data.cast("B")) != numbers.nbytes:
            raise InputError(f"{self._directory}: the trial list cannot be read back from the disk")
        return numbers
