"""The equal error rate in the five definitions that published systems use. They differ by up to one trial's weight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.curve import ErrorRates, TrialScores


def eer(targets: ArrayLike, nontargets: ArrayLike, definition: str = "kaldi") -> tuple[float, float]:
    """Equal error rate and its threshold.

    Args:
        targets: scores of same-speaker trials, any shape, higher means more alike.
        nontargets: scores of different-speaker trials.
        definition:
            `kaldi`: compute-eer of Kaldi: the miss rate at the first target score that lies above as large a share of
            the non-targets as the share of targets below it.
            `trainer`: the VoxCeleb trainer's: the larger of the two rates at the corner of the ROC where they are
            nearest.
            `brentq`: the root of 1 - x - ROC(x), the ROC interpolated linearly (usual in notebooks, with
            scipy.optimize.brentq).
            `grid`: Deep Speaker's: the mean of the two rates at the nearest of the thresholds 0, 0.001, ..., 1;
            meant for cosine scores.
            `rocch`: on the convex hull of the ROC (Brümmer & de Villiers, BOSARIS toolkit, 2011).

    Returns:
        (eer, threshold): the rate as a fraction (0.05 is 5%) and the score from which a trial is accepted.

    Raises:
        ValueError: a list is empty, a score is NaN, or the definition is unknown.
    """
    if definition not in DEFINITIONS:
        raise ValueError(
            f"unknown definition of the equal error rate '{definition}': use one of {', '.join(DEFINITIONS)}"
        )
    return DEFINITIONS[definition](TrialScores(targets, nontargets))


def _kaldi(scores: TrialScores) -> tuple[float, float]:
    # compute-eer.cc walks the targets upwards and looks at the non-target of the mirrored rank; the condition it stops
    # at is monotone in the position, so all positions can be tested at once. The last one is where its loop ends.
    targets, nontargets = scores.targets, scores.nontargets
    position = np.arange(targets.size)
    mirrored = (nontargets.size * position / targets.size).astype(np.int64)
    mirrored = np.maximum(nontargets.size - 1 - mirrored, 0)
    holds = nontargets[mirrored] < targets
    holds[-1] = True
    first = int(np.argmax(holds))
    return first / targets.size, float(targets[first])


def _roc_corners(rates: ErrorRates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Points of the ROC from "accept nothing" on, without those inside a straight run, as scikit-learn's roc_curve
    # keeps them: the published numbers depend on which points are there to choose from.
    true = (rates.num_targets - rates.misses)[::-1]
    false = rates.false_alarms[::-1]
    bends = (np.diff(false[1:], 2) != 0) | (np.diff(true[1:], 2) != 0)
    keep = np.concatenate(([True, True], bends, [True]))[: true.size]
    return false[keep] / rates.num_nontargets, true[keep] / rates.num_targets, rates.thresholds[::-1][keep]


def _trainer(scores: TrialScores) -> tuple[float, float]:
    false_alarm, true_accept, thresholds = _roc_corners(scores.rates)
    miss = 1 - true_accept
    nearest = int(np.argmin(np.abs(miss - false_alarm)))
    return float(max(false_alarm[nearest], miss[nearest])), float(thresholds[nearest])


def _crossing(miss: np.ndarray, false_alarm: np.ndarray, thresholds: np.ndarray) -> tuple[float, float]:
    # Where a polyline from (miss 0, false alarm 1) to (1, 0) meets miss == false alarm.
    difference = miss - false_alarm
    after = int(np.argmax(difference >= 0))
    before = after - 1
    weight = -difference[before] / (difference[after] - difference[before])
    rate = false_alarm[before] + weight * (false_alarm[after] - false_alarm[before])
    low, high = thresholds[before], thresholds[after]
    if np.isfinite(low) and np.isfinite(high):
        return float(rate), float(low + weight * (high - low))
    threshold = low if np.isfinite(low) else high
    return float(rate), float(threshold)


def _brentq(scores: TrialScores) -> tuple[float, float]:
    rates = scores.rates
    return _crossing(rates.miss_rate, rates.false_alarm_rate, rates.thresholds)


def _grid(scores: TrialScores) -> tuple[float, float]:
    thresholds = np.arange(1001) / 1000
    miss, false_alarm = scores.rates_at(thresholds)
    nearest = int(np.argmin(np.abs(miss - false_alarm)))
    return float(miss[nearest] + false_alarm[nearest]) / 2, float(thresholds[nearest])


def _rocch(scores: TrialScores) -> tuple[float, float]:
    rates = scores.rates
    miss, false_alarm = rates.misses[rates.hull] / rates.num_targets, rates.false_alarms[rates.hull]
    return _crossing(miss, false_alarm / rates.num_nontargets, rates.thresholds[rates.hull])


DEFINITIONS: dict[str, Callable[[TrialScores], tuple[float, float]]] = {
    "kaldi": _kaldi,
    "trainer": _trainer,
    "brentq": _brentq,
    "grid": _grid,
    "rocch": _rocch,
}
