"""One recording behind a line of wav.scp, opened once and decoded where it is asked for."""

import io
import os
import struct
from typing import BinaryIO

import numpy as np

from spkid.audio.riff import is_riff, read_riff_header
from spkid.kaldi import InputError
from spkid.kaldi.io import open_file, open_input, reason, split_offset

_MOST_ARCHIVES = 64  # open at a time
_HEADER_BYTES = 512  # what is read to begin with; enough for most headers
_UNKNOWN_LENGTH = 1 << 40  # libsndfile's count for a FLAC stream whose header does not say how long it is
BLOCK_SAMPLES = 1 << 22  # more of them (four minutes) are decoded a block at a time


class Recording:
    """A recording: a file in any format of libsndfile, the output of a command, or a WAV inside an archive.

    Only the samples that `read` is asked for are decoded; what a command wrote is kept in memory as it came (encoded),
    so that many segments of one recording cost one run of the command.

    Args:
        rxfilename: `path`, `command |`, `path:offset` or `-`.

    Attributes:
        rate: samples per second.
        channels: number of channels.
        num_samples: length per channel.

    Raises:
        InputError: missing, empty, truncated or corrupt, of no known format, or a command that failed.
    """

    def __init__(self, rxfilename: str):
        self.name = rxfilename
        self._open(_open_source(rxfilename))
        if not self.num_samples:
            raise no_samples(rxfilename)

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> "Recording":
        """A recording whose encoded bytes are already in memory (an archive's entry); `name` stands in messages."""
        recording = cls.__new__(cls)
        recording.name = name
        recording._open(io.BytesIO(data))
        return recording

    def _open(self, source: "BinaryIO | str") -> None:
        import soundfile  # here, not above: tools that only print their usage need no decoder

        self._failure = soundfile.LibsndfileError
        try:
            self._file = soundfile.SoundFile(source)
        except soundfile.LibsndfileError as error:
            raise InputError(
                f"{self.name}: cannot be read as audio ({_reason(error)}); it is corrupt or in a format that "
                "libsndfile does not know: convert it to WAV or FLAC, or put a command ending in | into wav.scp"
            ) from None
        self.rate = self._file.samplerate
        self.channels = self._file.channels
        self.num_samples = self._file.frames
        self._may_hold_nan = self._file.subtype in ("FLOAT", "DOUBLE")
        if self.num_samples >= _UNKNOWN_LENGTH:
            raise InputError(
                f"{self.name}: its header does not say how long it is (FLAC that was written through a pipe); "
                "let the command write WAV (-t wav, -f wav), or convert the file"
            )

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Decodes samples `start` to `stop` (default: the end) of every channel.

        Returns:
            (samples, channels) float32 in +-1 (integers of b bits divided by 2^(b-1)).

        Raises:
            InputError: the file ends or is corrupt before `stop`, or holds NaN or infinity there.
        """
        stop = self.num_samples if stop is None else stop
        samples = self._decode(start, stop - start)
        if len(samples) < stop - start:
            raise InputError(
                f"{self.name}: breaks off after {start + len(samples)} of {self.num_samples} samples; "
                "the file is truncated: copy it again"
            )
        if self._may_hold_nan and not np.isfinite(samples).all():
            place = start + int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
            raise InputError(
                f"{self.name}: sample {place} is NaN or infinite; the recording is damaged: "
                "make it again or take it out of the data directory"
            )
        return samples

    def _decode(self, start: int, length: int) -> np.ndarray:
        try:
            if self._file.tell() != start:
                self._file.seek(start)
            if length <= BLOCK_SAMPLES:
                return self._file.read(length, dtype="float32", always_2d=True)
            return self._decode_blocks(length)
        except self._failure as error:
            raise InputError(f"{self.name}: truncated or corrupt audio ({_reason(error)}): copy it again") from None

    def _decode_blocks(self, length: int) -> np.ndarray:
        """Takes memory as samples come: a header may claim more than the file can hold."""
        samples = np.empty((BLOCK_SAMPLES, self.channels), np.float32)
        done = 0
        while done < length:
            if done == len(samples):
                samples.resize((min(2 * done, length), self.channels), refcheck=False)
            count = len(self._file.read(out=samples[done:length]))
            done += count
            if done < len(samples):
                break
        return samples[:done]

    def close(self) -> None:
        """Frees the decoder and the file behind it."""
        self._file.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def no_samples(name: str) -> InputError:
    """The error for audio of zero length."""
    return InputError(f"{name}: holds no samples: take it out of the data directory")


def _open_source(rxfilename: str) -> "BinaryIO | str":
    """What libsndfile opens: a path, or the bytes of an archive's entry or of a pipe."""
    text = rxfilename.strip()
    if text.endswith("|") or text in ("", "-"):
        if "wav-reverberate" in text:
            from spkid.audio.corruption import rendered  # which reads recordings in its turn

            data = rendered(text)
            if data is not None:
                return io.BytesIO(data)
        with open_input(rxfilename) as stream:
            data = stream.read()
        return io.BytesIO(_check_stream(data, rxfilename))
    path, offset = split_offset(text)
    if path != text and not os.path.exists(text):
        return _find_archived(path, offset, text)
    _check_file(text)
    return text


