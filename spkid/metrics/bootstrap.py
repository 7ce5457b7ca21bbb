"""Confidence intervals by resampling speakers, the units that trials depend on.

A replicate draws as many speakers as there are, with replacement. A non-target trial then weighs the product of its two
speakers' counts, a target trial its speaker's count. Trials are sorted once: in a replicate only the weights behind the
sorted thresholds change, so that replicates are products of sparse matrices of trials with the speakers' counts.

Reference: Poh & Bengio, "Estimating the confidence interval of expected performance curve in biometric authentication
using joint bootstrap", 2007; Davison & Hinkley, "Bootstrap methods and their application", 1997 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.cllr import pooled_cost, ratio_cost
from spkid.metrics.cost import OperatingPoint

MAX_ELEMENTS = 1 << 22  # of the largest array of one group of replicates: 32 MB
MAX_AT_ONCE = 64
MIN_SPEAKERS = 3


@dataclass(frozen=True)
class Replicates:
    """Measures of every replicate, each (replicates,); see `bootstrap`.

    Attributes:
        eer: equal error rate, Kaldi's definition.
        min_dcf, act_dcf: by operating point.
        thresholds: by operating point, the threshold that costs least; +inf where accepting nothing does.
        cllr, min_cllr: cost of the log-likelihood ratio as it is, and after the best monotone map.
        num_speakers: how many were resampled.
        num_undefined: replicates left out because no target or no non-target trial was left in them.
    """

    eer: np.ndarray
    min_dcf: dict[OperatingPoint, np.ndarray]
    act_dcf: dict[OperatingPoint, np.ndarray]
    thresholds: dict[OperatingPoint, np.ndarray]
    cllr: np.ndarray
    min_cllr: np.ndarray
    num_speakers: int
    num_undefined: int


def bootstrap(
    targets: ArrayLike,
    nontargets: ArrayLike,
    target_speakers: ArrayLike,
    nontarget_speakers: ArrayLike,
    points: Sequence[OperatingPoint],
    replicates: int = 1000,
    seed: int = 0,
) -> Replicates:
    """Measures under resampled speakers.

    Args:
        targets: (targets,) scores of same-speaker trials.
        nontargets: (nontargets,) scores of different-speaker trials.
        target_speakers: (targets,) the speaker of each, an integer code from 0 on.
        nontarget_speakers: (nontargets, 2) both speakers of each.
        points: priors and costs of the detection costs.
        replicates: how many times speakers are drawn.
        seed: the same seed draws the same, whatever the memory bound.

    Raises:
        ValueError: a list is empty, scores and speakers do not match, a score is NaN, a non-target trial is of one
            speaker, there are fewer than three speakers, or `replicates` is not positive.
    """
    trials = _SortedTrials(targets, nontargets, target_speakers, nontarget_speakers, points)
    if replicates < 1:
        raise ValueError(f"{replicates} replicates are no bootstrap")
    random = np.random.default_rng(seed)
    at_once = int(np.clip(MAX_ELEMENTS // trials.largest, 1, MAX_AT_ONCE))
    parts = []
    for start in range(0, replicates, at_once):
        number = min(at_once, replicates - start)
        probabilities = np.full(trials.num_speakers, 1 / trials.num_speakers)
        counts = random.multinomial(trials.num_speakers, probabilities, size=number)
        parts.append(trials.measure(counts.T.astype(np.float64)))
    merged = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}

    def by_point(name: str) -> dict[OperatingPoint, np.ndarray]:
        return dict(zip(points, merged[name], strict=True))

    return Replicates(
        eer=merged["eer"],
        min_dcf=by_point("min_dcf"),
        act_dcf=by_point("act_dcf"),
        thresholds=by_point("thresholds"),
        cllr=merged["cllr"],
        min_cllr=merged["min_cllr"],
        num_speakers=trials.num_speakers,
        num_undefined=replicates - merged["eer"].size,
    )


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of the replicates: a percentile interval. Infinite ends stay infinite; (NaN, NaN) of none."""
    if not values.size:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    # A value of the sample at either end, since a mean with infinity is none.
    low = np.quantile(values, tail, method="lower")
    high = np.quantile(values, 1 - tail, method="higher")
    return float(low), float(high)


