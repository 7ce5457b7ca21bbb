"""The numbers of one evaluation: a dictionary for results.json and the line for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from spkid.metrics.bootstrap import Replicates, interval
from spkid.metrics.cllr import cost_of_ratios, least_cost_of_ratios
from spkid.metrics.cost import OperatingPoint, cost_at, least_cost
from spkid.metrics.curve import TrialScores
from spkid.metrics.decision import UNIT_GRID, threshold_grid
from spkid.metrics.eer import DEFINITIONS

COMMON_POINTS = (OperatingPoint(0.01), OperatingPoint(0.05))
LEVEL = 0.95


def summarize(
    targets: ArrayLike | TrialScores,
    nontargets: ArrayLike | None = None,
    points: Sequence[OperatingPoint] = COMMON_POINTS,
) -> dict[str, Any]:
    """Every measure of one list of scores, as JSON values; rates are fractions.

    Args:
        targets: scores of same-speaker trials, or the scores of both kinds.
        nontargets: scores of different-speaker trials.
        points: priors and costs of the detection costs.

    Returns:
        `eer` and `eer_threshold` (Kaldi's definition), `eer_by_definition` (`grid` for scores within -1 and 1 alone),
        `min_dcf` by `OperatingPoint.name` with its threshold (None where to accept nothing, or everything, is best),
        `min_cllr`; `best_f_measure` over a grid of thresholds; under `as_log_likelihood_ratios`, what the scores cost
        if they are taken as natural-log likelihood ratios: `cllr` and `act_dcf` by point.

    Raises:
        ValueError: a list is empty or holds NaN.
    """
    scores = targets if isinstance(targets, TrialScores) else TrialScores(targets, nontargets)
    grid = threshold_grid(scores)
    fits = grid.thresholds is UNIT_GRID  # else the definition by these thresholds says nothing
    by_definition = {name: measure(scores) for name, measure in DEFINITIONS.items() if name != "grid" or fits}
    rate, threshold = by_definition["kaldi"]
    return {
        "eer": rate,
        "eer_threshold": finite(threshold),
        "eer_by_definition": {name: found for name, (found, _) in by_definition.items()},
        "min_dcf": {point.name: _least(scores, point) for point in points},
        "min_cllr": least_cost_of_ratios(scores),
        "best_f_measure": grid.row(grid.best),
        "as_log_likelihood_ratios": {
            "cllr": finite(cost_of_ratios(scores)),
            "act_dcf": {point.name: cost_at(scores, point, point.bayes_threshold) for point in points},
        },
    }


def summarize_replicates(replicates: Replicates, number: int, seed: int) -> dict[str, Any]:
    """The intervals of a bootstrap over speakers, as JSON values: each measure's [low, high], named as in `summarize`.

    Args:
        replicates: what `bootstrap` returned.
        number: how many replicates were asked for.
        seed: of the draw.
    """
    return {
        "method": "percentiles of a bootstrap over speakers",
        "level": LEVEL,
        "replicates": number,
        "undefined": replicates.num_undefined,
        "seed": seed,
        "speakers": replicates.num_speakers,
        "eer": _ends(replicates.eer),
        "min_dcf": {point.name: _ends(values) for point, values in replicates.min_dcf.items()},
        "threshold": {point.name: _ends(values) for point, values in replicates.thresholds.items()},
        "min_cllr": _ends(replicates.min_cllr),
        "as_log_likelihood_ratios": {
            "cllr": _ends(replicates.cllr),
            "act_dcf": {point.name: _ends(values) for point, values in replicates.act_dcf.items()},
        },
    }


def summary_line(results: dict[str, Any], num_trials: int, num_targets: int) -> str:
    """The line for the terminal: `EER 3.21% | minDCF(.01) 0.234 | minDCF(.05) 0.123 | 23951 trials (900 target)`."""
    costs = [f"minDCF({point.lstrip('0')}) {cost['value']:.3f}" for point, cost in results["min_dcf"].items()]
    return " | ".join([f"EER {100 * results['eer']:.2f}%", *costs, f"{num_trials} trials ({num_targets} target)"])


def finite(value: float) -> float | None:
    """The value, or None: JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def _least(scores: TrialScores, point: OperatingPoint) -> dict[str, Any]:
    cost, threshold = least_cost(scores, point)
    return {"value": cost, "threshold": finite(threshold)}


def _ends(values: Any) -> list[float | None]:
    return [finite(end) for end in interval(values)]
