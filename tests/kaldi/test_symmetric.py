"""Symmetric matrices, stored as triangles, and the refusal of sparse ones."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spkid.kaldi.errors import InputError
from spkid.kaldi.matrix import load_matrix, matrix_shape, read_matrix, read_rows, read_vector, write_symmetric

SPARSE_MATRIX = b"\0BSM \4\1\0\0\0SV \4\3\0\0\0\4\1\0\0\0\4\2\0\0\0\4\0\0\x80\x3f"
SPARSE_VECTOR = b"\0BSV \4\3\0\0\0\4\1\0\0\0\4\2\0\0\0\4\0\0\x80\x3f"


def written(array, **options):
    stream = io.BytesIO()
    write_symmetric(stream, array, **options)
    return stream.getvalue()


@given(
    st.integers(0, 6).flatmap(
        lambda size: st.sampled_from([np.float32, np.float64]).flatmap(
            lambda dtype: arrays.arrays(dtype, (size, size), elements={"allow_nan": False, "allow_infinity": False})
        )
    )
)
def test_symmetric_matrices_come_back(array):
    array = np.tril(array) + np.tril(array, -1).T
    back = read_matrix(io.BytesIO(written(array)))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    text = read_matrix(io.BytesIO(written(array, binary=False)))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(text, array, rtol=1e-6)


def test_bytes_of_a_symmetric_matrix():
    array = np.array([[1, 2, 4], [2, 3, 5], [4, 5, 6]])
    assert written(array.astype(np.float32)) == b"\0BFP \4\3\0\0\0" + struct.pack("<6f", *range(1, 7))
    assert written(array.astype(np.float64), mark=False) == b"DP \4\3\0\0\0" + struct.pack("<6d", *range(1, 7))
    assert written(array, binary=False) == b"[\n1 \n2 3 \n4 5 6 ]\n"


def test_symmetric_files(tmp_path):
    array = np.array([[1, 2, 4], [2, 3, 5], [4, 5, 6]], np.float32)
    path = tmp_path / "covariance"
    path.write_bytes(b"ab" + written(array))
    assert matrix_shape(f"{path}:2") == (3, 3)
    np.testing.assert_array_equal(read_rows(f"{path}:2", 1, 3), array[1:])
    np.testing.assert_array_equal(load_matrix(f"{path}:2[0:1]"), array[:2])
    for size in range(2, len(path.read_bytes())):
        (tmp_path / "cut").write_bytes(path.read_bytes()[2:size])
        with pytest.raises(InputError, match="cut"):
            load_matrix(f"{tmp_path}/cut")


def test_only_symmetric_matrices_are_written_so():
    with pytest.raises(ValueError, match="symmetric"):
        write_symmetric(io.BytesIO(), np.array([[1.0, 2], [3, 4]]))
    with pytest.raises(ValueError, match="symmetric"):
        write_symmetric(io.BytesIO(), np.ones((2, 3)))


@pytest.mark.parametrize("stored", [SPARSE_MATRIX, b"rows=1 dim=3 [ 2 1 ] \n"])
def test_sparse_matrices_are_refused_by_name(stored):
    with pytest.raises(InputError, match="sparse"):
        read_matrix(io.BytesIO(stored))


@pytest.mark.parametrize("stored", [SPARSE_VECTOR, b"dim=3 [ 2 1 ] \n"])
def test_sparse_vectors_are_refused_by_name(stored):
    with pytest.raises(InputError, match="sparse"):
        read_vector(io.BytesIO(stored))
