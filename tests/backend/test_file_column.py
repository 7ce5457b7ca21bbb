"""A trial list whose columns stay on the disk says what one in memory says."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spkid.backend import trials as module
from spkid.backend.file_column import FileColumn
from spkid.backend.trials import read_trials, repeated_pairs, self_comparisons, write_scores
from spkid.kaldi import InputError


@pytest.fixture
def small(monkeypatch):
    """Stretches and parts of a few trials."""
    monkeypatch.setattr(module, "STRETCH", 3)
    monkeypatch.setattr(module, "CHECKED", 4)


def test_a_column_is_read_like_an_array(tmp_path):
    column, array = FileColumn(tmp_path, np.int32), np.arange(100, 117, dtype=np.int32)
    column.append(array[:5])
    column.append(array[5:])
    assert not list(tmp_path.iterdir())  # nothing is left, whatever ends the process
    assert len(column) == 17
    for where in (slice(None), slice(3, 9), slice(15, 99), slice(4, 4), slice(0, 17, 2), 7, array % 3 == 0, [2, 2]):
        np.testing.assert_array_equal(column[where], array[where])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("cdexyz")), min_size=1, max_size=30),
    labelled=st.booleans(),
)
def test_lists_on_the_disk_and_in_memory_agree(tmp_path, small, pairs, labelled):
    label = {pair: " target" if index % 2 else " nontarget" for index, pair in enumerate(pairs)}
    lines = "".join(f"{a} {b}{label[a, b] if labelled else ''}\n" for a, b in pairs)
    (tmp_path / "trials").write_text(lines)
    memory, disk = (read_trials(str(tmp_path / "trials"), directory) for directory in (None, tmp_path))
    assert (disk.enroll_ids, disk.test_ids, disk.md5, len(disk)) == (
        memory.enroll_ids, memory.test_ids, memory.md5, len(memory)
    )  # fmt: skip
    np.testing.assert_array_equal(disk.pair_codes(), memory.pair_codes())
    assert (disk.is_target is None) == (memory.is_target is None) == (not labelled)
    assert repeated_pairs(disk) == repeated_pairs(memory) == len(pairs) - len(set(pairs))
    same = [index for index, (a, b) in enumerate(pairs) if a == b]
    for trials in (memory, disk):
        assert self_comparisons(trials).tolist() == same
        write_scores(str(tmp_path / "scores"), trials, np.arange(len(pairs), dtype=np.float32))
        assert (tmp_path / "scores").read_text() == "".join(f"{a} {b} {k}\n" for k, (a, b) in enumerate(pairs))
    keep = np.arange(len(pairs)) % 2 == 0
    np.testing.assert_array_equal(disk.select(keep).test, memory.select(keep).test)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_pair_with_both_labels_is_found_wherever_its_lines_are(tmp_path, small, on_disk):
    lines = [f"e{k % 7} t{k} target\n" for k in range(20)]
    lines += ["e3 t10 nontarget\n", "e6 t6 nontarget\n"]
    (tmp_path / "trials").write_text("".join(lines))
    with pytest.raises(InputError, match="2 pairs are target as well as nontarget, the first is e6 t6"):
        read_trials(str(tmp_path / "trials"), tmp_path if on_disk else None)


def test_a_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no file can be made there"):
        FileColumn(tmp_path / "absent", np.int32)
