"""Pictures of a detector: DET and ROC curves and the histogram of its scores, as PNG files.

matplotlib is imported by the functions, draws without a display, and keeps no global state (no pyplot).
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.cost import min_dcf_point
from spkid.metrics.curve import ErrorRates, error_rates, sorted_scores
from spkid.metrics.eer import eer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by every eye
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TARGET_COLOUR, NONTARGET_COLOUR = "#0072B2", "#D55E00"
QUIET = "#6b7280"
DET_TICKS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
MAX_POINTS = 20000
Scores = tuple[ArrayLike, ArrayLike]


def plot_det(
    file: str | os.PathLike | BinaryIO,
    systems: Mapping[str, Scores],
    title: str = "",
    p_targets: tuple[float, ...] = (0.01, 0.05),
) -> None:
    """Detection error tradeoff: miss against false-alarm rate on normal-deviate axes, EER and minDCF points marked.

    Args:
        file: a path, or a binary stream.
        systems: (target scores, non-target scores) by name; one curve each.
        title: the line above the picture.
        p_targets: priors whose least-cost points are marked.

    Raises:
        ValueError: a list of scores is empty or holds NaN.

    Reference: Martin et al., "The DET curve in assessment of detection task performance", 1997.
    """
    from scipy.special import ndtri

    figure, axes = _figure(title)
    curves = [_DetCurve(name, scores, p_targets) for name, scores in systems.items()]
    low = min(0.02, max((tick for tick in DET_TICKS if tick <= min(curve.smallest for curve in curves)), default=1e-4))
    worst = min(max(curve.worst for curve in curves), 0.95)
    high = next(limit for limit in (0.45, 0.65, 0.85, 0.95) if limit >= worst)

    def place(rate: ArrayLike) -> np.ndarray:
        return ndtri(np.clip(rate, low, 1 - low))

    axes.plot(place([low, high]), place([low, high]), color=QUIET, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    for colour, curve in zip(_colours(len(curves)), curves, strict=True):
        label = f"{curve.name}  EER {_percent(curve.eer)}"
        axes.plot(place(curve.false_alarm), place(curve.miss), color=colour, linewidth=1.8, label=label, zorder=3)
        for marker, (label, false_alarm, miss) in zip("sDv^", curve.marks, strict=False):
            false_alarm, miss = min(false_alarm, high), min(miss, high)  # "accept nothing" is drawn on the border
            style = {"color": "white", "markeredgecolor": colour, "markeredgewidth": 1.4, "markersize": 6}
            axes.plot(
                place(false_alarm), place(miss), marker, label=label, linestyle="none", clip_on=False, zorder=4, **style
            )
        axes.plot(
            place(curve.eer), place(curve.eer), "o", color=colour, markersize=7, markeredgecolor="white", zorder=5
        )
    ticks = [tick for tick in DET_TICKS if low <= tick <= high]
    spacing = 0.06 * float(place(high) - place(low))  # closer labels would touch
    labelled = [ticks[0]]
    for tick in ticks[1:]:
        if place(tick) - place(labelled[-1]) >= spacing:
            labelled.append(tick)
    for axis, set_limits in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
        axis.set_ticks(place(labelled), [f"{100 * tick:g}" for tick in labelled])
        set_limits(*place([low, high]))
    axes.set_aspect("equal")
    axes.set_xlabel("false alarms among non-target trials (%)")
    axes.set_ylabel("misses among target trials (%)")
    _finish(figure, axes, file, legend="upper right")


def plot_roc(file: str | os.PathLike | BinaryIO, systems: Mapping[str, Scores], title: str = "") -> None:
    """Receiver operating characteristic, the point of equal errors marked; arguments and errors as for `plot_det`."""
    figure, axes = _figure(title)
    axes.plot([0, 1], [1, 0], color=QUIET, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    for colour, (name, scores) in zip(_colours(len(systems)), systems.items(), strict=True):
        false_alarm, miss = _corners(error_rates(*scores))
        rate, _ = eer(*scores, definition="brentq")
        axes.plot(false_alarm, 1 - miss, color=colour, linewidth=1.8, label=f"{name}  EER {_percent(rate)}", zorder=3)
        axes.plot(rate, 1 - rate, "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.set_aspect("equal")
    axes.set_xlabel("false alarms among non-target trials")
    axes.set_ylabel("hits among target trials")
    _finish(figure, axes, file, legend="lower right")


def plot_scores(
    file: str | os.PathLike | BinaryIO,
    targets: ArrayLike,
    nontargets: ArrayLike,
    threshold: float,
    title: str = "",
    label: str = "threshold",
) -> None:
    """Histograms of both kinds of score, each of area one, and the threshold between them.

    Args:
        file: a path, or a binary stream.
        targets: scores of same-speaker trials.
        nontargets: scores of different-speaker trials.
        threshold: where a vertical line is drawn.
        title: the line above the picture.
        label: what the line is.

    Raises:
        ValueError: a list of scores is empty or holds NaN.
    """
    targets, nontargets = sorted_scores(targets, nontargets)
    figure, axes = _figure(title, width=8.0, height=5.0)
    edges = _edges(targets, nontargets)
    kinds = ((nontargets, NONTARGET_COLOUR, "non-target"), (targets, TARGET_COLOUR, "target"))
    for scores, colour, name in kinds:
        inside = np.clip(scores, edges[0], edges[-1])
        style = {"bins": edges, "weights": np.full(scores.size, 1 / (scores.size * (edges[1] - edges[0])))}
        axes.hist(inside, color=colour, alpha=0.35, **style)
        axes.hist(inside, color=colour, histtype="step", linewidth=1.5, label=f"{name} ({scores.size:,})", **style)
    if edges[0] <= threshold <= edges[-1]:
        axes.axvline(threshold, color="#111827", linewidth=1.2, linestyle=(0, (5, 3)), label=f"{label} {threshold:.4g}")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.set_xlabel("score")
    axes.set_ylabel("density")
    _finish(figure, axes, file, legend="best")


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _figure(title: str, width: float = 6.6, height: float = 6.6) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    lines = textwrap.fill(title, width=int(9 * width), break_long_words=True)
    axes.set_title(lines, loc="left", fontsize=11, fontweight="bold", color="#111827")
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#374151", labelsize=9)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color("#9ca3af")
    return figure, axes


def _finish(figure: Figure, axes: Axes, file: str | os.PathLike | BinaryIO, legend: str) -> None:
    axes.legend(loc=legend, frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    figure.savefig(file, format="png", dpi=150)


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f}%"


def _corners(rates: ErrorRates) -> tuple[np.ndarray, np.ndarray]:
    # False alarms and misses without the points inside a straight run, thinned to what a picture can show.
    bends = (np.diff(rates.misses, 2) != 0) | (np.diff(rates.false_alarms, 2) != 0)
    keep = np.flatnonzero(np.concatenate(([True], bends, [True])))
    if keep.size > MAX_POINTS:
        keep = keep[np.unique(np.linspace(0, keep.size - 1, MAX_POINTS).astype(np.int64))]
    return rates.false_alarm_rate[keep], rates.miss_rate[keep]


class _DetCurve:
    """What a DET picture shows of one system."""

    def __init__(self, name: str, scores: Scores, p_targets: tuple[float, ...]) -> None:
        scores = sorted_scores(*scores)
        rates = error_rates(*scores)
        self.name = name
        self.eer, _ = eer(*scores)
        # Rates of zero have no place on these axes: half a trial stands for them.
        floors = 0.5 / rates.num_nontargets, 0.5 / rates.num_targets
        self.smallest = min(floors) * 2
        self.false_alarm, self.miss = (
            np.clip(rate, floor, 1 - floor) for rate, floor in zip(_corners(rates), floors, strict=True)
        )
        self.marks = []
        for p_target in p_targets:
            cost, threshold = min_dcf_point(*scores, p_target)
            at = int(np.searchsorted(rates.thresholds, threshold))
            point = max(rates.false_alarm_rate[at], floors[0]), max(rates.miss_rate[at], floors[1])
            self.marks.append((f"minDCF({p_target:g}) {cost:.3f}", *point))
        self.worst = max(self.eer, *(rate for _, *point in self.marks for rate in point))


def _edges(targets: np.ndarray, nontargets: np.ndarray) -> np.ndarray:
    # Far tails are gathered in the outermost bins, so that a few odd scores do not squeeze the picture.
    finite = [scores[np.isfinite(scores)] for scores in (targets, nontargets)]
    finite = [scores for scores in finite if scores.size] or [np.zeros(1)]
    low = min(np.quantile(scores, 0.001) for scores in finite)
    high = max(np.quantile(scores, 0.999) for scores in finite)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    margin = 0.02 * (high - low)
    count = int(np.clip(1.3 * min(scores.size for scores in finite) ** 0.5, 20, 80))
    return np.linspace(low - margin, high + margin, count + 1)
