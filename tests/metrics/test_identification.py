"""Closed-set identification, Deep Speaker's trials, and frames of speech."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.metrics.frames import FrameErrors, frame_errors
from spkid.metrics.identification import confusion_matrix, identify, one_versus_many


@st.composite
def tables(draw):
    """(questions, is_target, scores), in any order, with ties, some questions without an answer."""
    rows = draw(
        st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 4).map(float)), min_size=1, max_size=30)
    )
    return tuple(map(np.array, zip(*rows, strict=True)))


class TestIdentification:
    @given(tables())
    def test_ranks_against_counting(self, table):
        questions, is_target, scores = table
        if not is_target.any():
            with pytest.raises(ValueError, match="no question has its right answer"):
                identify(*table)
            return
        found = identify(*table)
        answerable = [q for q in np.unique(questions) if is_target[questions == q].any()]
        assert found.questions.tolist() == answerable
        assert found.num_unanswerable == len(set(questions.tolist())) - len(answerable)
        for index, question in enumerate(answerable):
            mine = questions == question
            best = scores[mine & is_target].max()
            wrong = mine & ~is_target
            assert found.ranks[index] == 1 + np.count_nonzero(scores[wrong] >= best)
            assert found.num_candidates[index] == mine.sum()
            assert scores[found.decided[index]] == scores[mine].max()
            assert is_target[found.truth[index]]
        assert found.top_k(1) == pytest.approx(np.mean(is_target[found.decided]))
        assert found.top_k(30) == 1

    def test_constant_scores_identify_nobody(self):
        found = identify([0, 0, 1, 1], [True, False, False, True], np.zeros(4))
        assert (found.top_k(1), found.top_k(2)) == (0, 1)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="do not match"):
            identify([0], [True, False], [1.0])
        with pytest.raises(ValueError, match="1 of 1 scores are NaN"):
            identify([0], [True], [np.nan])

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
    def test_confusion_counts(self, pairs):
        truth, decided = map(np.array, zip(*pairs, strict=True))
        counts = confusion_matrix(truth, decided, 4)
        assert counts.sum() == len(pairs)
        assert np.trace(counts) == np.count_nonzero(truth == decided)
        assert counts[truth[0], decided[0]] == pairs.count(pairs[0])

    def test_confusion_of_bad_classes(self):
        with pytest.raises(ValueError, match="not one of 0"):
            confusion_matrix([0, 3], [0, 0], 3)
        with pytest.raises(ValueError, match="2 true and 1 decided"):
            confusion_matrix([0, 1], [0], 3)


class TestOneVersusMany:
    def test_forty_speakers_make_four_thousand_trials(self):
        speakers = np.repeat(np.arange(40), 65)
        anchors, others, is_target = one_versus_many(speakers)
        assert anchors.size == others.size == is_target.size == 4000
        np.testing.assert_array_equal(speakers[anchors] == speakers[others], is_target)
        assert is_target.sum() == 40
        assert (anchors != others).all()
        assert all(np.unique(row).size == 100 for row in others)
        assert (anchors == anchors[:, :1]).all()

    def test_seed_and_rounds(self):
        speakers = ["a", "a", "b", "b", "c", "c"]
        first = one_versus_many(speakers, 3, rounds=2, seed=1)
        again = one_versus_many(speakers, 3, rounds=2, seed=1)
        other = one_versus_many(speakers, 3, rounds=2, seed=2)
        assert first[0].shape == (6, 4)
        np.testing.assert_array_equal(first[1], again[1])
        assert (first[1] != other[1]).any()

    def test_too_few_utterances(self):
        with pytest.raises(ValueError, match="b has 1"):
            one_versus_many(["a", "a", "b"], 1)
        with pytest.raises(ValueError, match="99 negatives are wanted and a has 2 utterances of others"):
            one_versus_many(["a", "a", "b", "b"])


class TestFrames:
    def test_rates_of_a_recording(self):
        errors = frame_errors([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0, 1, 1])
        assert errors == FrameErrors(speech=3, missed=1, false_alarms=2, nonspeech=4)
        assert errors.confusion.tolist() == [[4, 2], [1, 3]]
        assert errors.accuracy == 0.7
        assert errors.miss_rate == 0.25
        assert errors.false_alarm_rate == pytest.approx(1 / 3)
        assert errors.detection_error_rate == 0.75

    @given(st.lists(st.tuples(st.booleans(), st.booleans())), st.integers(0, 20))
    def test_recordings_add_up(self, frames, cut):
        truth, decided = np.array(frames, dtype=float).reshape(-1, 2).T
        whole = frame_errors(truth, decided)
        assert whole == frame_errors(truth[:cut], decided[:cut]) + frame_errors(truth[cut:], decided[cut:])
        assert whole.confusion.sum() == whole.num_frames == len(frames)

    def test_nothing_to_divide_by(self):
        empty = frame_errors([], [])
        assert np.isnan([empty.accuracy, empty.miss_rate, empty.false_alarm_rate, empty.detection_error_rate]).all()

    def test_bad_input(self):
        with pytest.raises(ValueError, match="2 frames are labelled and 1 are decided"):
            frame_errors([0, 1], [1])
        with pytest.raises(ValueError, match=r"a decision is 0\.5"):
            frame_errors([0, 1], [1, 0.5])