def _check_file(path: str) -> None:
    with open_file(path) as stream:
        header = stream.read(12)
        _check_magic(header, path)
        if not is_riff(header):
            return
        stream.seek(0)
        sizes = _sizes(stream, path)[1]
        present = os.fstat(stream.fileno()).st_size - sizes.data_start
    if sizes.is_streamed and present > 0:
        raise InputError(
            f"{path}: its WAV header does not say how long it is (it was written through a pipe), so that a "
            f"truncated copy could not be told; rewrite it with sox, or take it as it is with 'cat {path} |' in wav.scp"
        )
    _check_length(sizes.data, present, path)


def _check_stream(data: bytes, name: str) -> bytes:
    """The bytes that a pipe wrote, with the true length put into a header that was written before it was known."""
    _check_magic(data[:12], name)
    if not is_riff(data):
        return data
    sizes = _sizes(io.BytesIO(data), name)[1]
    present = len(data) - sizes.data_start
    if not sizes.is_streamed:
        _check_length(sizes.data, present, name)
        return data
    patched = bytearray(data)
    struct.pack_into("<I", patched, sizes.data_size_at, min(present, 0xFFFFFFFE))
    struct.pack_into("<I", patched, 4, min(len(data) - 8, 0xFFFFFFFE))
    return bytes(patched)


class _Archive:
    """An archive that stays open for all recordings in it: network file systems take long to open a file."""

    def __init__(self, path: str):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self.descriptor)
        self.size, self.stamp = status.st_size, _stamp(status)

    def __del__(self):
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


_archives: dict[str, _Archive] = {}  # of this process; a forked one reads on through the same descriptors, by offset


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open_archive(path: str) -> _Archive:
    archive = _archives.pop(path, None)
    try:
        if archive is None or archive.stamp != _stamp(os.stat(path)):
            archive = _Archive(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    while len(_archives) >= _MOST_ARCHIVES:  # the one whose last use is longest ago
        _archives.pop(next(iter(_archives)))
    _archives[path] = archive
    return archive


class _Part(io.RawIOBase):
    """What follows an offset in an archive, `size` bytes, as a file of which only what is decoded is read."""

    def __init__(self, archive: _Archive, offset: int):
        self._archive, self._offset, self._place = archive, offset, 0
        self.size = max(archive.size - offset, 0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer) -> int:
        wanted = memoryview(buffer)[: max(self.size - self._place, 0)]
        count = os.preadv(self._archive.descriptor, [wanted], self._offset + self._place) if len(wanted) else 0
        self._place += count
        return count


def _find_archived(path: str, offset: int, name: str) -> _Part:
    part = _Part(_open_archive(path), offset)
    beginning = io.BufferedReader(part, _HEADER_BYTES)
    try:
        if not is_riff(beginning.peek(12)[:12]):
            raise InputError(
                f"{name}: no WAV begins at byte {offset} of this archive; the scp file belongs to another version "
                "of it: make both again"
            )
        sizes = _sizes(beginning, name)[1]
    except OSError as error:  # a directory, or a server that has gone
        raise InputError(f"cannot read {path}: {reason(error)}") from None
    _check_length(sizes.data, part.size - sizes.data_start, name)
    beginning.detach()  # or the part would be closed with it
    part.seek(0)
    part.size = min(max(sizes.size, sizes.data_start + sizes.data), part.size)
    return part


def _sizes(stream: BinaryIO, name: str):
    try:
        return read_riff_header(stream)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _check_magic(header: bytes, name: str) -> None:
    if not header:
        raise InputError(f"{name}: is empty (no bytes at all): restore it or take it out of the data directory")
    if header.startswith(b"NIST_1A"):
        raise InputError(
            f"{name}: is a NIST SPHERE file; put a command that converts it into wav.scp, such as "
            f"'sph2pipe -f wav {name if not name.rstrip().endswith('|') else 'FILE'} |'"
        )


def _check_length(claimed: int, present: int, name: str) -> None:
    if claimed > present:
        raise InputError(
            f"{name}: its header promises {claimed} bytes of samples and {max(present, 0)} are there; "
            "the file is truncated: copy it again"
        )


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", str(error))
    return text.removeprefix("Error : ").rstrip(". ")
