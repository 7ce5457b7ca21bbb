"""Error rates of a detector as functions of its threshold: one sort, from which every other measure follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

HULL_CHUNK = 1 << 20  # points pooled at a time: bounds the memory of isotonic regression


@dataclass(frozen=True)
class ErrorRates:
    """Miss and false-alarm rates at every threshold where one of them can change.

    A trial is accepted when its score is at or above the threshold. `thresholds` (points,) ascends through the distinct
    scores and ends with +inf (accept nothing), so the curve always runs from (miss 0, false alarm 1) to (1, 0).
    `misses` and `false_alarms` are the counts behind the rates.
    """

    thresholds: np.ndarray
    misses: np.ndarray
    false_alarms: np.ndarray
    num_targets: int
    num_nontargets: int

    @property
    def miss_rate(self) -> np.ndarray:
        """(points,) fraction of target trials rejected."""
        return self.misses / self.num_targets

    @property
    def false_alarm_rate(self) -> np.ndarray:
        """(points,) fraction of non-target trials accepted."""
        return self.false_alarms / self.num_nontargets

    @cached_property
    def hull(self) -> np.ndarray:
        """(corners,) ascending indices of the points on the convex hull of the ROC, both ends of the curve included.

        Between two corners isotonic regression makes the share of targets constant: pooling adjacent violators.
        """
        from scipy.optimize import isotonic_regression  # kept out of the start-up of the small tools

        corners = np.arange(self.thresholds.size, dtype=np.int64)
        # The hull of a whole is the hull of the hulls of its parts, which are small.
        for chunk in dict.fromkeys((HULL_CHUNK, corners.size)):
            kept = []
            for start in range(0, corners.size - 1, chunk):
                part = corners[start : start + chunk + 1]
                num_targets = np.diff(self.misses[part])
                num_trials = num_targets - np.diff(self.false_alarms[part])
                pooled = isotonic_regression(num_targets / num_trials, weights=num_trials)
                kept.append(part[pooled.blocks[:-1]])
            corners = np.concatenate((*kept, corners[-1:]))
        return corners


class TrialScores:
    """Scores of both kinds of trial, sorted once; every measure can be taken from them without another sort.

    Attributes:
        targets: (targets,) float64, ascending scores of same-speaker trials.
        nontargets: (nontargets,) those of different-speaker trials.
    """

    def __init__(self, targets: ArrayLike, nontargets: ArrayLike) -> None:
        """Takes scores of any shape, higher means more alike. ValueError: a list is empty or holds NaN."""
        self.targets = _sorted("target", targets)
        self.nontargets = _sorted("non-target", nontargets)

    @cached_property
    def rates(self) -> ErrorRates:
        """Counts of misses and false alarms at every distinct score."""
        merged = np.concatenate((self.targets, self.nontargets))
        merged.sort(kind="stable")  # Timsort finds the two runs and merges them in linear time
        below = np.concatenate(([0], np.flatnonzero(merged[1:] != merged[:-1]) + 1, [merged.size]))
        thresholds = np.append(merged, np.inf)[below]  # nothing is accepted at the last point, not even +inf
        del merged
        if self.targets.size <= self.nontargets.size:
            misses = _number_below(thresholds, self.targets)
        else:
            misses = below - _number_below(thresholds, self.nontargets)
        false_alarms = np.subtract(misses, below, out=below)
        false_alarms += self.nontargets.size
        return ErrorRates(thresholds, misses, false_alarms, self.targets.size, self.nontargets.size)

    def counts_at(self, threshold: float) -> tuple[int, int]:
        """(misses, false alarms) where trials at or above the threshold are accepted."""
        misses = int(np.searchsorted(self.targets, threshold, side="left"))
        return misses, self.nontargets.size - int(np.searchsorted(self.nontargets, threshold, side="left"))

    def rates_at(self, thresholds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(miss rates, false-alarm rates) at thresholds of any shape."""
        misses = np.searchsorted(self.targets, thresholds, side="left")
        rejected = np.searchsorted(self.nontargets, thresholds, side="left")
        return misses / self.targets.size, 1 - rejected / self.nontargets.size


def error_rates(targets: ArrayLike, nontargets: ArrayLike) -> ErrorRates:
    """Counts of misses and false alarms at every distinct score.

    Args:
        targets: scores of same-speaker trials, any shape, higher means more alike.
        nontargets: scores of different-speaker trials.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    return TrialScores(targets, nontargets).rates


def _number_below(thresholds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(points,) how many of the sorted values, which are thresholds too, lie below each; at the last threshold, all."""
    points = np.searchsorted(thresholds, values)
    return np.repeat(np.arange(values.size + 1), np.diff(points, prepend=-1, append=thresholds.size - 1))


def _sorted(name: str, scores: ArrayLike) -> np.ndarray:
    values = np.asarray(scores, dtype=np.float64).ravel()
    if values.size == 0:
        raise ValueError(
            f"there are no {name} scores, and error rates need both kinds: look at the labels of the trials"
        )
    bad = int(np.count_nonzero(np.isnan(values)))
    if bad:
        raise ValueError(f"{bad} of {values.size} {name} scores are NaN: look at the vectors that were scored")
    return values if (values[1:] >= values[:-1]).all() else np.sort(values)
