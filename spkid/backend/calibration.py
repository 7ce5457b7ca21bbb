"""Scores made log-likelihood ratios by logistic regression, alone or several systems and quality measures together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

MAX_ITERATIONS = 200
RIDGE = 1e-6


def logistic_cost(llrs: ArrayLike, is_target: ArrayLike, prior: float = 0.5) -> float:
    """Cross entropy of decisions at a prior, in bits, with targets and non-targets weighted by the prior alone.

    At a prior of 0.5 it is Cllr (Brummer, du Preez, "Application-independent evaluation of speaker detection", 2006).

    Args:
        llrs: (trials,) natural-log likelihood ratios.
        is_target: (trials,) bool.
        prior: probability of a target.

    Raises:
        ValueError: the shapes differ, there are no targets or no non-targets, or the prior is not between 0 and 1.
    """
    llrs, is_target = np.asarray(llrs, dtype=np.float64), np.asarray(is_target, dtype=bool)
    weights = _weights(llrs.reshape(-1, 1), is_target, prior)
    signs = np.where(is_target, -1.0, 1.0)
    return float(weights @ np.logaddexp(0, signs * (llrs + np.log(prior / (1 - prior)))) / np.log(2))


class LogisticCalibration:
    """Logistic regression with a stated prior: a weighted sum of columns and an offset, that is a log-likelihood ratio.

    Columns are the scores of one system (calibration), of several (fusion), and measures of quality. Targets count by
    the prior and non-targets by the rest, however many trials there are of each (Brummer et al., "Fusion of
    heterogeneous speaker recognition systems in the STBU submission", 2007). The minimum is found by Newton's method:
    the cost is convex and has few parameters.

    Args:
        prior: probability of a target where the scores will be used.

    Attributes:
        weights_: (columns,).
        offset_: float.
        cost_: `logistic_cost` of the training trials, in bits.
        is_separable_: whether the training trials can be told apart without an error. The best weights are then
            infinite; a tiny penalty on the weights of standardised columns keeps them finite, and the ratios are as
            overconfident as the training trials were easy.
    """

    def __init__(self, prior: float = 0.5) -> None:
        if not 0 < prior < 1:
            raise ValueError(f"a prior lies between 0 and 1, and {prior:g} does not")
        self.prior = prior

    def fit(self, columns: ArrayLike, is_target: ArrayLike) -> LogisticCalibration:
        """Trains on columns (trials,) or (trials, columns) and labels (trials,).

        Raises:
            ValueError: not finite, the shapes disagree, or there are no targets or no non-targets.
        """
        columns = _as_columns(columns)
        is_target = np.asarray(is_target, dtype=bool)
        weights = _weights(columns, is_target, self.prior)
        centre = weights @ columns
        scale = np.sqrt(weights @ np.square(columns - centre))
        constant = scale <= 1e-12 * np.maximum(np.abs(centre), np.finfo(float).tiny)
        scale = np.where(constant, 1.0, scale)
        design = np.column_stack(((columns - centre) / scale, np.ones(len(columns))))
        design[:, :-1][:, constant] = 0.0
        solution = _minimum(design, np.where(is_target, -1.0, 1.0), weights, np.log(self.prior / (1 - self.prior)))
        self.weights_ = solution[:-1] / scale
        self.offset_ = float(solution[-1] - self.weights_ @ centre)
        llrs = self.transform(columns)
        self.cost_ = logistic_cost(llrs, is_target, self.prior)
        self.is_separable_ = bool(llrs[is_target].min() > llrs[~is_target].max())
        return self

    def transform(self, columns: ArrayLike) -> np.ndarray:
        """Natural-log likelihood ratios (trials,) of columns as in training.

        Raises:
            ValueError: not finite, or another number of columns.
        """
        columns = _as_columns(columns)
        if columns.shape[1] != self.weights_.size:
            raise ValueError(
                f"the calibration was trained on {self.weights_.size} columns, these are {columns.shape[1]}"
            )
        return columns @ self.weights_ + self.offset_

    def describe(self, names: Sequence[str]) -> dict[str, object]:
        """The model in words and numbers, for a file; `names` are those of the columns."""
        return {
            "prior": self.prior,
            "weights": dict(zip(names, self.weights_.tolist(), strict=True)),
            "offset": self.offset_,
            "training_cost_bits": self.cost_,
        }


def _as_columns(columns: ArrayLike) -> np.ndarray:
    columns = np.asarray(columns, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or not np.isfinite(columns).all():
        raise ValueError("calibration takes finite scores (trials,) or (trials, columns)")
    return columns


def _weights(columns: np.ndarray, is_target: np.ndarray, prior: float) -> np.ndarray:
    """(trials,), prior / targets or (1 - prior) / non-targets each."""
    if not 0 < prior < 1:
        raise ValueError(f"a prior lies between 0 and 1, and {prior:g} does not")
    if is_target.shape != columns.shape[:1]:
        raise ValueError(f"calibration takes one label a trial: {is_target.size} labels for {len(columns)} trials")
    targets = int(np.count_nonzero(is_target))
    if not 0 < targets < is_target.size:
        raise ValueError(
            f"calibration needs target and non-target trials, and there are {targets} and {is_target.size - targets}"
        )
    return np.where(is_target, prior / targets, (1 - prior) / (is_target.size - targets))


def _minimum(design: np.ndarray, signs: np.ndarray, weights: np.ndarray, log_odds: float) -> np.ndarray:
    """argmin over w of sum weights log(1 + exp(signs (design w + log_odds))) + RIDGE |w without the offset|^2 / 2."""
    ridge = np.full(design.shape[1], RIDGE)
    ridge[-1] = 0
    solution = np.zeros(design.shape[1])

    def cost(candidate: np.ndarray) -> float:
        return weights @ np.logaddexp(0, signs * (design @ candidate + log_odds)) + ridge @ np.square(candidate) / 2

    current = cost(solution)
    for _ in range(MAX_ITERATIONS):
        margins = signs * (design @ solution + log_odds)
        wrong = 0.5 * (1 + np.tanh(margins / 2))  # the logistic function, without overflow
        gradient = design.T @ (weights * signs * wrong) + ridge * solution
        curvature = weights * wrong * (1 - wrong)
        hessian = (design * curvature[:, None]).T @ design
        hessian[np.diag_indices(ridge.size)] += np.maximum(ridge, 1e-12)
        step = np.linalg.solve(hessian, gradient)
        decrease = gradient @ step
        if decrease <= 1e-14:
            break
        length = 1.0
        while length > 1e-10:  # far from the minimum a whole step may overshoot
            candidate = solution - length * step
            reached = cost(candidate)
            if reached <= current - 0.1 * length * decrease:
                break
            length /= 2
        else:
            break
        solution, current = candidate, reached
    return solution
