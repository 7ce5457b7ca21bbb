"""Label files: four kinds tell the same intervals; frames and intervals are each other's inverse."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.audio.labels import frame_labels, intervals_of, merge, read_labels, seconds_of
from spkid.kaldi import InputError

SPEECH = [(0.5, 1.25), (2.0, 2.5)]
FILES = {
    "a.lab": "0 5000000 S\n5000000 12500000 V\n12500000 20000000 S\n20000000 25000000 V\n",
    "seconds.lab": "0.0 0.5 sil\n0.5 1.25 word\n2.0 2.5 word\n",
    "a.txt": "0.500000\t1.000000\tspeech\n\\\t100.0\t200.0\n1.000000\t1.250000\tspeech\n2.0\t2.5\t\n1.3\t1.9\tnoise\n",
    "a.rttm": "SPEAKER rec 1 0.5 0.75 <NA> <NA> anna <NA> <NA>\nSPEAKER rec 1 2.00 0.50 <NA> <NA> ben <NA> <NA>\n"
    "SPEAKER other 1 0 9 <NA> <NA> ben <NA> <NA>\n",
    "a.voz": "0" * 50 + "\n" + "1 " * 75 + "0" * 75 + "1" * 50,
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_says_the_same(tmp_path, name):
    (tmp_path / name).write_text(FILES[name])
    assert np.allclose(read_labels(tmp_path / name, rate=100.0, recording="rec"), SPEECH)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.wav", "", "labels are read from files in .rttm, .lab, .txt, .voz"),
        ("a.voz", "0120", "a 0 or a 1 for every sample"),
        ("a.lab", "0.0 x V", "line 1: '0.0 x' are not two times"),
        ("a.lab", "2.0 1.0 V", "ends before it starts"),
        ("a.lab", "0.0 inf V", "times are numbers"),
        ("a.txt", "1.0\n", "start, end and a label"),
        ("a.txt", "", "is empty"),
        ("a.rttm", "SPKR-INFO x\n", "no line that begins with SPEAKER"),
        ("a.rttm", "SPEAKER other 1 0 1\n", "no line of recording rec; it has other"),
        ("a.lab", b"\xff\xfe\x00", "not text in UTF-8"),
    ],
)
def test_what_cannot_be_understood_is_named(tmp_path, name, text, sentence):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=sentence) as error:
        read_labels(path, rate=8000.0, recording="rec")
    assert str(path) in str(error.value)


def test_a_value_a_sample_needs_the_rate(tmp_path):
    (tmp_path / "a.voz").write_text("0101")
    with pytest.raises(InputError, match="sample rate must be known"):
        read_labels(tmp_path / "a.voz")


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_frames_and_intervals_are_inverse(decisions):
    vector = np.array(decisions, np.float32)
    shift = 0.01
    assert np.array_equal(frame_labels(intervals_of(vector, shift), len(vector), shift, length=shift), vector)
    assert np.isclose(seconds_of(intervals_of(vector, shift)), shift * vector.sum())


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8))
def test_merging_keeps_the_time_and_nothing_touches(pairs):
    merged = merge(pairs)
    covered = {second for start, end in pairs for second in range(start, end)}
    assert {second for start, end in merged for second in range(int(start), int(end))} == covered
    assert all(one[1] < other[0] for one, other in pairwise(merged))
