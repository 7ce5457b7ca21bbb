"""Packing what thousands of small files hold into a few large ones, which network file systems prefer.

A shard is one of Kaldi's archives, so that everything reads it: an entry of the new script is `shard:offset`. Features
and decisions keep their bytes; audio becomes WAV that decodes to the same samples.
"""

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from spkid.audio.recording import Recording
from spkid.audio.riff import is_riff
from spkid.audio.wave import encode_wav, read_wav_bytes
from spkid.kaldi import InputError
from spkid.kaldi.headers import BINARY_MARK, HEADER_BYTES, parse_header, truncated
from spkid.kaldi.io import atomic_write, open_input, split_offset
from spkid.kaldi.matrix import bytes_left
from spkid.kaldi.ranges import split_range
from spkid.kaldi.tables import MATRIX, VECTOR, Holder


def pack(
    script: Mapping[str, str],
    read: Callable[[str], bytes],
    prefix: str | Path,
    shard_bytes: int,
    failed: dict[str, str],
    order: Iterable[str] | None = None,
) -> dict[str, str]:
    """Writes the values of a script into `<prefix>.1.ark`, `<prefix>.2.ark`, ...; each appears by one rename.

    Args:
        script: id -> rxfilename.
        read: the bytes of a value: `matrix_bytes`, `vector_bytes` or `wave_bytes`.
        shard_bytes: a shard ends before the entry that would make it longer; a longer entry has one for itself.
        failed: receives the ids whose values cannot be read, and why; they are left out.
        order: the ids in the order in which they are to lie in the shards; by default that of the script.

    Returns:
        id -> `shard:offset`, in the order of the script. Shards of a longer earlier run are removed.

    Raises:
        InputError: a shard cannot be written, or a value of the script lies where one would be written.
    """
    prefix = Path(prefix)
    old_shards = {path.resolve() for path in _shards(prefix).values()}
    sources = {split_offset(split_range(rxfilename)[0])[0] for rxfilename in script.values()} if old_shards else set()
    for source in sorted(sources):
        if Path(source).resolve() in old_shards:
            raise InputError(f"{source} would be overwritten while it is read: give another archive directory")
    entries: dict[str, str] = {}
    number, stream = 0, None
    with contextlib.ExitStack() as shard:
        for key in script if order is None else order:
            try:
                value = read(script[key])
            except InputError as error:
                failed[key] = str(error)
                continue
            head = key.encode() + b" "
            if stream is None or 0 < stream.tell() > shard_bytes - len(head) - len(value):
                shard.close()
                number += 1
                stream = shard.enter_context(atomic_write(f"{prefix}.{number}.ark", "wb"))
            stream.write(head)
            entries[key] = f"{prefix}.{number}.ark:{stream.tell()}"
            stream.write(value)
    for old, path in _shards(prefix).items():
        if old > number:
            path.unlink()
    return {key: entries[key] for key in script if key in entries}


def _shards(prefix: Path) -> dict[int, Path]:
    """The shards of that prefix which exist, by number."""
    found = {
        path: re.fullmatch(rf"{re.escape(prefix.name)}\.(\d+)\.ark", path.name) for path in prefix.parent.glob("*.ark")
    }
    return {int(match[1]): path for path, match in found.items() if match}


def matrix_bytes(rxfilename: str) -> bytes:
    """A matrix as an archive holds it: byte for byte where it lies in a binary file, whatever its kind."""
    return _object_bytes(rxfilename, MATRIX)


def vector_bytes(rxfilename: str) -> bytes:
    """As `matrix_bytes`, of a vector."""
    return _object_bytes(rxfilename, VECTOR)


def _object_bytes(rxfilename: str, holder: Holder) -> bytes:
    if not rxfilename.endswith(("]", "|")):
        with open_input(rxfilename) as stream:
            if stream.peek(2)[:2] == BINARY_MARK and (left := bytes_left(stream)) is not None:
                head = stream.read(len(BINARY_MARK) + 3)
                token = head[len(BINARY_MARK) :]
                rest = stream.read(HEADER_BYTES.get(token, 0))
                header = parse_header(token, rest, rxfilename)
                left -= len(head) + len(rest)
                if left < header.data_bytes:
                    raise truncated(rxfilename, header, left)
                if (header.layout[1] == "V") == (holder is VECTOR):
                    return head + rest + stream.read(header.data_bytes)
    buffer = io.BytesIO()
    holder.write(buffer, holder.load(rxfilename), binary=True)
    return buffer.getvalue()


def wave_bytes(rxfilename: str) -> bytes:
    """A recording as a WAV that holds the same samples: as it stands where it is one, else of 16 bits or of floats."""
    with Recording(rxfilename) as recording:  # finds what is truncated, damaged or of no length
        samples, rate = recording.read(), recording.rate
    if not rxfilename.endswith("|"):
        with open_input(rxfilename) as stream:
            if is_riff(stream.peek(12)[:12]):
                return read_wav_bytes(stream)
    integers = samples * np.float32(32768)
    if (integers == np.rint(integers)).all() and integers.min() >= -32768 and integers.max() <= 32767:
        return encode_wav(samples, rate)
    import soundfile  # here, not above: features are packed without it

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
