"""Error rates against counting, and what no measure may depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.metrics import act_dcf, cllr, eer, error_rates, min_cllr, min_dcf, min_dcf_point
from spkid.metrics.eer import DEFINITIONS
from tests.shared import golden

K = np.arange(100)
TARGETS = 0.60 + 0.15 * np.sin(K) + 0.15 * np.cos(2.1 * K)
K = np.arange(1000)
NONTARGETS = 0.20 + 0.12 * np.sin(1.7 * K + 0.3) + 0.12 * np.cos(0.9 * K) + 0.12 * np.sin(3.3 * K)

# few distinct values, so that ties within and between the lists are common
scores = st.lists(st.integers(-8, 8).map(lambda value: value / 4), min_size=1, max_size=30)


def count_errors(targets, nontargets, threshold):
    """Miss and false-alarm rate by counting, one trial after the other."""
    misses = sum(score < threshold for score in targets)
    false_alarms = sum(score >= threshold for score in nontargets)
    return misses / len(targets), false_alarms / len(nontargets)


def kaldi_eer(targets, nontargets):
    """The loop of compute-eer.cc."""
    targets, nontargets = sorted(targets), sorted(nontargets)
    position = 0
    while position + 1 < len(targets):
        mirrored = len(nontargets) - 1 - int(len(nontargets) * position * 1.0 / len(targets))
        if nontargets[max(mirrored, 0)] < targets[position]:
            break
        position += 1
    return position / len(targets), targets[position]


class TestPublishedNumbers:
    """Values of the original programs on the formula lists (regression numbers of the specification)."""

    def test_eer_by_definition(self):
        rate, threshold = eer(TARGETS, NONTARGETS, "trainer")
        assert (round(100 * rate, 6), round(threshold, 6)) == (10.0, 0.403899)
        assert eer(TARGETS, NONTARGETS, "brentq")[0] == pytest.approx(0.0970, abs=1e-9)
        assert eer(TARGETS, NONTARGETS, "grid")[0] == pytest.approx(0.0975, abs=1e-9)
        assert eer(TARGETS, NONTARGETS) == pytest.approx(kaldi_eer(TARGETS, NONTARGETS))

    def test_min_dcf(self):
        assert min_dcf(TARGETS, NONTARGETS, 0.05) == pytest.approx(0.370)
        assert min_dcf(TARGETS, NONTARGETS, 0.5) == pytest.approx(0.166)
        assert min_dcf(TARGETS, NONTARGETS, 0.01, c_miss=10) == pytest.approx(0.3694)

    @pytest.mark.parametrize("case", ["raw", "round2"])
    def test_golden_lists(self, case):
        arrays = np.load(golden("nets/metrics.npz"))
        targets, nontargets = arrays[f"{case}/tar"], arrays[f"{case}/non"]
        expected = float(arrays[f"{case}/tarfirst/vt_eer_percent"])
        assert 100 * eer(targets, nontargets, "trainer")[0] == pytest.approx(expected, abs=1e-9)
        for p_target, row in zip((0.05, 0.01, 0.001), arrays[f"{case}/tarfirst/vt_mindcf_p05_p01_p001"], strict=True):
            cost, threshold = min_dcf_point(targets, nontargets, p_target)
            assert cost == pytest.approx(row[0], abs=1e-9)
            # theirs is the highest score rejected, ours the lowest accepted
            rejected = np.concatenate((targets, nontargets))
            assert rejected[rejected < threshold].max() == pytest.approx(row[1], abs=1e-12)
        for p_target, row in zip((0.01, 0.05), arrays[f"{case}/sb_mindcf_p01_p05"], strict=True):
            assert min_dcf(targets, nontargets, p_target) * p_target == pytest.approx(row[0], abs=1e-6)

    def test_interpolated_rate_and_costs_of_wespeaker(self):
        # without ties, where its unstable sort decides nothing
        arrays = np.load(golden("nets/metrics.npz"))
        targets, nontargets = arrays["raw/tar"], arrays["raw/non"]
        assert eer(targets, nontargets, "brentq")[0] == pytest.approx(float(arrays["raw/tarfirst/ws_eer"]), abs=1e-9)
        for p_target, cost in zip((0.01, 0.05, 0.001), arrays["raw/tarfirst/ws_mindcf_p01_p05_p001"], strict=True):
            assert min_dcf(targets, nontargets, p_target) == pytest.approx(cost, abs=1e-9)
        expected = float(arrays["raw/tarfirst/ws_mindcf_p01_cmiss10"])
        assert min_dcf(targets, nontargets, 0.01, c_miss=10) == pytest.approx(expected, abs=1e-9)

    def test_roc_has_the_points_of_the_original(self):
        from spkid.metrics.eer import _roc_corners

        arrays = np.load(golden("nets/metrics.npz"))
        for case in ("raw", "round2"):
            corners = _roc_corners(error_rates(arrays[f"{case}/tar"], arrays[f"{case}/non"]))
            assert corners[0].size == arrays[f"{case}/tarfirst/vt_roc_points"]

    def test_cllr_of_the_calibration_golden(self):
        arrays = np.load(golden("nets/ws_calibration.npz"))
        scores, is_target = arrays["factors"][:, 0], arrays["label"] == 1
        assert cllr(scores[is_target], scores[~is_target]) == pytest.approx(float(arrays["raw_cllr64"]), abs=1e-12)
        calibrated = arrays["one_score64"]
        assert cllr(calibrated[is_target], calibrated[~is_target]) == pytest.approx(
            float(arrays["one_cllr64"]), abs=1e-6
        )


class TestAgainstCounting:
    @given(scores, scores)
    def test_rates_at_every_threshold(self, targets, nontargets):
        rates = error_rates(targets, nontargets)
        counted = [count_errors(targets, nontargets, threshold) for threshold in rates.thresholds]
        np.testing.assert_array_equal(np.column_stack((rates.miss_rate, rates.false_alarm_rate)), counted)
        assert set(rates.thresholds) == {*targets, *nontargets, np.inf}

    @given(scores, scores)
    def test_kaldi_eer(self, targets, nontargets):
        assert eer(targets, nontargets) == pytest.approx(kaldi_eer(targets, nontargets))

    @given(scores, scores, st.sampled_from([0.01, 0.2, 0.5, 0.9]), st.sampled_from([1, 10]))
    def test_min_dcf(self, targets, nontargets, p_target, c_miss):
        costs = []
        for threshold in [*targets, *nontargets, np.inf]:
            miss, false_alarm = count_errors(targets, nontargets, threshold)
            costs.append(c_miss * p_target * miss + (1 - p_target) * false_alarm)
        expected = min(costs) / min(c_miss * p_target, 1 - p_target)
        cost, threshold = min_dcf_point(targets, nontargets, p_target, c_miss)
        assert cost == pytest.approx(expected)
        miss, false_alarm = count_errors(targets, nontargets, threshold)
        paid = c_miss * p_target * miss + (1 - p_target) * false_alarm
        assert paid / min(c_miss * p_target, 1 - p_target) == pytest.approx(cost)

    @given(scores, scores, st.sampled_from([0.01, 0.3]))
    def test_act_dcf_is_the_cost_at_the_bayes_threshold(self, targets, nontargets, p_target):
        miss, false_alarm = count_errors(targets, nontargets, np.log((1 - p_target) / p_target))
        expected = (p_target * miss + (1 - p_target) * false_alarm) / min(p_target, 1 - p_target)
        assert act_dcf(targets, nontargets, p_target) == pytest.approx(expected)
        assert act_dcf(targets, nontargets, p_target) >= min_dcf(targets, nontargets, p_target) - 1e-12

    @given(scores, scores)
    def test_cllr_by_its_definition(self, targets, nontargets):
        miss = np.mean([np.log2(1 + np.exp(-score)) for score in targets])
        false_alarm = np.mean([np.log2(1 + np.exp(score)) for score in nontargets])
        assert cllr(targets, nontargets) == pytest.approx((miss + false_alarm) / 2)

    @given(scores, scores)
    def test_rocch_is_the_largest_cost_of_the_ideal_threshold(self, targets, nontargets):
        # The EER of the hull is the value of the game in which nature picks the prior (Brummer & de Villiers).
        rates = error_rates(targets, nontargets)
        priors = np.linspace(0, 1, 2001)[:, None]
        value = (priors * rates.miss_rate + (1 - priors) * rates.false_alarm_rate).min(axis=1).max()
        assert eer(targets, nontargets, "rocch")[0] == pytest.approx(value, abs=1e-3)

    @given(scores, scores)
    def test_brentq_solves_its_equation(self, targets, nontargets):
        rates = error_rates(targets, nontargets)
        rate = eer(targets, nontargets, "brentq")[0]
        below = np.interp(rate - 1e-9, rates.false_alarm_rate[::-1], 1 - rates.miss_rate[::-1])
        above = np.interp(rate + 1e-9, rates.false_alarm_rate[::-1], 1 - rates.miss_rate[::-1])
        assert 1 - rate - above <= 1e-6 or rate == pytest.approx(1)
        assert 1 - rate - below >= -1e-6 or rate == pytest.approx(0)


class TestInvariance:
    @given(scores, scores, st.randoms())
    def test_order_of_the_trials_does_not_matter(self, targets, nontargets, random):
        shuffled = random.sample(targets, len(targets)), random.sample(nontargets, len(nontargets))
        for definition in DEFINITIONS:
            assert eer(*shuffled, definition) == eer(targets, nontargets, definition)
        assert min_dcf_point(*shuffled, 0.05) == min_dcf_point(targets, nontargets, 0.05)
        assert min_cllr(*shuffled) == min_cllr(targets, nontargets)

    @given(scores, scores, st.sampled_from([lambda s: 3 * s - 7, np.exp, lambda s: s**3]))
    def test_an_increasing_map_changes_thresholds_only(self, targets, nontargets, increasing):
        mapped = increasing(np.array(targets)), increasing(np.array(nontargets))
        for definition in ("kaldi", "trainer", "brentq", "rocch"):
            assert eer(*mapped, definition)[0] == pytest.approx(eer(targets, nontargets, definition)[0])
        assert min_dcf(*mapped, 0.01) == pytest.approx(min_dcf(targets, nontargets, 0.01))
        assert min_cllr(*mapped) == pytest.approx(min_cllr(targets, nontargets))

    @given(scores, scores)
    def test_bounds(self, targets, nontargets):
        assert 0 <= eer(targets, nontargets, "rocch")[0] <= eer(targets, nontargets, "brentq")[0] + 1e-12
        assert 0 <= min_dcf(targets, nontargets, 0.05) <= 1
        assert -1e-12 <= min_cllr(targets, nontargets) <= min(1, cllr(targets, nontargets)) + 1e-12

    @given(scores, scores)
    def test_constant_scores_are_chance(self, targets, nontargets):
        targets, nontargets = np.zeros(len(targets)), np.zeros(len(nontargets))
        assert eer(targets, nontargets, "rocch")[0] == pytest.approx(0.5)
        assert min_cllr(targets, nontargets) == pytest.approx(1)
        assert cllr(targets, nontargets) == pytest.approx(1)
        assert min_dcf(targets, nontargets, 0.01) == pytest.approx(1)

    @given(scores, scores)
    def test_separated_scores_are_perfect(self, targets, nontargets):
        targets = np.array(targets) - min(targets) + max(nontargets) + 1
        for definition in ("kaldi", "trainer", "brentq", "rocch"):
            rate, threshold = eer(targets, nontargets, definition)
            assert rate == 0
            assert max(nontargets) <= threshold <= min(targets)
        assert min_dcf_point(targets, nontargets, 0.01) == (0, targets.min())
        assert min_cllr(targets, nontargets) == 0


class TestBadInput:
    @pytest.mark.parametrize("measure", [eer, cllr, min_cllr, error_rates, lambda t, n: min_dcf(t, n, 0.01)])
    def test_an_empty_class_and_nan_are_named(self, measure):
        with pytest.raises(ValueError, match="no target scores"):
            measure([], [1.0])
        with pytest.raises(ValueError, match="no non-target scores"):
            measure([1.0], [])
        with pytest.raises(ValueError, match="1 of 2 non-target scores are NaN"):
            measure([1.0], [0.0, np.nan])

    def test_unknown_definition(self):
        with pytest.raises(ValueError, match=r"'eer2'.*kaldi, trainer, brentq, grid, rocch"):
            eer([1.0], [0.0], "eer2")

    @pytest.mark.parametrize("arguments", [(0,), (1,), (0.5, 0), (0.5, 1, -1)])
    def test_costs_and_priors_out_of_range(self, arguments):
        with pytest.raises(ValueError, match=r"prior|costs"):
            min_dcf([1.0], [0.0], *arguments)

    def test_infinite_scores_are_scores(self):
        rates = error_rates([np.inf, 1], [-np.inf, 0])
        assert (rates.miss_rate[-1], rates.false_alarm_rate[-1]) == (1, 0)
        assert eer([np.inf, 1], [-np.inf, 0], "brentq")[0] == 0
