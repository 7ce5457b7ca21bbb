"""Stretches of speech, matched one to one within a collar."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spkid.metrics.segments import SegmentErrors, segment_errors

FRAMES = arrays.arrays(np.int8, st.integers(0, 60), elements=st.integers(0, 1))


def frames(text: str) -> np.ndarray:
    return np.array([int(letter) for letter in text])


@pytest.mark.parametrize(
    ("truth", "decided", "collar", "expected"),
    [
        ("0111100", "0111100", 0, (1, 1, 1)),
        ("0111100", "0011100", 0, (1, 1, 0)),  # begins late
        ("0111100", "0011100", 1, (1, 1, 1)),
        ("0111100", "0111000", 0, (1, 1, 1)),  # an end may be off by half of the length
        ("0111100", "0100000", 0, (1, 1, 0)),
        ("0111100", "0110110", 1, (1, 2, 1)),  # a gap makes two of one
        ("1100110", "1111110", 1, (2, 1, 0)),
        ("0000000", "0000000", 1, (0, 0, 0)),
        ("0000000", "0100000", 1, (0, 1, 0)),
        ("1111111", "0000000", 9, (1, 0, 0)),
    ],
)
def test_worked_cases(truth, decided, collar, expected):
    assert segment_errors(frames(truth), frames(decided), collar) == SegmentErrors(*expected)


@given(truth=FRAMES, collar=st.integers(0, 5))
def test_everything_is_found_in_itself(truth, collar):
    errors = segment_errors(truth, truth, collar)
    assert errors.matched == errors.labelled == errors.decided


@given(truth=FRAMES, decided=FRAMES, collar=st.integers(0, 8))
def test_a_stretch_is_matched_once_and_a_wider_collar_never_matches_less_than_none(truth, decided, collar):
    errors = segment_errors(truth, decided, collar)
    assert 0 <= errors.matched <= min(errors.labelled, errors.decided)
    if errors.matched:
        harmonic = 2 / (1 / errors.recall + 1 / errors.precision)
        assert errors.f_measure == pytest.approx(harmonic)


def test_counts_add_up_and_rates_of_nothing_are_none():
    total = SegmentErrors(4, 2, 1) + SegmentErrors(0, 2, 0)
    assert (total.recall, total.precision, total.f_measure) == (0.25, 0.25, 0.25)
    nothing = SegmentErrors(0, 0, 0)
    assert np.isnan([nothing.recall, nothing.precision, nothing.f_measure]).all()
    with pytest.raises(ValueError, match="collar"):
        segment_errors([1], [1], -1)
