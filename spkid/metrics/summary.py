"""The numbers of one evaluation: a dictionary for results.json and the line for the terminal."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from spkid.metrics.cllr import cllr, min_cllr
from spkid.metrics.cost import act_dcf, min_dcf_point
from spkid.metrics.curve import sorted_scores
from spkid.metrics.eer import DEFINITIONS, eer

P_TARGETS = (0.01, 0.05)


def summarize(targets: ArrayLike, nontargets: ArrayLike) -> dict[str, Any]:
    """Every measure of one list of scores, as JSON values; rates are fractions.

    Args:
        targets: scores of same-speaker trials.
        nontargets: scores of different-speaker trials.

    Returns:
        `eer` and `eer_threshold` (Kaldi's definition), `eer_by_definition`, `min_dcf` by prior with its threshold (None
        where to accept nothing, or everything, is best), `min_cllr`; under `as_log_likelihood_ratios`, what the scores
        cost if they are taken as natural-log likelihood ratios: `cllr` and `act_dcf` by prior.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    targets, nontargets = sorted_scores(targets, nontargets)
    rate, threshold = eer(targets, nontargets)
    minima = {p_target: min_dcf_point(targets, nontargets, p_target) for p_target in P_TARGETS}
    return {
        "eer": rate,
        "eer_threshold": _finite(threshold),
        "eer_by_definition": {name: eer(targets, nontargets, name)[0] for name in DEFINITIONS if name != "grid"},
        "min_dcf": {
            f"{p_target:g}": {"value": cost, "threshold": _finite(at)} for p_target, (cost, at) in minima.items()
        },
        "min_cllr": min_cllr(targets, nontargets),
        "as_log_likelihood_ratios": {
            "cllr": _finite(cllr(targets, nontargets)),
            "act_dcf": {f"{p_target:g}": act_dcf(targets, nontargets, p_target) for p_target in P_TARGETS},
        },
    }


def _finite(value: float) -> float | None:
    # JSON has no infinity
    return value if math.isfinite(value) else None


def summary_line(results: dict[str, Any], num_trials: int, num_targets: int) -> str:
    """The line for the terminal: `EER 3.21% | minDCF(.01) 0.234 | minDCF(.05) 0.123 | 23951 trials (900 target)`."""
    costs = [f"minDCF({prior.lstrip('0')}) {cost['value']:.3f}" for prior, cost in results["min_dcf"].items()]
    return " | ".join([f"EER {100 * results['eer']:.2f}%", *costs, f"{num_trials} trials ({num_targets} target)"])
