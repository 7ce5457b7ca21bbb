"""The detection cost function of the NIST evaluations: the least possible, and the one paid at the stated prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.curve import error_rates, sorted_scores


def min_dcf(targets: ArrayLike, nontargets: ArrayLike, p_target: float, c_miss: float = 1, c_fa: float = 1) -> float:
    """Least normalised detection cost over all thresholds.

    Args:
        targets: scores of same-speaker trials, any shape, higher means more alike.
        nontargets: scores of different-speaker trials.
        p_target: prior probability of a target trial, between 0 and 1.
        c_miss: cost of a miss.
        c_fa: cost of a false alarm.

    Returns:
        min over thresholds of (c_miss p miss + c_fa (1-p) false alarm) / min(c_miss p, c_fa (1-p)): 1 is what a system
        without any score pays.

    Raises:
        ValueError: a list is empty, a score is NaN, or a cost or the prior is out of range.

    Reference: NIST SRE 2008 and 2016 evaluation plans.
    """
    return min_dcf_point(targets, nontargets, p_target, c_miss, c_fa)[0]


def min_dcf_point(
    targets: ArrayLike, nontargets: ArrayLike, p_target: float, c_miss: float = 1, c_fa: float = 1
) -> tuple[float, float]:
    """(`min_dcf`, the lowest threshold that reaches it); arguments and errors as for `min_dcf`."""
    miss_weight, false_alarm_weight = _weights(p_target, c_miss, c_fa)
    rates = error_rates(targets, nontargets)
    cost = miss_weight * rates.miss_rate + false_alarm_weight * rates.false_alarm_rate
    best = int(np.argmin(cost))
    return float(cost[best]), float(rates.thresholds[best])


def act_dcf(targets: ArrayLike, nontargets: ArrayLike, p_target: float, c_miss: float = 1, c_fa: float = 1) -> float:
    """Normalised detection cost at the threshold that Bayes' rule gives for natural-log likelihood ratios.

    The threshold is log(c_fa (1-p) / (c_miss p)); the difference from `min_dcf` is what bad calibration costs.
    Arguments and errors as for `min_dcf`.
    """
    miss_weight, false_alarm_weight = _weights(p_target, c_miss, c_fa)
    targets, nontargets = sorted_scores(targets, nontargets)
    threshold = np.log(c_fa * (1 - p_target) / (c_miss * p_target))
    miss = np.searchsorted(targets, threshold, side="left") / targets.size
    false_alarm = 1 - np.searchsorted(nontargets, threshold, side="left") / nontargets.size
    return float(miss_weight * miss + false_alarm_weight * false_alarm)


def _weights(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    if not 0 < p_target < 1:
        raise ValueError(f"p_target is {p_target:g}, but a prior probability lies between 0 and 1")
    if not (c_miss > 0 and c_fa > 0):
        raise ValueError(f"c_miss is {c_miss:g} and c_fa is {c_fa:g}, but costs are positive")
    normaliser = min(c_miss * p_target, c_fa * (1 - p_target))
    return c_miss * p_target / normaliser, c_fa * (1 - p_target) / normaliser
