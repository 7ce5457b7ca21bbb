"""Kaldi's compressed matrices (matrix/compressed-matrix.cc), in Kaldi's float32 arithmetic, whole matrices at once.

Three layouts share one header of 16 bytes (minimum, range, rows, columns):

- `CM`: one byte a value, column after column; each column has four 16-bit percentiles (0, 25, 75, 100), between which
  its bytes are linear in three pieces;
- `CM2`: two bytes a value, `CM3`: one byte a value, row after row, linear between minimum and minimum + range.

Compressing is equal to Kaldi's byte for byte; kaldiio's writer is not, hence this file.
"""

from __future__ import annotations

import struct

import numpy as np

GLOBAL_HEADER = struct.Struct("<ffii")
COLUMN_HEADER_BYTES = 8
# Kaldi's CompressionMethod -> layout; method 1 chooses by the number of rows
LAYOUT_OF_METHOD = {2: "CM", 3: "CM2", 4: "CM2", 5: "CM3", 6: "CM3", 7: "CM3"}
# methods whose range does not depend on the data: signed 16-bit integers, unsigned bytes, values in 0 .. 1
FIXED_RANGE = {4: (-32768.0, 65535.0), 6: (0.0, 255.0), 7: (0.0, 1.0)}
_STEP_OF_PERCENTILE = np.float32(1.52590218966964e-05)  # 1 / 65535, as Kaldi spells it


def compressed_bytes(layout: str, rows: int, columns: int) -> int:
    """Number of bytes that follow the 16-byte header."""
    if layout == "CM":
        return columns * (COLUMN_HEADER_BYTES + rows)
    return rows * columns * (2 if layout == "CM2" else 1)


@np.errstate(over="ignore")  # doubles beyond single precision become infinite, and are refused
def compress(matrix: np.ndarray, method: int = 1) -> tuple[str, bytes]:
    """Compresses a matrix as Kaldi does.

    Args:
        matrix: (rows, columns), finite.
        method: 1 automatic (2 above eight rows, else 3), 2 speech features, 3 two bytes, 4 two bytes holding integers
            from -32768, 5 one byte, 6 one byte holding integers from 0, 7 one byte for values from 0 to 1.

    Returns:
        Layout ("CM", "CM2" or "CM3") and the bytes that follow that token.

    Raises:
        ValueError: an unknown method, or a value that is not finite.
    """
    if method not in range(1, 8):
        raise ValueError(f"compression method {method} is not one of 1 ... 7")
    if matrix.size == 0:
        return "CM", GLOBAL_HEADER.pack(0.0, 0.0, 0, 0)
    matrix = np.asarray(matrix, dtype=np.float32)
    rows, columns = matrix.shape
    if method == 1:
        method = 2 if rows > 8 else 3
    layout = LAYOUT_OF_METHOD[method]
    minimum, value_range = map(np.float32, FIXED_RANGE.get(method, _range_of(matrix)))
    header = GLOBAL_HEADER.pack(minimum, value_range, rows, columns)
    if layout == "CM":
        return layout, header + _encode_columns(np.ascontiguousarray(matrix.T), minimum, value_range)
    steps, dtype = (65535, "<u2") if layout == "CM2" else (255, "u1")
    return layout, header + _to_steps(matrix, minimum, value_range, steps).astype(dtype).tobytes()


def _range_of(matrix: np.ndarray) -> tuple[np.float32, np.float32]:
    minimum, maximum = matrix.min(), matrix.max()
    if not (np.isfinite(minimum) and np.isfinite(maximum)):
        raise ValueError("a matrix with NaN or infinite values cannot be compressed")
    if maximum == minimum:  # a constant matrix: any positive range will do, Kaldi takes this one
        maximum = np.float32(float(minimum) + (1.0 + abs(float(minimum))))
    value_range = maximum - minimum
    if not np.isfinite(value_range):
        raise ValueError("a matrix whose values span more than single precision holds cannot be compressed")
    return minimum, value_range


def _to_steps(values: np.ndarray, minimum: np.float32, value_range: np.float32, steps: int) -> np.ndarray:
    """Kaldi's FloatToUint16 and FloatToUint8: single precision up to the last addition, which is in double."""
    fraction = (values - minimum) / value_range
    np.clip(fraction, np.float32(0), np.float32(1), out=fraction)
    fraction *= np.float32(steps)
    return (fraction.astype(np.float64) + 0.499).astype(np.int32)


