"""A replicate is what the measures say of trials written out as often as they weigh."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.metrics import OperatingPoint, act_dcf, cllr, eer, min_cllr, min_dcf_point
from spkid.metrics import bootstrap as module
from spkid.metrics.bootstrap import bootstrap, interval

POINTS = (OperatingPoint(0.05), OperatingPoint(0.5, 10, 1))


def drawn(seed, num_speakers=6, ties=True):
    """Scores of a small corpus, speakers of either side; few distinct values where ties are wanted."""
    random = np.random.default_rng(seed)
    target_speakers = random.integers(0, num_speakers, 20)
    pairs = random.integers(0, num_speakers, (60, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    targets, nontargets = random.normal(1, 1, 20), random.normal(0, 1, len(pairs))
    if ties:
        targets, nontargets = np.round(targets), np.round(nontargets)
    return targets, nontargets, target_speakers, pairs


def written_out(counts, targets, nontargets, target_speakers, pairs):
    """Every trial as often as its weight."""
    return (
        np.repeat(targets, counts[target_speakers]),
        np.repeat(nontargets, counts[pairs[:, 0]] * counts[pairs[:, 1]]),
    )


def replicate_counts(num_speakers, replicates, seed):
    return np.random.default_rng(seed).multinomial(num_speakers, np.full(num_speakers, 1 / num_speakers), replicates)


@given(st.integers(0, 1000), st.booleans())
def test_every_replicate_is_the_measure_of_the_written_out_trials(seed, ties):
    trials = drawn(seed, ties=ties)
    used = np.unique(np.concatenate((trials[2], trials[3].ravel())))
    found = bootstrap(*trials, POINTS, replicates=30, seed=seed)
    at = 0
    for drawn_counts in replicate_counts(used.size, 30, seed):
        counts = np.zeros(6, dtype=int)
        counts[used] = drawn_counts
        targets, nontargets = written_out(counts, *trials)
        if not (targets.size and nontargets.size):
            continue
        assert found.eer[at] == pytest.approx(eer(targets, nontargets)[0])
        assert found.cllr[at] == pytest.approx(cllr(targets, nontargets))
        assert found.min_cllr[at] == pytest.approx(min_cllr(targets, nontargets))
        for point in POINTS:
            arguments = targets, nontargets, point.p_target, point.c_miss, point.c_fa
            cost, _ = min_dcf_point(*arguments)
            assert found.min_dcf[point][at] == pytest.approx(cost)
            assert found.act_dcf[point][at] == pytest.approx(act_dcf(*arguments))
        at += 1
    assert (found.eer.size, found.num_undefined) == (at, 30 - at)


def test_the_bound_on_memory_changes_nothing(monkeypatch):
    trials = drawn(3)
    whole = bootstrap(*trials, POINTS, replicates=50, seed=4)
    monkeypatch.setattr(module, "MAX_ELEMENTS", 70)
    parts = bootstrap(*trials, POINTS, replicates=50, seed=4)
    np.testing.assert_allclose(parts.eer, whole.eer)
    np.testing.assert_allclose(parts.min_dcf[POINTS[1]], whole.min_dcf[POINTS[1]])
    np.testing.assert_allclose(parts.min_cllr, whole.min_cllr)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # Each speaker has a shift of his own: trials depend on each other, and resampling trials would be too narrow.
    random = np.random.default_rng(0)
    num_speakers, inside, widths = 30, 0, []
    first, second = np.triu_indices(num_speakers, 1)
    pairs = np.column_stack((first, second))

    def corpus():
        shift = random.normal(0, 0.7, num_speakers)
        target_speakers = np.repeat(np.arange(num_speakers), 10)
        targets = 2 + shift[target_speakers] + random.normal(0, 0.7, target_speakers.size)
        nontargets = random.normal(0, 1, len(pairs)) + 0.3 * (shift[first] + shift[second])
        return targets, nontargets, target_speakers

    truth = np.mean([eer(*corpus()[:2])[0] for _ in range(200)])
    for trial in range(40):
        targets, nontargets, target_speakers = corpus()
        found = bootstrap(targets, nontargets, target_speakers, pairs, (), replicates=100, seed=trial)
        low, high = interval(found.eer)
        inside += low <= truth <= high
        widths.append(high - low)
    # products of counts exaggerate the part of the spread that no speaker explains (Owen, 2007): a little wide
    assert inside / 40 >= 0.9
    assert 0.03 < np.median(widths) < 0.12


def test_interval_of_replicates():
    assert interval(np.arange(1001.0), 0.95) == (25, 975)
    assert interval(np.array([1.0, np.inf])) == (1, np.inf)
    assert np.isnan(interval(np.zeros(0))).all()


def test_infinite_scores_are_scores():
    targets, nontargets, target_speakers, pairs = drawn(5, ties=False)
    targets[0], nontargets[0] = np.inf, -np.inf
    found = bootstrap(targets, nontargets, target_speakers, pairs, POINTS, replicates=20)
    assert np.isfinite(found.eer).all()
    assert np.isfinite(found.min_dcf[POINTS[0]]).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t, n, s, p: (t[:0], n, s[:0], p), "no scores of one kind"),
        (lambda t, n, s, p: (t, n, s[1:], p), "speakers of 19 target"),
        (lambda t, n, s, p: (np.append(t[1:], np.nan), n, s, p), "NaN"),
        (lambda t, n, s, p: (t, n, s, np.zeros_like(p)), "same speaker on both sides"),
        (lambda t, n, s, p: (t, n, 0 * s, np.tile([0, 1], (len(p), 1))), "2 speakers are too few"),
    ],
)
def test_what_cannot_be_resampled_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        bootstrap(*change(*drawn(1)), POINTS)
    with pytest.raises(ValueError, match="0 replicates"):
        bootstrap(*drawn(1), POINTS, replicates=0)
