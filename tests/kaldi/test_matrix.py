"""Matrices and vectors: round trips, Kaldi's text, damage."""

import io

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spkid.kaldi import InputError
from spkid.kaldi.matrix import (
    load_matrix,
    load_vector,
    matrix_shape,
    read_int_vector,
    read_matrix,
    read_rows,
    read_vector,
    save_matrix,
    save_vector,
    write_int_vector,
    write_matrix,
    write_vector,
)
from spkid.kaldi.rows import RowReader
from tests.shared import golden

DTYPES = st.sampled_from([np.float32, np.float64])
MATRICES = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(1, 7), st.integers(1, 5))))
VECTORS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, st.integers(0, 9)))
INTEGERS = st.integers(-(2**31), 2**31 - 1)


def written(write, *arguments, **options):
    stream = io.BytesIO()
    write(stream, *arguments, **options)
    return stream.getvalue()


@given(MATRICES)
def test_binary_matrices_come_back(matrix):
    back = read_matrix(io.BytesIO(written(write_matrix, matrix)))
    np.testing.assert_array_equal(back, matrix)
    assert back.dtype == matrix.dtype
    back[:] = 0  # writable


@given(VECTORS)
def test_binary_vectors_come_back(vector):
    back = read_vector(io.BytesIO(written(write_vector, vector)))
    np.testing.assert_array_equal(back, vector)
    assert back.dtype == vector.dtype


@given(MATRICES)
def test_text_matrices_come_back_to_seven_digits(matrix):
    with np.errstate(over="ignore"):
        back = read_matrix(io.BytesIO(written(write_matrix, matrix, binary=False)))
    np.testing.assert_allclose(back, matrix.astype(np.float64), rtol=1e-6, atol=1e-300)


@given(VECTORS)
def test_text_vectors_come_back_to_seven_digits(vector):
    back = read_vector(io.BytesIO(written(write_vector, vector, binary=False)))
    np.testing.assert_allclose(back, vector.astype(np.float64), rtol=1e-6, atol=1e-300)


@given(st.lists(INTEGERS), st.booleans())
def test_integer_vectors_come_back(values, binary):
    assert read_int_vector(io.BytesIO(written(write_int_vector, np.array(values), binary))).tolist() == values


@given(MATRICES)
def test_kaldiio_reads_what_we_write(matrix):
    np.testing.assert_array_equal(kaldiio.matio.read_kaldi(io.BytesIO(written(write_matrix, matrix))), matrix)


def test_objects_inside_a_larger_one():
    vector, matrix = written(write_vector, np.arange(3.0), mark=False), written(write_matrix, np.eye(2), mark=False)
    stream = io.BytesIO(vector + matrix)
    assert read_vector(stream, binary=True).tolist() == [0, 1, 2]
    assert read_matrix(stream, binary=True).tolist() == [[1, 0], [0, 1]]
    assert stream.read() == b""


def test_text_as_kaldi_prints_it():
    matrix = np.array([[1, 2.5, -0.1], [1e10, 1e-5, 123456.789]], np.float32)
    assert written(write_matrix, matrix, binary=False) == b" [\n  1 2.5 -0.1 \n  1e+10 1e-05 123456.8 ]\n"
    assert written(write_matrix, np.empty((0, 5)), binary=False) == b" [ ]\n"
    assert written(write_vector, np.array([1.0, 0.5]), binary=False) == b" [ 1 0.5 ]\n"
    assert written(write_int_vector, np.array([1, 2]), binary=False) == b"1 2 \n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[ 1 2\n 3 4 ]\n", [[1, 2], [3, 4]]),
        (b"  [1 2 ; 3 4]", [[1, 2], [3, 4]]),
        (b" [\n  1 2\n\n  3 4 ]\n", [[1, 2], [3, 4]]),
        (b" [ ]\n", []),
        (b"[]", []),
        (b"[ inf -inf\n nan 1e-3 ]\n", [[np.inf, -np.inf], [np.nan, 1e-3]]),
    ],
)
def test_text_forms(text, expected):
    matrix = read_matrix(io.BytesIO(text))
    assert matrix.ndim == 2
    np.testing.assert_array_equal(matrix, np.array(expected, ndmin=2).reshape(len(expected), -1 if expected else 0))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"[ 1 2\n 3 ]\n", "different lengths"),
        (b"[ 1 two ]\n", "'two' is not a number"),
        (b"[ 0x10 ]\n", "not a number"),
        (b"[ 1_0 ]\n", "not a number"),
        (b"[ 1 2\n", "ends without ']'"),
        (b"", "found nothing"),
        (b"1 2 3\n", "where '\\[' should stand"),
        (b"[ 1 2 ] 3\n", "after ']'"),
        (b"\0A", "zero byte"),
        (b"\0BFX \4", "not a matrix"),
        (b"\0BSM ", "sparse"),
        (b"\0BFM \4\0\0\0\0\5\0\0\0\0", "damaged header"),
        (b"\0BFM \4\xff\xff\xff\xff\4\1\0\0\0", "damaged header"),
        (b"\0BCM2x" + bytes(16), "damaged header"),
        (b"\0BFV \4\0\0\0\0", "holds a vector"),
    ],
)
def test_damage_is_named(text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_matrix(io.BytesIO(text))


@pytest.mark.parametrize("compression", [None, 2, 3, 5])
def test_every_truncation_names_the_file(tmp_path, compression):
    whole = written(write_matrix, np.random.default_rng(1).normal(size=(12, 3)), compression=compression)
    path = tmp_path / "cut.mat"
    reader = RowReader()
    readers = (load_matrix, matrix_shape, lambda name: read_rows(name, 0, 12), lambda name: reader.read(name, 0, 12))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        for read in readers:
            with pytest.raises(InputError, match=r"cut\.mat"):
                read(str(path))


@given(st.data())
@settings(max_examples=150)
def test_damaged_bytes_give_a_matrix_or_a_sentence(tmp_path_factory, data):
    compression = data.draw(st.sampled_from([None, 2, 3]))
    whole = bytearray(written(write_matrix, np.ones((10, 2), np.float32), compression=compression))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole), 30) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "damaged.mat"
    path.write_bytes(whole)
    for read in (load_matrix, matrix_shape, lambda name: read_rows(name, 0, 1)):
        with np.errstate(all="ignore"):
            assert "damaged.mat" in sentence_of(read, str(path), otherwise="damaged.mat was read")


