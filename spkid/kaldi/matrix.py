"""Matrices and vectors in Kaldi's binary and text forms (matrix/kaldi-matrix.cc, matrix/kaldi-vector.cc).

Binary objects begin with a zero byte and `B`; then `FM`, `DM` (float32, float64 matrices), `FV`, `DV` (vectors),
`CM`, `CM2`, `CM3` (compressed, see compression.py) or `FP`, `DP` (symmetric, of which the lower triangle is stored:
matrix/packed-matrix.cc). Text is `[ 1 2 3 ]`, one line a row. Sparse matrices and vectors are refused by name.

A header's claims are checked against the length of the file before memory is taken; truncation is an InputError that
names the file. NaN and infinity pass through: what they mean is for the caller to say.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

import numpy as np

from spkid.kaldi.compression import compress
from spkid.kaldi.errors import InputError
from spkid.kaldi.headers import (
    BINARY_MARK,
    HEADER_BYTES,
    SIZE,
    SIZES,
    Header,
    decode,
    parse_header,
    sparse,
    truncated,
)
from spkid.kaldi.io import is_pipe, open_input, open_output
from spkid.kaldi.ranges import parse_range, split_range
from spkid.kaldi.rows import check_rows, read_binary_rows

_LARGE_BYTES = 1 << 20
_ITEM = np.dtype([("size", "u1"), ("value", "<i4")])  # of a vector of integers: each carries its size


def stream_name(stream: BinaryIO) -> str:
    """The name to use in messages about a stream."""
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) else "input"


def read_matrix(stream: BinaryIO, binary: bool | None = None) -> np.ndarray:
    """Reads one matrix, (rows, columns): float32, or float64 where it was stored so or is text; a symmetric one whole.

    Args:
        stream: positioned at the object.
        binary: None looks for the binary mark; True or False says that it has been read already (inside a larger
            object such as a PLDA model).

    Raises:
        InputError: truncated, damaged, or not a matrix.
    """
    binary, first = _read_mark(stream, binary)
    if not binary:
        return _parse_text_matrix(_read_text(stream, first), stream_name(stream))
    header = _read_header(stream)
    if header.layout[1] == "V":
        raise InputError(f"{stream_name(stream)}: holds a vector where a matrix was expected")
    return decode(header, _read_array(stream, header))


def read_shape(stream: BinaryIO) -> tuple[int, int]:
    """Rows and columns of one matrix; its data are passed over (in a file without being read). See read_matrix."""
    binary, first = _read_mark(stream, None)
    if not binary:
        return _parse_text_matrix(_read_text(stream, first), stream_name(stream)).shape
    header = _read_header(stream)
    if header.layout[1] == "V":
        raise InputError(f"{stream_name(stream)}: holds a vector where a matrix was expected")
    left = bytes_left(stream)
    if left is None:
        _read_array(stream, header)
    elif left < header.data_bytes:
        raise truncated(stream_name(stream), header, left)
    else:
        stream.seek(header.data_bytes, os.SEEK_CUR)
    return header.rows, header.columns


def read_vector(stream: BinaryIO, binary: bool | None = None) -> np.ndarray:
    """Reads one vector, (dims,): float32, or float64 where it was stored so or is text. See read_matrix."""
    binary, first = _read_mark(stream, binary)
    if not binary:
        return _parse_numbers(_read_text(stream, first), stream_name(stream))
    header = _read_header(stream)
    if not header.layout[1] == "V":
        raise InputError(f"{stream_name(stream)}: holds a matrix where a vector was expected")
    return _read_array(stream, header)


def _read_mark(stream: BinaryIO, binary: bool | None) -> tuple[bool, bytes]:
    """Whether the object is binary, and the first byte of a text object where it had to be read to tell."""
    if binary is not None:
        return binary, b""
    first = stream.read(1)
    if first != b"\0":
        return False, first
    if stream.read(1) != b"B":
        raise InputError(f"{stream_name(stream)}: damaged, a zero byte stands where an object should begin")
    return True, b""


def _read_header(stream: BinaryIO) -> Header:
    token = stream.read(3)
    return parse_header(token, stream.read(HEADER_BYTES.get(token, 0)), stream_name(stream))


def bytes_left(stream: BinaryIO) -> int | None:
    """Bytes between the position and the end of a regular file; None for anything else."""
    try:
        status = os.fstat(stream.fileno())
        return status.st_size - stream.tell() if stat.S_ISREG(status.st_mode) else None
    except (OSError, AttributeError):
        return None


def _read_array(stream: BinaryIO, header: Header) -> np.ndarray:
    """The data after a header as a flat, writable array."""
    size = header.data_bytes
    left = bytes_left(stream) if size > _LARGE_BYTES else None
    if left is not None and left < size:
        raise truncated(stream_name(stream), header, left)
    data = _read_bytes(stream, size, believed=left is not None)
    if len(data) < size:
        raise truncated(stream_name(stream), header, len(data))
    return data.view(header.dtype)


def _read_bytes(stream: BinaryIO, size: int, believed: bool) -> np.ndarray:
    """Up to `size` bytes, writable; a large size that is not to be believed takes memory only as the bytes come."""
    if believed or size <= _LARGE_BYTES:
        data = np.empty(size, np.uint8)
        return data[: stream.readinto(memoryview(data))] if size else data
    pieces = bytearray()
    while len(pieces) < size and (piece := stream.read(min(size - len(pieces), 16 * _LARGE_BYTES))):
        pieces += piece
    return np.frombuffer(pieces, np.uint8)


def _read_text(stream: BinaryIO, first: bytes) -> bytes:
    """The text between the brackets."""
    name = stream_name(stream)
    first = first or stream.read(1)
    while first.isspace():
        first = stream.read(1)
    if first in (b"r", b"d") and stream.read(3) in (b"ows", b"im="):  # "rows=2 dim=10 [ 3 0.5 ]"
        raise sparse(name)
    if first != b"[":
        what = "nothing" if not first else f"{first!r}"
        raise InputError(f"{name}: neither a binary nor a text matrix or vector (found {what} where '[' should stand)")
    pieces = []
    line = stream.readline()
    while b"]" not in line:
        if not line:
            raise InputError(f"{name}: truncated, a text matrix or vector ends without ']'")
        pieces.append(line)
        line = stream.readline()
    last, _, rest = line.partition(b"]")
    if rest.strip():
        raise InputError(f"{name}: unexpected text after ']': {rest[:40]!r}")
    pieces.append(last)
    return b"".join(pieces)


def _parse_text_matrix(text: bytes, name: str) -> np.ndarray:
    text = text.replace(b";", b"\n")
    widths = [width for row in text.split(b"\n") if (width := len(row.split()))]
    is_triangle = len(widths) > 1 and widths == list(range(1, len(widths) + 1))
    if len(set(widths)) > 1 and not is_triangle:
        raise InputError(f"{name}: the rows of a text matrix have different lengths ({min(widths)} and {max(widths)})")
    values = _parse_numbers(text, name)
    if is_triangle:
        return decode(Header("DP", values.dtype, len(widths), len(widths)), values)
    return values.reshape(-1, widths[0]) if widths else values.reshape(0, 0)


def _parse_numbers(text: bytes, name: str) -> np.ndarray:
    if not text.strip():
        return np.empty(0)
    try:
        return np.fromstring(text, dtype=np.float64, sep=" ")
    except ValueError:
        wrong = next((word for word in text.split() if not _is_number(word)), text)
        raise InputError(f"{name}: {wrong[:40].decode('utf-8', 'replace')!r} is not a number") from None


def _is_number(word: bytes) -> bool:
    try:
        np.fromstring(word, dtype=np.float64, sep=" ")
    except ValueError:
        return False
    return True


def write_matrix(
    stream: BinaryIO, array: np.ndarray, binary: bool = True, compression: int | None = None, mark: bool = True
) -> None:
    """Writes one matrix: float64 as float64, everything else as float32.

    Args:
        array: (rows, columns); an empty one is written 0 x 0, as Kaldi holds it.
        compression: None, or one of Kaldi's methods 1 to 7 (binary only; text is never compressed).
        mark: whether a binary object begins with the binary mark; False inside a larger object.
    """
    array = _as_floating(array, 2)
    if not binary:
        stream.write(_matrix_text(array))
        return
    prefix = BINARY_MARK if mark else b""
    if compression is not None:
        layout, data = compress(array, compression)
        stream.write(prefix + layout.encode() + b" " + data)
        return
    rows, columns = array.shape if array.size else (0, 0)
    token = b"DM " if array.dtype.itemsize == 8 else b"FM "
    stream.write(prefix + token + SIZES.pack(4, rows, 4, columns))
    stream.write(array.data if array.size else b"")


def write_symmetric(stream: BinaryIO, array: np.ndarray, binary: bool = True, mark: bool = True) -> None:
    """Writes a symmetric matrix, (size, size), as Kaldi's SpMatrix: the lower triangle only. See write_matrix.

    Raises:
        ValueError: the matrix is not symmetric.
    """
    array = _as_floating(array, 2)
    if not np.array_equal(array, array.T, equal_nan=True):
        raise ValueError("only a symmetric matrix can be written as one")
    if not binary:
        rows = [_numbers_text(row[: index + 1]) for index, row in enumerate(array)]
        stream.write(("[\n" + "\n".join(rows) + "]\n" if rows else "[ ]\n").encode())
        return
    token = b"DP " if array.dtype.itemsize == 8 else b"FP "
    stream.write((BINARY_MARK if mark else b"") + token + SIZE.pack(4, len(array)))
    stream.write(array[np.tril_indices(len(array))].tobytes())


def write_vector(stream: BinaryIO, array: np.ndarray, binary: bool = True, mark: bool = True) -> None:
    """Writes one vector, (dims,): float64 as float64, everything else as float32. See write_matrix."""
    array = _as_floating(array, 1)
    if not binary:
        stream.write(f" [ {_numbers_text(array)}]\n".encode())
        return
    token = b"DV " if array.dtype.itemsize == 8 else b"FV "
    stream.write((BINARY_MARK if mark else b"") + token + SIZE.pack(4, len(array)))
    stream.write(array.data if array.size else b"")


def _as_floating(array: np.ndarray, dimensions: int) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != dimensions:
        raise ValueError(f"an array of {dimensions} dimensions was expected, this one has {array.ndim}")
    return np.ascontiguousarray(array, dtype="<f8" if array.dtype == np.float64 else "<f4")


def _numbers_text(row: np.ndarray) -> str:
    """Seven digits and a blank each, as Kaldi's streams print."""
    return "".join([f"{value:.7g} " for value in row.tolist()])


