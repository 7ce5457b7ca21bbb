"""Thresholds to use, the grid of thresholds, calibration, and the operating point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.metrics import OperatingPoint, TrialScores, act_dcf, min_dcf
from spkid.metrics.calibration import bayes_errors, reliability
from spkid.metrics.decision import decide, decision_at, default_grid, threshold_grid
from tests.metrics.test_rates import NONTARGETS, TARGETS, count_errors

scores = st.lists(st.integers(-8, 8).map(lambda value: value / 4), min_size=1, max_size=30)


class TestOperatingPoint:
    @pytest.mark.parametrize(
        ("text", "point", "name"),
        [("0.01", (0.01, 1, 1), "0.01"), ("0.5,10,1", (0.5, 10, 1), "0.5,10,1"), (".05,1,1", (0.05, 1, 1), "0.05")],
    )
    def test_text_of_a_point(self, text, point, name):
        found = OperatingPoint.parse(text)
        assert (found.p_target, found.c_miss, found.c_fa) == point
        assert found.name == name
        assert OperatingPoint.parse(found.name) == found

    @pytest.mark.parametrize(
        "text", ["", "x", "0.1,1", "0.1,1,1,1", "0", "1", "0.5,0,1", "0.5,1,-1", "nan", "0.5,inf,1"]
    )
    def test_nonsense_is_refused(self, text):
        with pytest.raises(ValueError, match=r"prior|costs"):
            OperatingPoint.parse(text)


class TestGrid:
    def test_published_numbers(self):
        # regression numbers of the specification of the Deep Speaker report
        grid = threshold_grid(TrialScores(TARGETS, NONTARGETS), np.arange(1001) / 1000)
        best = grid.row(grid.best)
        assert best["f_measure"] == pytest.approx(0.788571, abs=5e-7)
        assert best["true_positive_rate"] == pytest.approx(0.69)
        assert best["accuracy"] == pytest.approx(0.966364, abs=5e-7)

    @given(scores, scores)
    def test_against_counting(self, targets, nontargets):
        grid = threshold_grid(TrialScores(targets, nontargets), [-1, 0.25, 1])
        for index, threshold in enumerate(grid.thresholds):
            hits, alarms = sum(s >= threshold for s in targets), sum(s >= threshold for s in nontargets)
            right = hits + len(nontargets) - alarms
            assert grid.accuracy[index] == pytest.approx(right / (len(targets) + len(nontargets)))
            assert grid.true_positive_rate[index] == pytest.approx(hits / len(targets))
            assert grid.false_alarm_rate[index] == pytest.approx(alarms / len(nontargets))
            assert grid.f_measure[index] == pytest.approx(2 * hits / (hits + alarms + len(targets)))
            assert grid.precision[index] == pytest.approx(hits / (hits + alarms) if hits + alarms else 1)

    def test_the_grid_fits_the_scores(self):
        assert default_grid(TrialScores([0.9], [-0.2])).tolist()[:2] == [0, 0.001]
        wide = default_grid(TrialScores([20.0, np.inf], [-30.0]))
        assert (wide[0], wide[-1], wide.size) == (-30, 20, 1001)
        assert default_grid(TrialScores([np.inf], [-np.inf])).size == 1001


class TestDecision:
    @given(scores, scores, st.sampled_from([(0.01, 1, 1), (0.3, 5, 2)]))
    def test_decisions_cost_what_the_detection_costs_say(self, targets, nontargets, point):
        found = decide(TrialScores(targets, nontargets), OperatingPoint(*point))
        assert found["empirical"]["dcf"] == pytest.approx(min_dcf(targets, nontargets, *point))
        assert found["bayes"]["dcf"] == pytest.approx(act_dcf(targets, nontargets, *point))
        for kind in ("empirical", "bayes"):
            threshold = found[kind]["threshold"]
            miss, alarm = count_errors(targets, nontargets, np.inf if threshold is None else threshold)
            assert found[kind]["miss_rate"] == pytest.approx(miss)
            assert found[kind]["false_alarms"] == pytest.approx(alarm * len(nontargets))

    def test_what_to_expect_of_accepted_trials(self):
        found = decision_at(TrialScores([1, 3], [0, 0, 0, 2]), OperatingPoint(0.1), 1.5)
        assert (found["miss_rate"], found["false_alarm_rate"]) == (0.5, 0.25)
        assert found["precision"] == pytest.approx(0.1 * 0.5 / (0.1 * 0.5 + 0.9 * 0.25))
        everything = decision_at(TrialScores([1, -np.inf], [0]), OperatingPoint(0.1), -np.inf)
        assert (everything["misses"], everything["false_alarms"], everything["threshold"]) == (0, 1, None)
        nothing = decision_at(TrialScores([1, np.inf], [0]), OperatingPoint(0.1), np.inf)
        assert (nothing["misses"], nothing["threshold"], nothing["precision"]) == (2, None, None)


class TestCalibration:
    def test_log_likelihood_ratios_are_reliable(self):
        # Gaussians of means +-v/2 and variance v are their own log-likelihood ratios
        random = np.random.default_rng(0)
        ratios = TrialScores(random.normal(4, 8**0.5, 200_000), random.normal(-4, 8**0.5, 400_000))
        stated, observed = reliability(ratios)
        middle = np.abs(stated) < 6
        np.testing.assert_allclose(observed[middle], stated[middle], atol=0.2)
        actual, least = bayes_errors(ratios, np.linspace(-4, 4, 9))
        np.testing.assert_allclose(actual, least, atol=0.01)

    @given(scores, scores, st.sampled_from([(0.01, 1, 1), (0.3, 5, 2), (0.9, 1, 1)]))
    def test_bayes_errors_are_detection_costs(self, targets, nontargets, point):
        actual, least = bayes_errors(TrialScores(targets, nontargets), [-OperatingPoint(*point).bayes_threshold])
        assert least[0] == pytest.approx(min_dcf(targets, nontargets, *point))
        threshold_on_a_score = np.isin(OperatingPoint(*point).bayes_threshold, [*targets, *nontargets])
        if not threshold_on_a_score:
            assert actual[0] == pytest.approx(act_dcf(targets, nontargets, *point))

    @given(scores, scores)
    def test_groups_share_the_trials(self, targets, nontargets):
        stated, observed = reliability(TrialScores(targets, nontargets))
        assert stated.size == observed.size >= 1
        assert (np.diff(stated) > 0).all()
        assert min(*targets, *nontargets) <= stated[0] + 1e-9
        assert stated[-1] - 1e-9 <= max(*targets, *nontargets)
        assert not np.isnan(observed).any()
