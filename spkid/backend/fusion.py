"""Several systems' scores of the same trials as one score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.calibration import LogisticCalibration


def zscore_mean(columns: ArrayLike, reference: ArrayLike | None = None) -> np.ndarray:
    """The mean over systems of scores in units of their own spread.

    Args:
        columns: (trials, systems).
        reference: (other trials, systems) to take means and deviations from, such as those of a development set; None
            for the trials themselves.

    Returns:
        (trials,) float64.

    Raises:
        ValueError: not finite, or all scores of a system are equal.
    """
    columns = np.asarray(columns, dtype=np.float64)
    reference = columns if reference is None else np.asarray(reference, dtype=np.float64)
    if columns.ndim != 2 or reference.shape[1:] != columns.shape[1:]:
        raise ValueError("fusion takes scores (trials, systems), of the same systems everywhere")
    if not (np.isfinite(columns).all() and np.isfinite(reference).all()):
        raise ValueError("fusion takes finite scores")
    mean, std = reference.mean(axis=0), reference.std(axis=0)
    equal = np.flatnonzero(std <= 1e-12 * np.abs(mean))
    if equal.size:
        raise ValueError(f"all scores of system {equal[0] + 1} are equal, so they have no z-scores")
    return ((columns - mean) / std).mean(axis=1)


class GreedyFusion:
    """Logistic regression on a few of many systems, chosen one after the other.

    The system that lowers the training cost the most when it joins those chosen before is next, until the best gains
    less than `min_gain` of the cost. A system that would get a negative weight, or give one to another, does not join:
    on other data such differences of systems seldom hold.

    Args:
        prior: probability of a target where the scores will be used.
        max_systems: the most systems to choose.
        min_gain: the least share of the cost that another system must save.

    Attributes:
        chosen_: columns in the order of their choice.
        costs_: the training cost, in bits, after each choice.
        calibration_: the model of the chosen columns, in that order.
    """

    def __init__(self, prior: float = 0.5, max_systems: int = 10, min_gain: float = 0.01) -> None:
        if max_systems < 1 or not 0 <= min_gain < 1:
            raise ValueError("greedy fusion chooses one system or more, and the least gain lies between 0 and 1")
        self.prior = prior
        self.max_systems = max_systems
        self.min_gain = min_gain

    def fit(self, columns: ArrayLike, is_target: ArrayLike) -> GreedyFusion:
        """Chooses among columns (trials, systems) by labels (trials,).

        Raises:
            ValueError: as for `LogisticCalibration.fit`, or no system has scores that are higher for targets.
        """
        columns = np.asarray(columns, dtype=np.float64)
        self.chosen_: list[int] = []
        self.costs_: list[float] = []
        while len(self.chosen_) < self.max_systems:
            best: tuple[float, int, LogisticCalibration] | None = None
            for candidate in range(columns.shape[1]):
                if candidate in self.chosen_:
                    continue
                model = LogisticCalibration(self.prior).fit(columns[:, [*self.chosen_, candidate]], is_target)
                if model.weights_.min() > 0 and (best is None or model.cost_ < best[0]):
                    best = (model.cost_, candidate, model)
            if best is None or (self.costs_ and best[0] > (1 - self.min_gain) * self.costs_[-1]):
                break
            self.costs_.append(best[0])
            self.chosen_.append(best[1])
            self.calibration_ = best[2]
        if not self.chosen_:
            raise ValueError("no system's scores are higher for targets than for non-targets: look at the labels")
        return self

    def transform(self, columns: ArrayLike) -> np.ndarray:
        """Natural-log likelihood ratios (trials,) of columns (trials, systems), all systems as in training."""
        return self.calibration_.transform(np.asarray(columns)[:, self.chosen_])
