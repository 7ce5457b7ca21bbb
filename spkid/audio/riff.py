"""The sizes that a WAV header claims: libsndfile forgives a file that is shorter, a pipeline must not."""

import struct
from typing import BinaryIO

from spkid.kaldi import InputError

# Programs that write WAV into a pipe cannot know the length. They leave 0 or a number near 2^31 or 2^32 in its place:
# sox 0x7FFFF000, ffmpeg 0xFFFFFFFF, others 0x7FFFFFFF. No real recording has such a length to the byte.
_STREAM_MARK = 0x7FFF0000


class RiffSizes:
    """What the header of a RIFF or RF64 file says about sizes, in bytes.

    Attributes:
        size: length of the whole file (RIFF header included), 0 or huge where it was written to a pipe.
        data: length of the samples, the same.
        data_start: where the samples begin, from the start of the RIFF header.
        data_size_at: where the four bytes of `data` stand.
    """

    def __init__(self, size: int, data: int, data_start: int):
        self.size = size
        self.data = data
        self.data_start = data_start
        self.data_size_at = data_start - 4

    @property
    def is_streamed(self) -> bool:
        """True where the header was written before the length was known."""
        return self.data == 0 or self.data >= _STREAM_MARK


def is_riff(header: bytes) -> bool:
    """True when the first 12 bytes are those of a WAV file (RIFF, or RF64 for more than 4 GB)."""
    return header[:4] in (b"RIFF", b"RF64") and header[8:12] == b"WAVE"


def read_riff_header(stream: BinaryIO) -> tuple[bytes, RiffSizes]:
    """Reads a WAV header up to the first sample.

    Args:
        stream: positioned at `RIFF`; need not be seekable.

    Returns:
        The bytes read and the sizes found in them.

    Raises:
        InputError: the header breaks off before the samples, or has no data chunk (the caller names the file).
    """
    header = bytearray(_exactly(stream, 12))
    size = struct.unpack_from("<I", header, 4)[0] + 8
    long_data = None
    while True:
        chunk = _exactly(stream, 8)
        header += chunk
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            data = long_data if long_data is not None and length == 0xFFFFFFFF else length
            return bytes(header), RiffSizes(size, data, len(header))
        if length > 1 << 24:
            raise InputError(f"its WAV header has a chunk {name!r} of {length} bytes; it is corrupt: write it again")
        body = _exactly(stream, length + length % 2)
        header += body
        if name == b"ds64":
            riff_size, long_data = struct.unpack_from("<QQ", body)
            size = riff_size + 8


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise InputError("its WAV header breaks off before the first sample; the file is truncated: copy it again")
    return data