class _SortedTrials:
    """Trials gathered between the distinct target scores, where alone the least cost and the equal error can lie.

    Point k of the curve accepts from the k-th distinct target score on, the last point accepts nothing. `spans` row k
    holds non-targets accepted at point k - 1 and not at point k (row 0: those below all targets), by pair of speakers.
    """

    def __init__(
        self,
        targets: ArrayLike,
        nontargets: ArrayLike,
        target_speakers: ArrayLike,
        nontarget_speakers: ArrayLike,
        points: Sequence[OperatingPoint],
    ) -> None:
        from scipy.sparse import csr_array

        targets, nontargets, target_speakers, pairs, self.num_speakers = _checked(
            targets, nontargets, target_speakers, nontarget_speakers
        )
        self.points = points
        self.thresholds, group = np.unique(targets, return_inverse=True)
        bayes = np.array([point.bayes_threshold for point in points])
        # by distinct target score and speaker: how many target trials
        shape = self.thresholds.size, self.num_speakers
        self.groups = csr_array((np.ones(group.size), (group, target_speakers)), shape=shape)
        self.target_costs = np.stack(
            [np.bincount(target_speakers, weights=values, minlength=self.num_speakers) for values in
             (np.ones(targets.size), ratio_cost(-targets), *(targets < threshold for threshold in bayes))]
        )  # fmt: skip
        pair_codes, pair = np.unique(pairs[:, 0] * self.num_speakers + pairs[:, 1], return_inverse=True)
        self.first, self.second = np.divmod(pair_codes, self.num_speakers)
        span = np.searchsorted(self.thresholds, nontargets, side="right")
        shape = self.thresholds.size + 1, pair_codes.size
        self.spans = csr_array((np.ones(span.size), (span, pair)), shape=shape)
        self.nontarget_costs = np.stack(
            [np.bincount(pair, weights=values, minlength=pair_codes.size) for values in
             (np.ones(nontargets.size), ratio_cost(nontargets), *(nontargets >= threshold for threshold in bayes))]
        )  # fmt: skip
        self.largest = max(self.spans.shape)

    def measure(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Every measure of the replicates with these counts (speakers, replicates); undefined ones are left out."""
        weights = counts[self.first] * counts[self.second]
        with np.errstate(invalid="ignore"):  # 0 x inf: a speaker who was not drawn, with an infinite score
            target_sums, nontarget_sums = self.target_costs @ counts, self.nontarget_costs @ weights
        defined = (target_sums[0] > 0) & (nontarget_sums[0] > 0)
        counts, weights = counts[:, defined], weights[:, defined]
        target_sums, nontarget_sums = target_sums[:, defined], nontarget_sums[:, defined]
        num_targets, num_nontargets = target_sums[0], nontarget_sums[0]
        in_group, in_span = self.groups @ counts, self.spans @ weights
        missed = _cumulated(in_group)
        alarms = num_nontargets - np.cumsum(in_span, axis=0)  # integers, so the last row is exactly zero
        miss, alarm = missed / num_targets, alarms / num_nontargets
        least, thresholds, actual = [], [], []
        for index, point in enumerate(self.points):
            miss_weight, alarm_weight = point.weights
            cost = miss_weight * miss + alarm_weight * alarm
            best = np.argmin(cost, axis=0)
            least.append(np.take_along_axis(cost, best[None], axis=0)[0])
            thresholds.append(np.append(self.thresholds, np.inf)[best])
            miss_at, alarm_at = target_sums[2 + index] / num_targets, nontarget_sums[2 + index] / num_nontargets
            actual.append(miss_weight * miss_at + alarm_weight * alarm_at)
        return {
            "eer": _kaldi_eer(missed, alarms, num_targets, num_nontargets),
            "min_dcf": np.reshape(least, (len(self.points), counts.shape[1])),
            "thresholds": np.reshape(thresholds, (len(self.points), counts.shape[1])),
            "act_dcf": np.reshape(actual, (len(self.points), counts.shape[1])),
            "cllr": (target_sums[1] / num_targets + nontarget_sums[1] / num_nontargets) / 2,
            "min_cllr": np.array([_min_cllr(*columns) for columns in _columns(in_group, in_span)]),
        }


def _checked(
    targets: ArrayLike, nontargets: ArrayLike, target_speakers: ArrayLike, nontarget_speakers: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """The arguments of `bootstrap` as arrays, speakers numbered without gaps, pairs in ascending order."""
    targets, nontargets = (np.asarray(values, dtype=np.float64).ravel() for values in (targets, nontargets))
    target_speakers = np.asarray(target_speakers, dtype=np.int64).ravel()
    pairs = np.asarray(nontarget_speakers, dtype=np.int64).reshape(-1, 2)
    if not (targets.size and nontargets.size):
        raise ValueError("there are no scores of one kind, and error rates need target as well as non-target trials")
    if np.isnan(targets).any() or np.isnan(nontargets).any():
        raise ValueError("scores are NaN: look at the vectors that were scored")
    if target_speakers.size != targets.size or len(pairs) != nontargets.size:
        raise ValueError(
            f"there are speakers of {target_speakers.size} target and {len(pairs)} non-target trials, "
            f"and scores of {targets.size} and {nontargets.size}"
        )
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise ValueError("a non-target trial has the same speaker on both sides: labels and speakers contradict")
    used, codes = np.unique(np.concatenate((target_speakers, pairs.ravel())), return_inverse=True)
    if used.size < MIN_SPEAKERS:
        raise ValueError(f"{used.size} speakers are too few to resample: intervals need three or more")
    pairs = np.sort(codes[targets.size :].reshape(-1, 2), axis=1)
    return targets, nontargets, codes[: targets.size], pairs, used.size


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Sums of the rows above each row, one row longer."""
    out = np.zeros((values.shape[0] + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=out[1:])
    return out


def _kaldi_eer(
    missed: np.ndarray, alarms: np.ndarray, num_targets: np.ndarray, num_nontargets: np.ndarray
) -> np.ndarray:
    """Kaldi's equal error rate of trials written out as often as they weigh, per column.

    Position p of the targets written out is the first with as small a share of non-targets at or above it as the share
    p of targets below. Targets of one score stand at positions missed[k] ... missed[k + 1] - 1.
    """
    position = np.maximum(missed[:-1], np.ceil(alarms[:-1] * num_targets / num_nontargets))
    found = position <= missed[1:] - 1
    first = np.argmax(found, axis=0)
    reached = np.take_along_axis(position, first[None], axis=0)[0]
    return np.where(found.any(axis=0), reached, num_targets - 1) / num_targets


def _columns(in_group: np.ndarray, in_span: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for column in range(in_group.shape[1]):
        yield np.concatenate(([0.0], in_group[:, column])), in_span[:, column]


def _min_cllr(target_weight: np.ndarray, nontarget_weight: np.ndarray) -> float:
    """`min_cllr` of trials gathered in bins of ascending score."""
    from scipy.optimize import isotonic_regression

    weight = target_weight + nontarget_weight
    used = weight > 0
    target_weight, nontarget_weight, weight = target_weight[used], nontarget_weight[used], weight[used]
    blocks = isotonic_regression(target_weight / weight, weights=weight).blocks[:-1]
    target_share = np.add.reduceat(target_weight, blocks) / target_weight.sum()
    return pooled_cost(target_share, np.add.reduceat(nontarget_weight, blocks) / nontarget_weight.sum())