def _encode_columns(by_column: np.ndarray, minimum: np.float32, value_range: np.float32) -> bytes:
    """by_column: (columns, rows) float32."""
    columns, rows = by_column.shape
    percentiles = np.empty((columns, 4), dtype=np.int32)
    if rows >= 5:
        quarter = rows // 4
        positions = [0, quarter, 3 * quarter, rows - 1]
    else:  # fewer rows than percentiles: the missing ones follow their neighbour
        positions = list(range(rows))
    ordered = np.partition(by_column, positions, axis=1)[:, positions]
    steps = _to_steps(ordered, minimum, value_range, 65535)
    for i in range(4):
        # strictly increasing, and leaving room above for those that follow
        lowest = percentiles[:, i - 1] + 1 if i else 0
        wanted = steps[:, i] if i < len(positions) else lowest
        percentiles[:, i] = np.maximum(wanted, lowest)
        if i < 3 and i < len(positions):
            np.minimum(percentiles[:, i], 65532 + i, out=percentiles[:, i])
    percentiles = percentiles.astype("<u2")
    p0, p25, p75, p100 = (column[:, None] for column in _percentile_values(percentiles, minimum, value_range))
    codes = np.where(
        by_column < p25,
        _to_code(by_column, p0, p25, 0, 64),
        np.where(by_column < p75, _to_code(by_column, p25, p75, 64, 128), _to_code(by_column, p75, p100, 192, 63)),
    )
    return percentiles.tobytes() + codes.astype(np.uint8).tobytes()


def _to_code(values: np.ndarray, low: np.ndarray, high: np.ndarray, first: int, count: int) -> np.ndarray:
    width = high - low  # 0 where the range is below the resolution of the minimum; Kaldi then takes the first code
    fraction = (values - low) / np.where(width > 0, width, np.float32(np.inf)) * np.float32(count)
    np.clip(fraction, -1, count + 1, out=fraction)  # values of the other pieces would overflow the integers
    return np.clip((fraction.astype(np.float64) + 0.5).astype(np.int32), 0, count) + first


def _percentile_values(percentiles: np.ndarray, minimum: np.float32, value_range: np.float32) -> np.ndarray:
    """(columns, 4) 16-bit percentiles -> (4, columns) float32."""
    return (minimum + value_range * _STEP_OF_PERCENTILE * percentiles.astype(np.float32)).T


@np.errstate(all="ignore")  # a damaged header may hold anything
def decompress_columns(codes: np.ndarray, percentiles: np.ndarray, minimum: float, value_range: float) -> np.ndarray:
    """Values of a `CM` matrix.

    Args:
        codes: (columns, rows) bytes; any stretch of rows will do.
        percentiles: (columns, 4) unsigned 16-bit.
        minimum, value_range: from the header.

    Returns:
        (rows, columns) float32, contiguous.
    """
    p0, p25, p75, p100 = _percentile_values(percentiles, np.float32(minimum), np.float32(value_range))
    # Each piece is low + (high - low) * offset / count, offset counted from the piece's first code.
    low = np.stack([p0, p25, p75], axis=1)
    width = np.stack([p25 - p0, p75 - p25, p100 - p75], axis=1)
    table = _code_values(low, width)
    first = np.arange(len(codes), dtype=np.intp)[:, None] << 8
    return np.ascontiguousarray(table.ravel()[codes + first].T)


def _code_values(low: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(columns, 3) pieces -> (columns, 256) float32: the value of each code in each column.

    Kaldi multiplies width and offset in single precision and does the rest in double.
    """
    products = (width[:, _PIECE_OF_CODE] * _OFFSET_OF_CODE).astype(np.float64)
    return (low[:, _PIECE_OF_CODE] + products * _SCALE_OF_CODE).astype(np.float32)


_CODES = np.arange(256)
_PIECE_OF_CODE = np.where(_CODES <= 64, 0, np.where(_CODES <= 192, 1, 2))
_OFFSET_OF_CODE = (_CODES - np.array([0, 64, 192])[_PIECE_OF_CODE]).astype(np.float32)
_SCALE_OF_CODE = np.array([1 / 64.0, 1 / 128.0, 1 / 63.0])[_PIECE_OF_CODE]


@np.errstate(all="ignore")
def decompress_linear(codes: np.ndarray, minimum: float, value_range: float) -> np.ndarray:
    """Values of a `CM2` (16-bit codes) or `CM3` (8-bit codes) matrix, any stretch of it, as float32."""
    steps = 65535.0 if codes.dtype.itemsize == 2 else 255.0
    increment = np.float32(value_range * (1.0 / steps))
    return np.float32(minimum) + codes.astype(np.float32) * increment