def _matrix_text(array: np.ndarray) -> bytes:
    if not array.size:
        return b" [ ]\n"
    return (" [" + "".join(["\n  " + _numbers_text(row) for row in array]) + "]\n").encode()


def read_int_vector(stream: BinaryIO) -> np.ndarray:
    """Reads one vector of integers, (n,) int32, as Kaldi's Int32VectorHolder writes it (a VAD or an alignment)."""
    binary, first = _read_mark(stream, None)
    name = stream_name(stream)
    if not binary:
        words = (first if first == b"\n" else first + stream.readline()).split()
        try:
            return np.array([int(word) for word in words], dtype=np.int32)
        except (ValueError, OverflowError):
            raise InputError(f"{name}: a vector of integers was expected, found {b' '.join(words)[:40]!r}") from None
    head = stream.read(5)
    if len(head) < 5 or head[0] != 4:
        raise InputError(f"{name}: truncated or damaged, not a vector of integers")
    _, count = SIZE.unpack(head)
    data = _read_bytes(stream, 5 * count, believed=False) if count > 0 else np.empty(0, np.uint8)
    if count < 0 or len(data) < 5 * count:
        raise InputError(f"{name}: truncated or damaged, the header claims {count} integers")
    items = data.view(_ITEM)
    if (items["size"] != 4).any():
        raise InputError(f"{name}: damaged inside a vector of {count} integers")
    return items["value"].astype(np.int32)


