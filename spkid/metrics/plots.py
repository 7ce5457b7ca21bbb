"""Pictures of a detector: DET and ROC curves, the histogram of its scores, their calibration, as PNG files.

matplotlib is imported by the functions, draws without a display, and keeps no global state (no pyplot).
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from spkid.metrics.calibration import bayes_errors, reliability
from spkid.metrics.cost import OperatingPoint, least_cost
from spkid.metrics.curve import ErrorRates, TrialScores
from spkid.metrics.eer import DEFINITIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by every eye
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TARGET_COLOUR, NONTARGET_COLOUR = "#0072B2", "#D55E00"
INK, QUIET = "#111827", "#6b7280"
LINE_STYLES = ((0, (5, 3)), (0, (1, 2)), "solid")
DOTS_PER_INCH = 150
MAX_NAMED_CLASSES, MAX_COUNTED_CLASSES = 60, 20
DET_TICKS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
MAX_POINTS = 20000


def plot_det(
    file: str | os.PathLike | BinaryIO,
    systems: Mapping[str, TrialScores],
    title: str = "",
    points: Sequence[OperatingPoint] = (),
) -> None:
    """Detection error tradeoff: miss against false-alarm rate on normal-deviate axes, EER and minDCF points marked.

    Args:
        file: a path, or a binary stream.
        systems: scores by name; one curve each.
        title: the line above the picture.
        points: priors and costs whose least-cost points are marked, up to four.

    Reference: Martin et al., "The DET curve in assessment of detection task performance", 1997.
    """
    from scipy.special import ndtri

    figure, axes = _figure(title)
    curves = [_DetCurve(name, scores, points[:4]) for name, scores in systems.items()]
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
    # where no curve is: those of poor systems lie in the upper right corner
    poor = max(curve.eer for curve in curves) > 0.15
    _finish(figure, axes, file, legend="lower left" if poor else "upper right")


def plot_roc(file: str | os.PathLike | BinaryIO, systems: Mapping[str, TrialScores], title: str = "") -> None:
    """Receiver operating characteristic, the point of equal errors marked; arguments as for `plot_det`."""
    figure, axes = _figure(title)
    axes.plot([0, 1], [1, 0], color=QUIET, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    for colour, (name, scores) in zip(_colours(len(systems)), systems.items(), strict=True):
        false_alarm, miss = _corners(scores.rates)
        rate, _ = DEFINITIONS["brentq"](scores)
        axes.plot(
            false_alarm,
            1 - miss,
            color=colour,
            linewidth=1.8,
            label=f"{name}  EER {_percent(rate)} (interpolated)",
            zorder=3,
        )
        axes.plot(rate, 1 - rate, "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.set_aspect("equal")
    axes.set_xlabel("false alarms among non-target trials")
    axes.set_ylabel("hits among target trials")
    _finish(figure, axes, file, legend="lower right")


def plot_scores(
    file: str | os.PathLike | BinaryIO, scores: TrialScores, thresholds: Mapping[str, float], title: str = ""
) -> None:
    """Histograms of both kinds of score, each of area one, and thresholds between them.

    Args:
        file: a path, or a binary stream.
        scores: of both kinds of trial.
        thresholds: where a vertical line is drawn, by what it is; those outside the picture are left out.
        title: the line above the picture.
    """
    figure, axes = _figure(title, width=8.0, height=5.0)
    edges = _edges(scores)
    kinds = ((scores.nontargets, NONTARGET_COLOUR, "non-target"), (scores.targets, TARGET_COLOUR, "target"))
    for values, colour, name in kinds:
        inside = np.clip(values, edges[0], edges[-1])
        style = {"bins": edges, "weights": np.full(values.size, 1 / (values.size * (edges[1] - edges[0])))}
        axes.hist(inside, color=colour, alpha=0.35, **style)
        axes.hist(inside, color=colour, histtype="step", linewidth=1.5, label=f"{name} ({values.size:,})", **style)
    for dashes, (label, threshold) in zip(LINE_STYLES, thresholds.items(), strict=False):
        if edges[0] <= threshold <= edges[-1]:
            line = {"color": INK, "linewidth": 1.2, "linestyle": dashes, "label": f"{label} {threshold:.4g}"}
            axes.axvline(threshold, **line)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.set_xlabel("score")
    axes.set_ylabel("density")
    _finish(figure, axes, file, legend="best")


def plot_calibration(
    file: str | os.PathLike | BinaryIO, scores: TrialScores, point: OperatingPoint, title: str = ""
) -> None:
    """Whether scores may be taken as natural-log likelihood ratios: a reliability diagram and normalised Bayes errors.

    Args:
        file: a path, or a binary stream.
        scores: of both kinds of trial.
        point: the prior and costs that are marked.
        title: the line above the picture.

    Reference: Brümmer, "Measuring, refining and calibrating speaker and language information extracted from speech",
    2010 (normalised Bayes error rates).
    """
    figure, axes = _figure(title, width=11.0, height=5.4, columns=2)
    _draw_reliability(axes[0], scores)
    _draw_bayes_errors(axes[1], scores, point)
    for part in axes:  # below, where no curve runs
        part.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2, frameon=False, fontsize=9)
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def plot_accuracies(
    file: str | os.PathLike | BinaryIO, places: Sequence[float], curves: Mapping[str, Sequence[float]], axis: str
) -> None:
    """Accuracy of several detectors under a condition that is a number, such as a signal-to-noise ratio.

    Args:
        file: a path, or a binary stream.
        places: the condition's values.
        curves: accuracy (0 to 1) at each of them, by what is measured; the last curve, what each must beat, is dashed.
        axis: what the condition is, with its unit.
    """
    figure, axes = _figure("", width=6.4, height=4.4)
    for number, (colour, (name, rates)) in enumerate(zip(_colours(len(curves)), curves.items(), strict=True), 1):
        last = number == len(curves)
        style = {"color": QUIET, "linestyle": LINE_STYLES[0]} if last else {"color": colour, "marker": "o"}
        axes.plot(places, 100 * np.asarray(rates, float), label=name, linewidth=1.8, **style)
    axes.set_xticks(sorted(places))
    axes.set_xlabel(axis)
    axes.set_ylabel("frames decided rightly (%)")
    _finish(figure, axes, file, legend="best")


def plot_confusion(file: str | os.PathLike | BinaryIO, confusion: np.ndarray, names: Sequence[str], title: str) -> None:
    """A confusion matrix as a picture: rows are the truth, columns what was decided, each row's shares its shades.

    Args:
        file: a path, or a binary stream.
        confusion: (classes, classes) counts.
        names: (classes,) written beside the rows and below the columns where there is room for them.
        title: the line above the picture.
    """
    figure, axes = _figure(title, width=6.8)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.grid(visible=False)
    if len(names) <= MAX_NAMED_CLASSES:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    if len(names) <= MAX_COUNTED_CLASSES:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.6 else INK
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xlabel("decided")
    axes.set_ylabel("truth")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors="#374151", labelsize=9)
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


def _draw_reliability(axes: Axes, scores: TrialScores) -> None:
    stated, observed = reliability(scores)
    finite = np.isfinite(observed)
    low, high = (stated[0], stated[-1]) if stated.size else (0, 0)  # no score is finite
    margin = 0.05 * (high - low) or 0.5
    limits = np.array([low - margin, high + margin])
    label = "a log-likelihood ratio"
    axes.plot(limits, limits, color=QUIET, linewidth=1, linestyle=(0, (4, 4)), label=label, zorder=1)
    style = {"color": COLOURS[0], "linestyle": "none", "markersize": 6, "zorder": 3, "clip_on": False}
    axes.plot(stated[finite], observed[finite], "o", markeredgecolor="white", label="these scores", **style)
    bottom, top = min([*observed[finite], -1]), max([*observed[finite], 1])
    bottom, top = bottom - 0.1 * (top - bottom), top + 0.1 * (top - bottom)
    for marker, sign, edge, label in (("^", 1, top, "targets only"), ("v", -1, bottom, "non-targets only")):
        alone = stated[observed == sign * np.inf]
        if alone.size:
            axes.plot(alone, np.full(alone.size, edge), marker, markerfacecolor="white", label=label, **style)
    axes.set(xlim=limits, ylim=(bottom, top))
    axes.set_xlabel("score")
    axes.set_ylabel("log-likelihood ratio observed")


def _draw_bayes_errors(axes: Axes, scores: TrialScores, point: OperatingPoint) -> None:
    log_odds = np.linspace(-8, 8, 321)
    actual, least = bayes_errors(scores, log_odds)
    axes.axhline(1, color=QUIET, linewidth=0.8, linestyle=(0, (4, 4)), label="without scores", zorder=1)
    axes.plot(log_odds, actual, color=COLOURS[1], linewidth=1.8, label="scores as log-likelihood ratios", zorder=3)
    axes.plot(log_odds, least, color=COLOURS[0], linewidth=1.8, label="best threshold", zorder=3)
    if -8 <= -point.bayes_threshold <= 8:
        label = f"prior and costs {point.name}"
        axes.axvline(-point.bayes_threshold, color=INK, linewidth=1, linestyle=(0, (1, 2)), label=label)
    axes.set(xlim=(-8, 8), ylim=(0, 1.4))
    axes.set_xlabel("log-odds of a target trial, costs included")
    axes.set_ylabel("normalised Bayes error")


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _figure(title: str, width: float = 5.8, height: float = 5.8, columns: int = 1) -> tuple[Figure, Any]:
    """A figure and its axes; several of them side by side are an array."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(1, columns)
    lines = textwrap.fill(title, width=int(9 * width), break_long_words=True)
    np.ravel(grid)[0].set_title(lines, loc="left", fontsize=11, fontweight="bold", color=INK)
    for axes in np.ravel(grid):
        axes.grid(color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors="#374151", labelsize=9)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color("#9ca3af")
    return figure, grid


