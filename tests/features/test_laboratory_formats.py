"""The feature files of the two laboratories: .mcp (PAV) and .mat with its lists (VAD)."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from spkid.features.mat import read_mat, read_mat_list
from spkid.features.mcp import read_mcp, write_mcp_table
from spkid.kaldi import InputError
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.tables import read_script


def mcp_bytes(matrix):
    return struct.pack("<ii", *matrix.shape) + matrix.astype("<f4").tobytes()


@given(rows=st.integers(0, 30), columns=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_mcp_is_a_header_of_8_bytes_and_rows(tmp_path_factory, rows, columns, seed):
    path = tmp_path_factory.mktemp("mcp") / "a.mcp"
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    path.write_bytes(mcp_bytes(matrix))
    assert path.stat().st_size == 8 + 4 * rows * columns
    assert np.array_equal(read_mcp(path), matrix)
    for damaged in (mcp_bytes(matrix)[:-1], mcp_bytes(matrix) + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.mcp: not an \.mcp file") as error:
            read_mcp(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("header", [(-1, 16), (3, 0), (2**31 - 1, 2**31 - 1), (16, 3 << 24)])
def test_headers_that_lie_are_refused_without_taking_memory(tmp_path, header):
    path = tmp_path / "a.mcp"
    path.write_bytes(struct.pack("<ii", *header) + bytes(192))
    with pytest.raises(InputError, match=f"its header says {header[0]} x {header[1]} values"):
        read_mcp(path)


def test_mcp_files_become_a_table(tmp_path):
    rng = np.random.default_rng(0)
    matrices = {f"SES{number:03}-a": rng.normal(size=(10 + number, 16)).astype(np.float32) for number in range(3)}
    files = {}
    for utterance, matrix in matrices.items():
        files[utterance] = tmp_path / f"{utterance}.mcp"
        files[utterance].write_bytes(mcp_bytes(matrix))
    frames = write_mcp_table(files, f"ark,scp:{tmp_path}/feats.ark,{tmp_path}/feats.scp")
    assert frames == {"SES000-a": 10, "SES001-a": 11, "SES002-a": 12}
    script = read_script(tmp_path / "feats.scp")
    assert all(np.array_equal(load_matrix(script[utterance]), matrix) for utterance, matrix in matrices.items())
    files["SES001-a"].write_bytes(mcp_bytes(np.ones((4, 15))))
    with pytest.raises(InputError, match=r"SES001-a\.mcp: utterance SES001-a has 4 frames of 15 values"):
        write_mcp_table(files, f"ark,scp:{tmp_path}/new.ark,{tmp_path}/new.scp")
    assert not (tmp_path / "new.scp").exists()


def test_mat_gives_the_first_columns_and_the_labels(tmp_path):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(50, 60)), rng.integers(0, 2, size=(50, 1))
    savemat(tmp_path / "a.mat", {"X": features, "Y": labels.astype(float), "other": 3})
    read, decisions = read_mat(tmp_path / "a.mat")
    assert np.array_equal(read, features[:, :20].astype(np.float32))
    assert np.array_equal(decisions, labels[:, 0])
    assert read.dtype == np.float32
    assert read_mat(tmp_path / "a.mat", columns=60)[0].shape == (50, 60)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"X": np.ones((5, 60))}, "holds no Y"),
        ({"X": np.ones((5, 60)), "Y": np.ones((4, 1))}, "X has 5 frames and Y 4 labels"),
        ({"X": np.ones((5, 19)), "Y": np.ones((5, 1))}, r"X is \(5, 19\)"),
        ({"X": np.ones((5, 20)), "Y": np.full((5, 1), 2.0)}, "Y holds 2; labels are 0 or 1"),
        ({"X": np.ones((5, 20)), "Y": np.full((5, 1), np.nan)}, "Y holds nan"),
        ({"X": "text", "Y": np.ones((5, 1))}, "X does not hold numbers"),
        ({"X": np.ones((0, 20)), "Y": np.ones((0, 1))}, "X has 0 frames"),
    ],
)
def test_mat_files_that_do_not_fit_are_refused(tmp_path, values, reason):
    savemat(tmp_path / "a.mat", values)
    with pytest.raises(InputError, match=rf"a\.mat: {reason}"):
        read_mat(tmp_path / "a.mat")


@given(cut=st.integers(0, 400), change=st.integers(0, 399), compressed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_damaged_mat_files_are_one_sentence_or_read(tmp_path_factory, cut, change, compressed):
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    savemat(path, {"X": np.ones((4, 20)), "Y": np.ones((4, 1))}, do_compression=compressed)
    data = bytearray(path.read_bytes())
    data[change % len(data)] ^= 0xFF
    path.write_bytes(data[: max(len(data) - cut, 0)])
    sentence = None
    try:
        features, _ = read_mat(path)
    except InputError as error:
        sentence = str(error)
    assert features.shape == (4, 20) if sentence is None else str(path) in sentence


def test_lists_name_existing_files_once(tmp_path):
    for name in ("a.mat", "b.mat"):
        (tmp_path / name).write_bytes(b"")
    path = tmp_path / "train.lst"
    path.write_text("b.mat\na.mat\n\n", encoding="utf-8")
    assert read_mat_list(path) == [tmp_path / "b.mat", tmp_path / "a.mat"]
    for text, reason in (
        ("", "names no file"),
        ("a.mat\nc.mat\n", "names c.mat, but there is no file"),
        ("a.mat\na.mat\n", "a.mat twice"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=rf"train\.lst: .*{reason}"):
            read_mat_list(path)
    with pytest.raises(InputError, match=r"none\.lst: cannot be read \(No such file"):
        read_mat_list(tmp_path / "none.lst")
