"""Which threshold to use, and what it does: decisions at a stated prior, and measures over a grid of thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.cost import OperatingPoint, least_cost
from spkid.metrics.curve import TrialScores

UNIT_GRID = np.arange(1001) / 1000  # Deep Speaker's thresholds, for cosine scores


@dataclass(frozen=True)
class ThresholdGrid:
    """What accepting from each threshold on gives; all fields have the shape of `thresholds`.

    Attributes:
        thresholds: the lowest score accepted.
        true_positive_rate: accepted targets among the targets (recall).
        false_alarm_rate: accepted non-targets among the non-targets.
        precision: targets among the accepted; 1 where nothing is accepted.
        f_measure: harmonic mean of precision and true positive rate.
        accuracy: right decisions among all trials. With 99 non-targets for a target "always no" reaches 0.99: it means
            something beside the other columns only.
    """

    thresholds: np.ndarray
    true_positive_rate: np.ndarray
    false_alarm_rate: np.ndarray
    precision: np.ndarray
    f_measure: np.ndarray
    accuracy: np.ndarray

    def row(self, index: int) -> dict[str, float]:
        """One threshold as JSON values."""
        return {name: float(values[index]) for name, values in vars(self).items()}

    @property
    def best(self) -> int:
        """Index of the highest F-measure; the lowest threshold that reaches it."""
        return int(np.argmax(self.f_measure))


def threshold_grid(scores: TrialScores, thresholds: ArrayLike | None = None) -> ThresholdGrid:
    """F-measure, true positive rate and accuracy at given thresholds.

    Args:
        scores: of both kinds of trial.
        thresholds: any shape; by default 0, 0.001, ..., 1 where all scores lie within -1 and 1, else 1001 steps between
            the lowest and the highest finite score.
    """
    thresholds = default_grid(scores) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    miss, false_alarm = scores.rates_at(thresholds)
    num_targets, num_nontargets = scores.targets.size, scores.nontargets.size
    hits, alarms = (1 - miss) * num_targets, false_alarm * num_nontargets
    accepted = hits + alarms
    precision = np.divide(hits, accepted, out=np.ones_like(accepted), where=accepted > 0)
    return ThresholdGrid(
        thresholds=thresholds,
        true_positive_rate=1 - miss,
        false_alarm_rate=false_alarm,
        precision=precision,
        f_measure=2 * hits / (accepted + num_targets),
        accuracy=(hits + num_nontargets - alarms) / (num_targets + num_nontargets),
    )


def default_grid(scores: TrialScores) -> np.ndarray:
    """(1001,) thresholds that fit the scores; see `threshold_grid`."""
    kinds = (scores.targets, scores.nontargets)
    if all(values[0] >= -1 and values[-1] <= 1 for values in kinds):
        return UNIT_GRID
    finite = [values[np.isfinite(values)] for values in kinds]
    ends = [end for values in finite if values.size for end in (values[0], values[-1])]
    return np.linspace(min(ends), max(ends), UNIT_GRID.size) if ends else UNIT_GRID


def decide(scores: TrialScores, point: OperatingPoint) -> dict[str, Any]:
    """Which threshold to use at a prior and costs, and the errors it makes, as JSON values.

    Returns:
        the point, and two decisions: `empirical`, the threshold that costs least on these very scores (a little
        optimistic elsewhere), and `bayes`, right for scores that are calibrated natural-log likelihood ratios whatever
        the data. Each as `decision_at` describes.
    """
    _, best = least_cost(scores, point)
    return {
        "p_target": point.p_target,
        "c_miss": point.c_miss,
        "c_fa": point.c_fa,
        "empirical": decision_at(scores, point, best),
        "bayes": decision_at(scores, point, point.bayes_threshold),
    }


def decision_at(scores: TrialScores, point: OperatingPoint, threshold: float) -> dict[str, Any]:
    """What happens where trials at or above a threshold are accepted, as JSON values.

    Returns:
        `threshold` (None: all or nothing is accepted, as the miss rate says), `misses` and `false_alarms` with their
        rates, `dcf` (normalised cost), and `precision`: the share of targets to expect among accepted trials at the
        prior, None where nothing is accepted.
    """
    misses, false_alarms = scores.counts_at(threshold) if threshold < np.inf else (scores.targets.size, 0)
    miss, false_alarm = misses / scores.targets.size, false_alarms / scores.nontargets.size
    hits, alarms = point.p_target * (1 - miss), (1 - point.p_target) * false_alarm
    miss_weight, false_alarm_weight = point.weights
    return {
        "threshold": threshold if np.isfinite(threshold) else None,
        "misses": misses,
        "false_alarms": false_alarms,
        "miss_rate": miss,
        "false_alarm_rate": false_alarm,
        "dcf": miss_weight * miss + false_alarm_weight * false_alarm,
        "precision": hits / (hits + alarms) if hits + alarms else None,
    }
