"""Features in HTK's file format, as a kind of table value (Kaldi's HtkMatrixHolder)."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from spkid.kaldi import InputError

# Parameter kinds of the HTK Book, and the qualifiers for log energy and C0.
MFCC, FBANK = 0o6, 0o7
WITH_ENERGY, WITH_C0 = 0o100, 0o20000

_HEADER = struct.Struct(">iihH")


class HtkHolder:
    """Matrices (frames, dims) as HTK files: a big-endian header and big-endian float32 rows."""

    def __init__(self, kind: int, frame_shift: float) -> None:
        """`kind`: HTK's parameter kind with its qualifiers; `frame_shift` in milliseconds."""
        self.kind = kind
        self.period = round(frame_shift * 10000)

    def read(self, stream: BinaryIO) -> np.ndarray:
        """One matrix, (frames, dims) float32."""
        header = stream.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise InputError("not an HTK file: it ends inside the header of 12 bytes")
        frames, _, size, _ = _HEADER.unpack(header)
        if frames < 0 or size <= 0 or size % 4:
            raise InputError(f"not an HTK file of floats: its header says {frames} frames of {size} bytes")
        data = stream.read(frames * size)
        if len(data) < frames * size:
            raise InputError(f"an HTK file of {frames} frames of {size} bytes breaks off after {len(data)} bytes")
        return np.frombuffer(data, ">f4").reshape(frames, size // 4).astype(np.float32)

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool = True) -> None:
        """Writes one matrix; HTK has no text form."""
        if not binary:
            raise InputError("HTK features have no text form: leave ',t' out of the wspecifier")
        frames, dims = value.shape
        if dims > 0x7FFF // 4:
            raise InputError(f"an HTK file holds at most {0x7FFF // 4} columns, not {dims}")
        stream.write(_HEADER.pack(frames, self.period, 4 * dims, self.kind) + value.astype(">f4").tobytes())