def sentence_of(function, argument, otherwise):
    try:
        function(argument)
    except InputError as error:
        return str(error)
    return otherwise


def test_a_large_claim_takes_no_memory(tmp_path):
    header = b"\0BFM \4\xff\xff\xff\x7f\4\xff\xff\x00\x00"
    path = tmp_path / "large.mat"
    path.write_bytes(header + bytes(100))
    for name in (str(path), f"cat {path} |"):
        with pytest.raises(InputError, match=r"claims 2147483647 x 65535 values .* but only 100 bytes follow"):
            load_matrix(name)


def test_ranges(tmp_path):
    matrix = np.arange(200, dtype=np.float32).reshape(20, 10)
    path = f"{tmp_path}/m"
    save_matrix(path, matrix)
    for name in (path, f"cat {path} |"):
        np.testing.assert_array_equal(load_matrix(f"{name}[2:4]"), matrix[2:5])
        np.testing.assert_array_equal(load_matrix(f"{name}[2:4,0:2]"), matrix[2:5, 0:3])
        np.testing.assert_array_equal(load_matrix(f"{name}[:,9:9]"), matrix[:, 9:])
        np.testing.assert_array_equal(load_matrix(f"{name}[,1:2]"), matrix[:, 1:3])
        np.testing.assert_array_equal(load_matrix(f"{name}[18:22]"), matrix[18:])  # two rows late is forgiven
        np.testing.assert_array_equal(read_rows(f"{name}[10:19]", 1, 3), matrix[11:13])
        assert matrix_shape(f"{name}[2:4,0:2]") == (3, 3)
        for text in ("5:4", "18:23", "20:21", "0:1,0:10", "1", "a:b", "0:1,0:1,0:1", "-1:3"):
            with pytest.raises(InputError, match=r"range"):
                load_matrix(f"{name}[{text}]")
    save_vector(path, matrix[0])
    np.testing.assert_array_equal(load_vector(f"{path}[3:5]"), matrix[0, 3:6])


@pytest.mark.parametrize("compression", [None, 2, 3, 5])
def test_rows_equal_those_of_the_whole(tmp_path, compression):
    matrix = np.random.default_rng(2).normal(size=(60, 7))
    path = tmp_path / "a.ark"
    path.write_bytes(b"before " + written(write_matrix, matrix, compression=compression) + b"after")
    name = f"{path}:7"
    whole = load_matrix(name)
    reader = RowReader()
    assert matrix_shape(name) == reader.shape(name) == (60, 7)
    for start, stop in ((0, 60), (0, 0), (60, 60), (13, 14), (20, 50)):
        np.testing.assert_array_equal(read_rows(name, start, stop), whole[start:stop])
        np.testing.assert_array_equal(reader.read(name, start, stop), whole[start:stop])
    for start, stop in ((0, 61), (-1, 3), (5, 4)):
        with pytest.raises(InputError, match="the matrix has 60"):
            read_rows(name, start, stop)


def test_rows_of_text_and_pipes(tmp_path):
    path = f"{tmp_path}/m.txt"
    save_matrix(path, np.arange(12.0).reshape(4, 3), binary=False)
    assert read_rows(path, 1, 2).tolist() == [[3, 4, 5]]
    assert read_rows(f"cat {path} |", 1, 2).tolist() == [[3, 4, 5]]
    with pytest.raises(InputError, match="not a binary matrix"):
        RowReader().read(path, 0, 1)


def test_row_reader_keeps_few_files_open(tmp_path):
    reader = RowReader()
    reader.MOST_OPEN = 3
    for i in range(10):
        save_matrix(f"{tmp_path}/{i}", np.full((4, 2), i))
    for _ in range(2):
        for i in range(10):
            assert reader.read(f"{tmp_path}/{i}", 1, 2).tolist() == [[i, i]]
            assert len(reader._descriptors) <= 3


def test_golden_text():
    binary = golden("kaldi/feats/mfcc_default.ark").read_bytes()
    text = golden("kaldi/feats/mfcc_default.txt").read_bytes()
    start = binary.index(b"\0B")
    matrix = read_matrix(io.BytesIO(binary[start:]))
    assert text.startswith(binary[:start] + written(write_matrix, matrix, binary=False))
