"""The cost of the log-likelihood ratio, before and after the best monotone calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.curve import TrialScores


def cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is what a score that is always 0 pays.

    Args:
        targets: natural-log likelihood ratios of same-speaker trials.
        nontargets: those of different-speaker trials.

    Raises:
        ValueError: a list is empty or holds NaN.

    Reference: Brümmer & du Preez, "Application-independent evaluation of speaker detection", 2006.
    """
    return cost_of_ratios(TrialScores(targets, nontargets))


def min_cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """`cllr` after the best non-decreasing map of the scores: what is lost to discrimination alone.

    The map comes from pooling adjacent violators on the same trials, without a prior count, so trials beyond all those
    of the other kind cost nothing.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    return least_cost_of_ratios(TrialScores(targets, nontargets))


def ratio_cost(ratios: np.ndarray) -> np.ndarray:
    """log2(1 + exp(ratio)): what each non-target trial pays; target trials pay that of the negated ratio."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp(0, ratios) / np.log(2)


def cost_of_ratios(scores: TrialScores) -> float:
    """`cllr` of sorted scores."""
    return float(ratio_cost(-scores.targets).mean() + ratio_cost(scores.nontargets).mean()) / 2


def least_cost_of_ratios(scores: TrialScores) -> float:
    """`min_cllr` of sorted scores."""
    rates = scores.rates
    num_targets, num_nontargets = np.diff(rates.misses[rates.hull]), -np.diff(rates.false_alarms[rates.hull])
    return pooled_cost(num_targets / rates.num_targets, num_nontargets / rates.num_nontargets)


def pooled_cost(target_share: np.ndarray, nontarget_share: np.ndarray) -> float:
    """Cllr where block i of the trials gets the ratio log(target_share[i] / nontarget_share[i]).

    Args:
        target_share: (blocks,) shares of all targets, summing to one.
        nontarget_share: (blocks,) shares of all non-targets.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        target_cost = np.where(target_share > 0, target_share * np.log2(1 + nontarget_share / target_share), 0)
        nontarget_cost = np.where(nontarget_share > 0, nontarget_share * np.log2(1 + target_share / nontarget_share), 0)
    return float(target_cost.sum() + nontarget_cost.sum()) / 2
