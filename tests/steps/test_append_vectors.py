"""steps/append_vectors.py: which ids, in which order, and what is said about vectors that do not fit."""

import numpy as np
import pytest

from spkid.kaldi.tables import VECTOR, TableWriter, read_table
from steps.append_vectors import AppendVectors


def write(path, vectors):
    with TableWriter(f"ark,scp:{path}.ark,{path}.scp", VECTOR) as writer:
        for key, values in vectors.items():
            writer.write(key, np.array(values, np.float32))
    return f"{path}.scp"


def run(*arguments):
    return AppendVectors.run(["append_vectors.py", *map(str, arguments)], exit=False)[1]


@pytest.fixture
def one(tmp_path):
    return write(tmp_path / "one", {"b": [1, 2], "a": [3, 4]})


def test_values_stand_in_the_order_given_and_ids_are_sorted(tmp_path, one):
    other = write(tmp_path / "other", {"a": [5], "b": [6]})
    assert run(tmp_path / "out", other, one) == 0
    found = {key: vector.tolist() for key, vector in read_table(f"scp:{tmp_path}/out/vector.scp", VECTOR)}
    assert list(found.items()) == [("a", [5, 3, 4]), ("b", [6, 1, 2])]


def test_ids_that_are_not_everywhere_are_named_and_too_many_are_an_error(tmp_path, one, capsys):
    other = write(tmp_path / "other", {"a": [5], "c": [6]})
    assert run("--min-fraction", "0.3", tmp_path / "out", one, other) == 0
    assert "other.scp lacks 1 ids, which are left out: b" in capsys.readouterr().out
    assert [key for key, _ in read_table(f"scp:{tmp_path}/out/vector.scp", VECTOR)] == ["a"]
    assert run(tmp_path / "out2", one, other) == 1
    assert "1 of 3 ids" in capsys.readouterr().err
    assert not (tmp_path / "out2" / "vector.scp").exists()


@pytest.mark.parametrize(("values", "sentence"), [([1, 2, 3], "has 3 values, others have 2"), ([1, np.nan], "NaN")])
def test_a_vector_that_does_not_fit(tmp_path, one, capsys, values, sentence):
    other = write(tmp_path / "other", {"a": [5, 6], "b": values})
    assert run(tmp_path / "out", one, other) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out" / "vector.scp").exists()


def test_again_returns_at_once(tmp_path, one, capsys):
    run(tmp_path / "out", one, one)
    run(tmp_path / "out", one, one)
    assert "done already" in capsys.readouterr().out
