"""Doubts about labels, against brute force on vectors of a known model."""

import numpy as np
import pytest

from spkid.backend import audit
from tests.backend.corpus import drawn


@pytest.fixture
def labelled():
    vectors, speakers = drawn(12, (4, 6, 9), 24, between=30.0)
    (unit,) = audit.directions(vectors)
    return unit, speakers


def test_fit_equals_brute_force(labelled):
    unit, speakers = labelled
    fit = audit.fit_to_speakers(unit, speakers)

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for row in range(0, len(unit), 7):
        others = [other for other in np.flatnonzero(speakers == speakers[row]) if other != row]
        assert fit.own[row] == pytest.approx(cosine(unit[row], unit[others].mean(axis=0)), abs=1e-5)
        to_all = [cosine(unit[row], unit[speakers == speaker].mean(axis=0)) for speaker in range(12)]
        to_all[speakers[row]] = -2.0
        assert fit.other[row] == pytest.approx(max(to_all), abs=1e-5)
        assert fit.other_speaker[row] == np.argmax(to_all)


def test_exchanged_labels_come_first(labelled):
    unit, speakers = labelled
    wrong = speakers.copy()
    exchanged = [3, 30, 50]
    wrong[exchanged] = (wrong[exchanged] + 5) % 12
    fit = audit.fit_to_speakers(unit, wrong)
    assert set(np.argsort(-fit.excess)[:3]) == set(exchanged)
    assert (fit.other_speaker[exchanged] == speakers[exchanged]).all()


def test_a_speaker_of_one_utterance_is_not_doubted(labelled):
    unit, speakers = labelled
    alone = np.append(speakers, 12)
    fit = audit.fit_to_speakers(np.concatenate([unit, unit[:1]]), alone)
    assert np.isnan(fit.own[-1])
    assert not fit.excess[-1] > -2


def test_similar_pairs_are_those_of_the_whole_matrix(labelled, monkeypatch):
    unit, _ = labelled
    whole = unit @ unit.T
    monkeypatch.setattr(audit, "MAX_MEMORY", 2 * 5 * 4 * len(unit))  # blocks of five rows
    pairs, cosines = audit.similar_pairs(unit, None, 0.6)
    expected = {(i, j) for i in range(len(unit)) for j in range(i + 1, len(unit)) if whole[i, j] >= 0.6}
    assert expected
    assert set(map(tuple, pairs)) == expected
    assert (np.diff(cosines) <= 0).all()
    pairs, _ = audit.similar_pairs(unit[:10], unit[10:], 0.2)
    assert set(map(tuple, pairs)) == {(i, j) for i, j in np.argwhere(whole[:10, 10:] >= 0.2)}


def test_one_speaker_alone_is_refused(labelled):
    unit, speakers = labelled
    with pytest.raises(ValueError, match="two speakers"):
        audit.fit_to_speakers(unit, np.zeros_like(speakers))
