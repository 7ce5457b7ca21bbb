"""Features in `.mcp` files: int32 rows, int32 columns, then float32 values row by row, all little-endian.

The PAV laboratory's format (santi-pdp/pav_spkid_pytorch); a file holds one matrix.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from os import PathLike, fspath

import numpy as np

from spkid.kaldi import InputError
from spkid.kaldi.io import open_file
from spkid.kaldi.tables import MATRIX, TableWriter

_HEADER = struct.Struct("<ii")


def read_mcp(path: str | PathLike) -> np.ndarray:
    """The matrix in a file, (frames, dims) float32.

    Raises:
        InputError: unreadable, or its length is not what its header says.
    """
    path = fspath(path)
    with open_file(path) as stream:
        data = stream.readall()
    if len(data) < _HEADER.size:
        raise InputError(f"{path}: not an .mcp file, it ends inside the header of {_HEADER.size} bytes")
    rows, columns = _HEADER.unpack_from(data)
    if rows < 0 or columns <= 0 or len(data) != _HEADER.size + 4 * rows * columns:
        raise InputError(
            f"{path}: not an .mcp file or damaged, its header says {rows} x {columns} values of 4 bytes and "
            f"{len(data) - _HEADER.size} bytes follow"
        )
    return np.frombuffer(data, "<f4", offset=_HEADER.size).reshape(rows, columns).astype(np.float32)


def write_mcp_table(files: Mapping[str, str | PathLike], wspecifier: str) -> dict[str, int]:
    """Copies `.mcp` files into a table of Kaldi's; what feats.scp needs.

    Args:
        files: utterance -> `.mcp` file, in the order of the table.
        wspecifier: `ark,scp:data/train/feats.ark,data/train/feats.scp`.

    Returns:
        utterance -> frames, for utt2num_frames.

    Raises:
        InputError: a file cannot be read, holds no frames, or has other columns than the first.
    """
    frames: dict[str, int] = {}
    dims = None
    with TableWriter(wspecifier, MATRIX) as writer:
        for utterance, path in files.items():
            matrix = read_mcp(path)
            dims = matrix.shape[1] if dims is None else dims
            if len(matrix) == 0 or matrix.shape[1] != dims:
                raise InputError(
                    f"{fspath(path)}: utterance {utterance} has {len(matrix)} frames of {matrix.shape[1]} values; one "
                    f"frame at least is needed, and as many values as in the first file ({dims})"
                )
            writer.write(utterance, matrix)
            frames[utterance] = len(matrix)
    return frames
