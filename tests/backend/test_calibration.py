"""Calibration, quality measures and fusion: goldens, the definition of the cost, and data that have no best answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.backend import GreedyFusion, LogisticCalibration, zscore_mean
from spkid.backend.calibration import logistic_cost
from spkid.backend.quality import column_names, merged, symmetric_columns, values_of
from spkid.kaldi import InputError
from tests.shared import golden


def gaussian_trials(targets: int, nontargets: int, shifts: tuple[float, ...], seed: int = 0):
    """Scores (trials, systems) of unit variance, `shift` apart: their log-likelihood ratio is linear. And labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(targets + nontargets) < targets
    columns = random.normal(size=(labels.size, len(shifts)))
    return columns + labels[:, None] * np.array(shifts), labels


class TestGolden:
    @pytest.mark.parametrize(("name", "columns"), [("one", [0]), ("three", [0, 1, 2])])
    def test_cost_is_no_higher_than_wespeakers(self, name, columns):
        arrays = np.load(golden("nets/ws_calibration.npz"))
        labels = arrays["label"].astype(bool)
        model = LogisticCalibration().fit(arrays["factors"][:, columns], labels)
        assert model.cost_ <= arrays[f"{name}_cllr64"] + 1e-4
        np.testing.assert_allclose(model.transform(arrays["factors"][:, columns]), arrays[f"{name}_score64"], atol=0.5)
        assert logistic_cost(arrays["factors"][:, 0], labels) == pytest.approx(float(arrays["raw_cllr64"]), abs=1e-12)
        assert logistic_cost(arrays[f"{name}_score64"], labels) == pytest.approx(float(arrays[f"{name}_cllr64"]))

    def test_quality_measures(self):
        arrays = np.load(golden("nets/ws_score_norm.npz"))
        rows, columns = (part.ravel() for part in np.indices((6, 6)))
        durations = np.minimum(3 + 1.7 * np.arange(6), 10), np.minimum(2 + 2.3 * np.arange(6), 10)
        sides = [
            durations,
            [np.linalg.norm(arrays[name].astype(float), axis=1) for name in ("enrol", "test")],
            [arrays[f"asnorm_{name}_mean64"] for name in ("enrol", "test")],
        ]
        ours = np.hstack([symmetric_columns(enroll[rows], test[columns]) for enroll, test in sides])
        # printed with four decimals, some differences and ratios from values that were rounded before
        np.testing.assert_allclose(ours, arrays["calibration_factors_file"][:, 1:], atol=3e-4)


class TestCalibration:
    def test_finds_the_ratio_that_made_the_scores(self):
        columns, labels = gaussian_trials(20_000, 200_000, (3.0,))
        for prior in (0.5, 0.05):
            model = LogisticCalibration(prior).fit(columns, labels)
            # ln N(x; 3, 1) / N(x; 0, 1) = 3 x - 4.5
            assert model.weights_[0] == pytest.approx(3, abs=0.1)
            assert model.offset_ == pytest.approx(-4.5, abs=0.15)

    @settings(max_examples=30)
    @given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 3), st.floats(0.01, 0.99), st.integers(0, 999))
    def test_no_other_weights_cost_less(self, targets, nontargets, systems, prior, seed):
        columns, labels = gaussian_trials(targets, nontargets, (0.5,) * systems, seed)
        model = LogisticCalibration(prior).fit(columns, labels)
        random = np.random.default_rng(seed)
        penalty = 1e-6 * np.square(model.weights_ * columns.std(axis=0)).sum()
        for _ in range(20):
            weights = model.weights_ + random.normal(size=systems) * 0.01
            other = logistic_cost(columns @ weights + model.offset_ + random.normal() * 0.01, labels, prior)
            assert model.cost_ <= other + penalty + 1e-9

    @settings(max_examples=30)
    @given(st.floats(0.001, 1000), st.floats(-1000, 1000), st.integers(0, 99))
    def test_does_not_depend_on_the_unit_of_the_scores(self, scale, shift, seed):
        columns, labels = gaussian_trials(50, 60, (1.0, 0.3), seed)
        plain = LogisticCalibration(0.1).fit(columns, labels)
        moved = LogisticCalibration(0.1).fit(columns * scale + shift, labels)
        np.testing.assert_allclose(moved.transform(columns * scale + shift), plain.transform(columns), atol=1e-5)

    def test_repeating_non_targets_changes_nothing(self):
        columns, labels = gaussian_trials(50, 60, (1.0,))
        more = np.concatenate((columns, columns[~labels], columns[~labels]))
        plain = LogisticCalibration(0.2).fit(columns, labels)
        repeated = LogisticCalibration(0.2).fit(more, np.arange(len(more)) < 50)
        np.testing.assert_allclose(repeated.transform(columns), plain.transform(columns), atol=1e-9)

    @pytest.mark.parametrize("scores", [[1.0, 2.0, 3.0, 4.0], [-1e5, 0.0, 1e5, 2e5]])
    def test_trials_without_an_error_give_finite_ratios(self, scores):
        model = LogisticCalibration(0.01).fit(scores, [False, False, True, True])
        assert model.is_separable_
        assert np.isfinite(model.transform(scores)).all()
        assert model.weights_[0] > 0

    def test_columns_that_say_nothing_or_the_same(self):
        columns, labels = gaussian_trials(50, 60, (1.0,))
        plain = LogisticCalibration().fit(columns, labels)
        constant = np.column_stack((columns, np.full(len(columns), 7.3)))
        np.testing.assert_allclose(
            LogisticCalibration().fit(constant, labels).transform(constant), plain.transform(columns), atol=1e-6
        )
        twice = np.column_stack((columns, columns))
        np.testing.assert_allclose(
            LogisticCalibration().fit(twice, labels).transform(twice), plain.transform(columns), atol=1e-4
        )
        assert LogisticCalibration().fit(np.ones(4), [0, 0, 1, 1]).transform(np.ones(2)).tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("columns", "labels", "sentence"),
        [
            ([1.0, np.nan], [True, False], "finite scores"),
            ([1.0, 2.0], [True, True], "target and non-target trials, and there are 2 and 0"),
            ([1.0, 2.0], [True], "1 labels for 2 trials"),
            (np.ones((2, 2, 2)), [True, False], "finite scores"),
        ],
    )
    def test_says_what_is_wrong(self, columns, labels, sentence):
        with pytest.raises(ValueError, match=sentence):
            LogisticCalibration().fit(columns, labels)

    def test_priors_and_columns_are_checked(self):
        with pytest.raises(ValueError, match="prior lies between 0 and 1"):
            LogisticCalibration(1.0)
        with pytest.raises(ValueError, match="prior lies between 0 and 1"):
            logistic_cost([1, 2], [0, 1], 0.0)
        model = LogisticCalibration().fit(*gaussian_trials(5, 5, (1.0,)))
        with pytest.raises(ValueError, match="trained on 1 columns, these are 2"):
            model.transform(np.ones((3, 2)))


