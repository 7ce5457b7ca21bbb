"""How far scores are from being natural-log likelihood ratios: the numbers behind the calibration pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.curve import TrialScores

NUM_BINS = 24


def reliability(scores: TrialScores, num_bins: int = NUM_BINS) -> tuple[np.ndarray, np.ndarray]:
    """What scores say against what trials with such scores turn out to be.

    Args:
        scores: of both kinds of trial.
        num_bins: groups of neighbouring scores; each holds about the same share of targets and non-targets together,
            both kinds counting as a half of all.

    Returns:
        stated: (bins,) mean score of a group, finite scores only (none: no bins); both kinds count the same.
        observed: (bins,) log of (share of the targets in the group / share of the non-targets in it): equal to `stated`
            for log-likelihood ratios; +-inf where a group holds one kind alone.
    """
    kinds = [values[np.isfinite(values)] for values in (scores.targets, scores.nontargets)]
    steps = np.arange(1, num_bins) / num_bins
    edges = np.unique(_balanced_quantiles(kinds, steps))
    counts, sums = [], []
    for values in kinds:
        group = np.searchsorted(edges, values, side="right")
        share = 1 / max(values.size, 1)
        counts.append(share * np.bincount(group, minlength=edges.size + 1))
        sums.append(share * np.bincount(group, weights=values, minlength=edges.size + 1))
    used = counts[0] + counts[1] > 0
    target_share, nontarget_share = counts[0][used], counts[1][used]
    stated = (sums[0] + sums[1])[used] / (target_share + nontarget_share)
    with np.errstate(divide="ignore"):
        return stated, np.log(target_share) - np.log(nontarget_share)


def bayes_errors(scores: TrialScores, log_odds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Normalised Bayes error of scores taken as log-likelihood ratios, and the least over all thresholds.

    Args:
        scores: of both kinds of trial.
        log_odds: (points,) natural logs of p / (1 - p), p the prior probability of a target trial. A point with costs
            stands at log(c_miss p / (c_fa (1 - p))).

    Returns:
        actual, least: (points,) (p miss + (1 - p) false alarm) / min(p, 1 - p).
    """
    log_odds = np.asarray(log_odds, dtype=np.float64)
    # over min(p, 1 - p), without ever forming 1 - p
    miss_weight, false_alarm_weight = np.exp(np.maximum(log_odds, 0)), np.exp(np.maximum(-log_odds, 0))
    miss, false_alarm = scores.rates_at(-log_odds)
    actual = miss_weight * miss + false_alarm_weight * false_alarm
    rates = scores.rates
    corners = rates.hull
    miss = (rates.misses[corners] / rates.num_targets)[:, None]
    false_alarm = (rates.false_alarms[corners] / rates.num_nontargets)[:, None]
    least = np.full(log_odds.shape, np.inf)
    for start in range(0, corners.size, 4096):  # bounds the memory of a table of corners and points
        part = slice(start, start + 4096)
        cost = miss_weight * miss[part] + false_alarm_weight * false_alarm[part]
        least = np.minimum(least, cost.min(axis=0))
    return actual, least


def _balanced_quantiles(kinds: list[np.ndarray], steps: np.ndarray) -> np.ndarray:
    # Quantiles of the mixture of both kinds, each with weight one half: bisection on its distribution function.
    kinds = [values for values in kinds if values.size]
    if not kinds:
        return np.zeros(0)
    low = np.full(steps.size, min(values[0] for values in kinds))
    high = np.full(steps.size, max(values[-1] for values in kinds))
    for _ in range(60):
        middle = low + (high - low) / 2
        below = np.mean([np.searchsorted(values, middle, side="right") / values.size for values in kinds], axis=0)
        low, high = np.where(below < steps, middle, low), np.where(below < steps, high, middle)
    return high
