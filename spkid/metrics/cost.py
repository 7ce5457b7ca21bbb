"""The detection cost function of the NIST evaluations: the least possible, and the one paid at the stated prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.curve import TrialScores


@dataclass(frozen=True)
class OperatingPoint:
    """How probable a target trial is, and what the two errors cost.

    Attributes:
        p_target: prior probability of a target trial, between 0 and 1.
        c_miss: cost of a miss.
        c_fa: cost of a false alarm.

    Raises:
        ValueError: a cost or the prior is out of range.
    """

    p_target: float
    c_miss: float = 1.0
    c_fa: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p_target < 1:
            raise ValueError(f"p_target is {self.p_target:g}, but a prior probability lies between 0 and 1")
        if not (0 < self.c_miss < math.inf and 0 < self.c_fa < math.inf):
            raise ValueError(f"c_miss is {self.c_miss:g} and c_fa is {self.c_fa:g}, but costs are positive")

    @classmethod
    def parse(cls, text: str) -> OperatingPoint:
        """Reads `p`, or `p,c_miss,c_fa`. ValueError: anything else."""
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3):
            raise ValueError("a prior, or prior,cost-of-a-miss,cost-of-a-false-alarm is needed, for example 0.01,10,1")
        return cls(*numbers)

    @property
    def name(self) -> str:
        """`0.01`, or `0.01,10,1` where the costs are not both one."""
        costs = "" if self.c_miss == self.c_fa == 1 else f",{self.c_miss:g},{self.c_fa:g}"
        return f"{self.p_target:g}{costs}"

    @property
    def bayes_threshold(self) -> float:
        """The natural-log likelihood ratio from which accepting is the cheaper decision."""
        return math.log(self.c_fa * (1 - self.p_target) / (self.c_miss * self.p_target))

    @property
    def weights(self) -> tuple[float, float]:
        """What a miss rate and a false-alarm rate of one cost, in units of the cheaper decision without a score."""
        miss, false_alarm = self.c_miss * self.p_target, self.c_fa * (1 - self.p_target)
        return miss / min(miss, false_alarm), false_alarm / min(miss, false_alarm)


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
    return least_cost(TrialScores(targets, nontargets), OperatingPoint(p_target, c_miss, c_fa))


def act_dcf(targets: ArrayLike, nontargets: ArrayLike, p_target: float, c_miss: float = 1, c_fa: float = 1) -> float:
    """Normalised detection cost at the threshold that Bayes' rule gives for natural-log likelihood ratios.

    The threshold is log(c_fa (1-p) / (c_miss p)); the difference from `min_dcf` is what bad calibration costs.
    Arguments and errors as for `min_dcf`.
    """
    point = OperatingPoint(p_target, c_miss, c_fa)
    return cost_at(TrialScores(targets, nontargets), point, point.bayes_threshold)


def least_cost(scores: TrialScores, point: OperatingPoint) -> tuple[float, float]:
    """(least normalised cost over all thresholds, the lowest threshold that reaches it)."""
    miss_weight, false_alarm_weight = point.weights
    rates = scores.rates
    cost = rates.miss_rate
    cost *= miss_weight
    false_alarm_cost = rates.false_alarm_rate
    false_alarm_cost *= false_alarm_weight
    cost += false_alarm_cost
    best = int(np.argmin(cost))
    return float(cost[best]), float(rates.thresholds[best])


def cost_at(scores: TrialScores, point: OperatingPoint, threshold: float) -> float:
    """Normalised detection cost where trials at or above the threshold are accepted."""
    miss_weight, false_alarm_weight = point.weights
    miss, false_alarm = scores.rates_at(threshold)
    return float(miss_weight * miss + false_alarm_weight * false_alarm)