class TestQuality:
    def test_sides_may_be_exchanged(self):
        random = np.random.default_rng(0)
        a, b = random.uniform(0.5, 3, (2, 20))
        np.testing.assert_array_equal(symmetric_columns(a, b), symmetric_columns(b, a))
        assert column_names("duration") == ["duration_min", "duration_max", "duration_difference", "duration_ratio"]
        for bad in (0.0, np.nan, np.inf):
            with pytest.raises(ValueError, match="finite and not zero"):
                symmetric_columns([bad], [1.0])

    def test_values_of_files(self):
        given_values = merged([("f", {"a": "1.5", "b": "2 0.3"}), ("g", {"a": "1.5", "c": "x", "d": "0"})])
        np.testing.assert_array_equal(values_of(["b", "a"], given_values, "f"), [2, 1.5])
        with pytest.raises(InputError, match="f: nothing for 1 of 2 ids: z"):
            values_of(["a", "z"], given_values, "f")
        for key in "cd":
            with pytest.raises(InputError, match=f"of {key} is not a number"):
                values_of([key], given_values, "f")
        with pytest.raises(InputError, match=r"g: a has 2, and 1 in a file before"):
            merged([("f", {"a": "1"}), ("g", {"a": "2"})])


class TestFusion:
    def test_two_systems_are_better_than_one(self):
        columns, labels = gaussian_trials(2000, 20_000, (2.0, 1.5))
        fresh, fresh_labels = gaussian_trials(2000, 20_000, (2.0, 1.5), seed=1)
        fused = LogisticCalibration(0.1).fit(columns, labels).transform(fresh)
        alone = LogisticCalibration(0.1).fit(columns[:, 0], labels).transform(fresh[:, 0])
        assert logistic_cost(fused, fresh_labels, 0.1) < 0.9 * logistic_cost(alone, fresh_labels, 0.1)

    def test_zscores_forget_each_systems_unit(self):
        columns, _ = gaussian_trials(50, 60, (1.0, 2.0))
        expected = ((columns - columns.mean(axis=0)) / columns.std(axis=0)).mean(axis=1)
        np.testing.assert_allclose(zscore_mean(columns * [100, 0.01] + [5, -3]), expected)
        np.testing.assert_allclose(zscore_mean(columns[:9], columns), expected[:9])
        with pytest.raises(ValueError, match="system 2 are equal"):
            zscore_mean(np.column_stack((columns[:, 0], np.full(110, 0.1))))
        with pytest.raises(ValueError, match="finite"):
            zscore_mean([[1.0, np.nan]])
        with pytest.raises(ValueError, match="of the same systems"):
            zscore_mean(columns, columns[:, :1])

    def test_greedy_fusion_takes_what_helps_in_the_order_of_help(self):
        columns, labels = gaussian_trials(5000, 20_000, (1.0, 0.0, 2.5, 1.8, -1.5))
        model = GreedyFusion(0.1).fit(columns, labels)
        assert model.chosen_ == [2, 3, 0]  # not the one without information, nor the one that is the wrong way round
        assert (np.diff(model.costs_) < 0).all()
        assert model.costs_[-1] == pytest.approx(logistic_cost(model.transform(columns), labels, 0.1))
        assert GreedyFusion(0.1, max_systems=2).fit(columns, labels).chosen_ == [2, 3]
        with pytest.raises(ValueError, match="look at the labels"):
            GreedyFusion().fit(columns[:, 4:], labels)
        with pytest.raises(ValueError, match="one system or more"):
            GreedyFusion(max_systems=0)
