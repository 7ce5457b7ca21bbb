"""Error rates of a detector as functions of its threshold: one sort, from which every other measure follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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


def sorted_scores(targets: ArrayLike, nontargets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both lists as ascending float64 arrays.

    Sorting is stable (Timsort/radix), so lists that are sorted already pass through in linear time and callers that
    compute several measures sort once.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    checked = []
    for name, scores in (("target", targets), ("non-target", nontargets)):
        values = np.asarray(scores, dtype=np.float64).ravel()
        if values.size == 0:
            raise ValueError(
                f"there are no {name} scores, and error rates need both kinds: look at the labels of the trials"
            )
        bad = int(np.count_nonzero(np.isnan(values)))
        if bad:
            raise ValueError(f"{bad} of {values.size} {name} scores are NaN: look at the vectors that were scored")
        checked.append(np.sort(values, kind="stable"))
    return checked[0], checked[1]


def error_rates(targets: ArrayLike, nontargets: ArrayLike) -> ErrorRates:
    """Counts of misses and false alarms at every distinct score.

    Args:
        targets: scores of same-speaker trials, any shape, higher means more alike.
        nontargets: scores of different-speaker trials.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    targets, nontargets = sorted_scores(targets, nontargets)
    merged = np.sort(np.concatenate((targets, nontargets)), kind="stable")
    is_new = np.empty(merged.size, dtype=bool)
    is_new[0] = True
    np.not_equal(merged[1:], merged[:-1], out=is_new[1:])
    thresholds = merged[is_new]
    if thresholds[-1] != np.inf:
        thresholds = np.append(thresholds, np.inf)
    misses = np.searchsorted(targets, thresholds, side="left")
    false_alarms = nontargets.size - np.searchsorted(nontargets, thresholds, side="left")
    if false_alarms[-1] or misses[-1] < targets.size:  # scores of +inf: no finite threshold rejects them
        thresholds = np.append(thresholds, np.inf)
        misses = np.append(misses, targets.size)
        false_alarms = np.append(false_alarms, 0)
    return ErrorRates(thresholds, misses, false_alarms, targets.size, nontargets.size)
