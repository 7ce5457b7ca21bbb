"""The cost of the log-likelihood ratio, before and after the best monotone calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.curve import ErrorRates, error_rates, sorted_scores


def cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is what a score that is always 0 pays.

    Args:
        targets: natural-log likelihood ratios of same-speaker trials.
        nontargets: those of different-speaker trials.

    Raises:
        ValueError: a list is empty or holds NaN.

    Reference: Brümmer & du Preez, "Application-independent evaluation of speaker detection", 2006.
    """
    targets, nontargets = sorted_scores(targets, nontargets)
    return float(np.logaddexp(0, -targets).mean() + np.logaddexp(0, nontargets).mean()) / (2 * np.log(2))


def min_cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """`cllr` after the best non-decreasing map of the scores: what is lost to discrimination alone.

    The map comes from pooling adjacent violators on the same trials, without a prior count, so trials beyond all those
    of the other kind cost nothing.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    rates = error_rates(targets, nontargets)
    blocks = pool_adjacent_violators(rates)
    num_targets = np.diff(np.append(rates.misses[blocks], rates.num_targets))
    num_nontargets = -np.diff(np.append(rates.false_alarms[blocks], 0))
    # a block's likelihood ratio is (share of the targets in it) / (share of the non-targets in it)
    target_share = num_targets / rates.num_targets
    nontarget_share = num_nontargets / rates.num_nontargets
    with np.errstate(divide="ignore", invalid="ignore"):
        target_cost = np.where(num_targets > 0, target_share * np.log2(1 + nontarget_share / target_share), 0)
        nontarget_cost = np.where(num_nontargets > 0, nontarget_share * np.log2(1 + target_share / nontarget_share), 0)
    return float(target_cost.sum() + nontarget_cost.sum()) / 2


def pool_adjacent_violators(rates: ErrorRates) -> np.ndarray:
    """Blocks of neighbouring scores over which isotonic regression makes the share of targets constant.

    Args:
        rates: error rates at every distinct score.

    Returns:
        (blocks,) ascending indices into `rates.thresholds`: the first point of each block. Between two of them runs one
        segment of the convex hull of the ROC.
    """
    from scipy.optimize import isotonic_regression  # kept out of the start-up of the small tools

    num_targets = np.diff(rates.misses)
    num_trials = num_targets - np.diff(rates.false_alarms)
    pooled = isotonic_regression(num_targets / num_trials, weights=num_trials)
    return pooled.blocks[:-1].astype(np.int64)