def _finish(figure: Figure, grid: Any, file: str | os.PathLike | BinaryIO, legend: str) -> None:
    for axes in np.ravel(grid):
        axes.legend(loc=legend, frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)


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

    def __init__(self, name: str, scores: TrialScores, points: Sequence[OperatingPoint]) -> None:
        rates = scores.rates
        self.name = name
        self.eer, _ = DEFINITIONS["kaldi"](scores)
        # Rates of zero have no place on these axes: half a trial stands for them.
        floors = 0.5 / rates.num_nontargets, 0.5 / rates.num_targets
        self.smallest = min(floors) * 2
        self.false_alarm, self.miss = (
            np.clip(rate, floor, 1 - floor) for rate, floor in zip(_corners(rates), floors, strict=True)
        )
        self.marks = []
        for point in points:
            cost, threshold = least_cost(scores, point)
            at = int(np.searchsorted(rates.thresholds, threshold))
            rate = (
                max(rates.false_alarms[at] / rates.num_nontargets, floors[0]),
                max(rates.misses[at] / rates.num_targets, floors[1]),
            )
            self.marks.append((f"minDCF({point.name}) {cost:.3f}", *rate))
        self.worst = max([self.eer, *(rate for _, *mark in self.marks for rate in mark)])


def _edges(scores: TrialScores) -> np.ndarray:
    # Far tails are gathered in the outermost bins, so that a few odd scores do not squeeze the picture.
    finite = [values[np.isfinite(values)] for values in (scores.targets, scores.nontargets)]
    finite = [values for values in finite if values.size] or [np.zeros(1)]
    low = min(np.quantile(values, 0.001) for values in finite)
    high = max(np.quantile(values, 0.999) for values in finite)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    margin = 0.02 * (high - low)
    count = int(np.clip(1.3 * min(values.size for values in finite) ** 0.5, 20, 80))
    return np.linspace(low - margin, high + margin, count + 1)