def write_int_vector(stream: BinaryIO, array: np.ndarray, binary: bool = True) -> None:
    """Writes one vector of integers, (n,), as Kaldi's Int32VectorHolder does."""
    array = np.asarray(array)
    if not binary:
        stream.write(("".join([f"{value} " for value in array.tolist()]) + "\n").encode())
        return
    items = np.empty(len(array), _ITEM)
    items["size"], items["value"] = 4, array
    stream.write(BINARY_MARK + SIZE.pack(4, len(array)) + items.tobytes())


def load_matrix(rxfilename: str) -> np.ndarray:
    """Reads the matrix in a file, at an offset, in a pipe; a range such as `[0:99,0:12]` may follow the name."""
    name, text = split_range(rxfilename)
    if text is not None and not is_pipe(name):
        rows, columns = parse_range(text, *matrix_shape(name), name)
        return np.ascontiguousarray(read_rows(name, rows.start, rows.stop)[:, columns])
    with open_input(name) as stream:
        matrix = read_matrix(stream)
    return matrix if text is None else matrix[parse_range(text, *matrix.shape, name)].copy()


def matrix_shape(rxfilename: str) -> tuple[int, int]:
    """Rows and columns of the matrix that load_matrix would return; in a binary file only the header is read."""
    name, text = split_range(rxfilename)
    with open_input(name) as stream:
        shape = read_shape(stream)
    if text is None:
        return shape
    rows, columns = parse_range(text, *shape, name)
    return rows.stop - rows.start, columns.stop - columns.start


def read_rows(rxfilename: str, start: int, stop: int) -> np.ndarray:
    """Reads rows start ... stop - 1 of a matrix, (stop - start, columns), and little else of the file.

    Raises:
        InputError: the file, or the rows are not all there.
    """
    if rxfilename[-1:] not in ("]", "|", "-", ""):
        matrix = read_binary_rows(rxfilename, start, stop)
        if matrix is not None:
            return matrix
    matrix = load_matrix(rxfilename)
    check_rows(start, stop, len(matrix), rxfilename)
    return matrix[start:stop]


def load_vector(rxfilename: str) -> np.ndarray:
    """Reads the vector in a file, at an offset, in a pipe; a range such as `[0:99]` may follow the name."""
    rxfilename, text = split_range(rxfilename)
    with open_input(rxfilename) as stream:
        vector = read_vector(stream)
    return vector if text is None else vector[parse_range(text, len(vector), 1, rxfilename)[0]].copy()


def save_matrix(wxfilename: str, array: np.ndarray, binary: bool = True) -> None:
    """Writes a matrix to a file of its own (or a pipe)."""
    with open_output(wxfilename) as stream:
        write_matrix(stream, array, binary)


def save_vector(wxfilename: str, array: np.ndarray, binary: bool = True) -> None:
    """Writes a vector to a file of its own (or a pipe)."""
    with open_output(wxfilename) as stream:
        write_vector(stream, array, binary)
