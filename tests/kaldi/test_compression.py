"""Compressed matrices: Kaldi's bytes, and what they lose."""

import io

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spkid.kaldi.compression import compress
from spkid.kaldi.matrix import read_matrix, write_matrix
from spkid.kaldi.tables import MATRIX, TableWriter, compressed_matrix, read_table
from tests.shared import golden

F = np.float32
MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 4)),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
)


def test_equals_kaldi_byte_for_byte(tmp_path):
    # The golden archive was made from a text copy: its minima have seven digits.
    text, ours = tmp_path / "fbank80.txt", tmp_path / "compressed.ark"
    with TableWriter(f"ark,t:{text}", MATRIX) as writer:
        for key, matrix in read_table(f"ark:{golden('kaldi/feats/fbank80.ark')}", MATRIX):
            if not key.startswith("edge-"):
                writer.write(key, matrix)
    with TableWriter(f"ark:{ours}", compressed_matrix(1)) as writer:
        for key, matrix in read_table(f"ark:{text}", MATRIX):
            writer.write(key, matrix)
    assert ours.read_bytes() == golden("kaldi/feats/fbank80_compressed.ark").read_bytes()


def test_reads_what_kaldi_reads():
    compressed = read_table(f"ark:{golden('kaldi/feats/fbank80_compressed.ark')}", MATRIX)
    plain = dict(read_table(f"ark:{golden('kaldi/feats/fbank80_decompressed.ark')}", MATRIX))
    count = 0
    for key, matrix in compressed:
        np.testing.assert_array_equal(matrix, plain[key])
        count += 1
    assert count == len(plain) == 13


def one_by_one(matrix, method):
    """The algorithm one value at a time, single precision where Kaldi has it. -> (percentiles, codes) or codes."""
    rows = len(matrix)
    low, high = matrix.min(), matrix.max()
    if high == low:
        high = F(low + (1.0 + abs(float(low))))
    span = F(high - low)
    if method in (4, 6, 7):
        low, span = {4: (F(-32768), F(65535)), 6: (F(0), F(255)), 7: (F(0), F(1))}[method]

    def steps(value, count):
        fraction = F(F(value - low) / span)
        return int(float(F(min(max(fraction, F(0)), F(1)) * F(count))) + 0.499)

    if method != 2:
        count = 65535 if method in (3, 4) else 255
        return [[steps(value, count) for value in row] for row in matrix]
    headers, codes = [], []
    for column in matrix.T:
        ordered = np.sort(column)
        picked = list(ordered) if rows < 5 else [ordered[i] for i in (0, rows // 4, 3 * (rows // 4), rows - 1)]
        header = []
        for i in range(4):
            at_least = header[-1] + 1 if header else 0
            value = max(steps(picked[i], 65535), at_least) if i < len(picked) else at_least
            header.append(min(value, 65532 + i) if i < 3 and i < len(picked) else value)
        ends = [F(low + F(F(span * F(1.52590218966964e-05)) * F(step))) for step in header]
        for value in column:
            piece = 0 if value < ends[1] else 1 if value < ends[2] else 2
            first, count = [(0, 64), (64, 128), (192, 63)][piece]
            width = F(ends[piece + 1] - ends[piece])
            code = int(float(F(F(F(value - ends[piece]) / width) * F(count))) + 0.5) if width > 0 else 0
            codes.append(first + min(max(code, 0), count))
        headers += header
    return headers, codes


@given(MATRICES, st.integers(2, 7))
@settings(max_examples=150)
def test_vectorised_equals_one_by_one(matrix, method):
    layout, data = compress(matrix, method)
    body = data[16:]
    if layout == "CM":
        size = 8 * matrix.shape[1]
        headers, codes = one_by_one(matrix, 2)
        assert np.frombuffer(body[:size], "<u2").tolist() == headers
        assert list(body[size:]) == codes
    else:
        expected = np.array(one_by_one(matrix, method), "<u2" if layout == "CM2" else "u1")
        assert body == expected.tobytes()


@given(MATRICES, st.sampled_from([1, 3, 5]))
@settings(max_examples=100)
def test_linear_loss_is_at_most_a_step(matrix, method):
    stream = io.BytesIO()
    write_matrix(stream, matrix, compression=method)
    stream.seek(0)
    back = read_matrix(stream)
    assert back.shape == matrix.shape
    assert back.dtype == np.float32
    span = float(matrix.max()) - float(matrix.min()) or 1 + abs(float(matrix.max()))
    step = {1: span, 3: span / 65535, 5: span / 255}[method]  # in CM a step may be as wide as a quarter of the values
    assert np.abs(back - matrix).max() <= 0.51 * step + 1e-6 * np.abs(matrix).max() + 1e-30


@given(MATRICES, st.integers(1, 7))
@settings(max_examples=100)
def test_kaldiio_reads_the_same(matrix, method):
    stream = io.BytesIO()
    write_matrix(stream, matrix, compression=method)
    theirs = kaldiio.matio.read_kaldi(io.BytesIO(stream.getvalue()))
    stream.seek(0)
    ours = read_matrix(stream)
    span = float(ours.max() - ours.min()) + np.abs(ours).max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * span + 1e-30)


def test_integers_survive_the_integer_methods():
    for method, low, high in ((4, -32768, 32767), (6, 0, 255)):
        matrix = np.random.default_rng(0).integers(low, high + 1, (50, 7)).astype(np.float32)
        stream = io.BytesIO()
        write_matrix(stream, matrix, compression=method)
        stream.seek(0)
        np.testing.assert_allclose(read_matrix(stream), matrix, atol=0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(bad):
    matrix = np.ones((20, 3), np.float32)
    matrix[4, 1] = bad
    for method in range(1, 8):
        with pytest.raises(ValueError, match="NaN or infinite"):
            compress(matrix, method)


def test_refuses_unknown_methods():
    with pytest.raises(ValueError, match="8 is not one of"):
        compress(np.ones((2, 2)), 8)


def test_empty_matrix_is_kaldis():
    assert compress(np.empty((0, 30))) == ("CM", bytes(16))
