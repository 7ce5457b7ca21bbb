"""Waves as table values (Kaldi's WaveHolder, feat/wave-reader.h), and writing them as 16-bit WAV."""

import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from spkid.audio.recording import Recording
from spkid.audio.riff import read_riff_header
from spkid.kaldi import InputError
from spkid.kaldi.io import open_output

BLOCK_BYTES = 1 << 20


class Wave(NamedTuple):
    """Samples, float32 in +-1, (samples,) or (samples, channels) for all channels; and samples per second."""

    samples: np.ndarray
    rate: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


class _WaveHolder:
    """Reads and writes WAV inside tables; `write` gives 16-bit PCM as Kaldi does."""

    def read(self, stream: BinaryIO) -> Wave:
        """Reads one WAV, (samples, channels). One without a length in its header reaches to the stream's end."""
        with Recording.from_bytes(read_wav_bytes(stream), "WAV in an archive") as recording:
            return Wave(recording.read(), float(recording.rate))

    def write(self, stream: BinaryIO, wave: Wave, binary: bool = True) -> None:
        """Writes one wave; there is no text form, so that `binary` changes nothing."""
        stream.write(encode_wav(wave.samples, wave.rate))


WAVE = _WaveHolder()


def read_wav_bytes(stream: BinaryIO) -> bytes:
    """One WAV with its header, as it stands in a stream of one or more of them.

    One without a length in its header reaches to the stream's end and gets the length put in. Raises InputError for a
    header that breaks off, or promises more than there is.
    """
    header, sizes = read_riff_header(stream)
    if sizes.is_streamed:
        data = stream.read()
        return header[: sizes.data_size_at] + struct.pack("<I", min(len(data), 0xFFFFFFFE)) + data
    # The samples and the chunks behind them (sizes.size covers both).
    data = _read_at_most(stream, max(sizes.size - sizes.data_start, sizes.data))
    if len(data) < sizes.data:
        raise InputError(
            f"a WAV whose header promises {sizes.data} bytes of samples breaks off after {len(data)}; "
            "the archive is truncated: make it again"
        )
    return header + data


def encode_wav(samples: np.ndarray, rate: float) -> bytes:
    """16-bit PCM WAV of (samples,) or (samples, channels) float in +-1; what lies outside is clipped."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype("<i2").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, channels),
        *(round(rate), round(rate) * 2 * channels, 2 * channels, 16, b"data", len(data)),
    )
    return header + data


def write_wav(wxfilename: str, samples: np.ndarray, rate: float) -> None:
    """Writes samples, float in +-1, as a 16-bit WAV file (atomically, or into a pipe: any wxfilename)."""
    with open_output(wxfilename) as stream:
        stream.write(encode_wav(samples, rate))


def _read_at_most(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, or what there is: memory is taken for bytes that came, not for those that a header promises."""
    blocks = []
    while size > 0 and (block := stream.read(min(size, BLOCK_BYTES))):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)
