"""What results.json says, as sections of text and tables: the content of results.md and report.html."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spkid.metrics.cost import OperatingPoint

Results = Mapping[str, Any]
NONE = "–"
HARDLY_HELPS = 0.95  # normalised cost
FEW_SPEAKERS = 30
SMALL_LOSS = 0.1  # of the least cost
DEFINITION_TEXTS = {
    "kaldi": "Kaldi's compute-eer",
    "trainer": "larger rate at the nearest corner of the ROC (VoxCeleb trainer)",
    "brentq": "ROC interpolated linearly",
    "rocch": "convex hull of the ROC",
    "grid": "mean of the rates at the nearest of the thresholds 0, 0.001, ..., 1 (Deep Speaker)",
}


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; all columns but the first `num_labels` hold numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_labels: int = 1


@dataclass(frozen=True)
class Section:
    """A part of a report; `pictures` are names of files, `code` is shown as it is, under a name."""

    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[str] = ()
    code: Mapping[str, str] = field(default_factory=dict)


def sections(results: Results) -> list[Section]:
    """The report on one evaluation.

    Args:
        results: what steps/evaluate.py writes into results.json.
    """
    parts = [_threshold(results), _discrimination(results), _calibration(results)]
    if results.get("conditions"):
        parts.append(_conditions(results))
    if results.get("identification"):
        parts.append(_identification(results))
    return [*parts, _origin(results)]


def headline(results: Results) -> list[tuple[str, str, str]]:
    """(name, value, remark) of the few numbers to see first."""
    found = results.get("confidence") or {}
    numbers = [("Equal error rate", percent(results["eer"]), _range(found.get("eer"), percent))]
    for point, cost in results["min_dcf"].items():
        ends = (found.get("min_dcf") or {}).get(point)
        numbers.append((f"minDCF({point})", f"{cost['value']:.3f}", _range(ends, _three)))
    trials = results["trials"]
    scored = trials["count"] - trials["without_score"]
    numbers.append(("Trials scored", f"{scored:,}", f"{trials['targets']:,} target trials in the list"))
    return numbers


def percent(rate: float | None) -> str:
    """`3.21%`; more digits below 0.1%, where two say nothing."""
    if rate is None:
        return NONE
    return f"{100 * rate:.2f}%" if rate >= 0.001 or rate == 0 else f"{100 * rate:.2g}%"


def _threshold(results: Results) -> Section:
    decision = results["decision"]
    point = OperatingPoint(decision["p_target"], decision["c_miss"], decision["c_fa"])
    best, bayes = decision["empirical"], decision["bayes"]
    paragraphs = [
        f"Asked for: {100 * point.p_target:g}% of the trials are target trials, a miss costs {point.c_miss:g} and a "
        f"false alarm costs {point.c_fa:g}."
    ]
    if best["threshold"] is None:
        paragraphs.append(
            f"With these scores nothing is cheaper than to accept {_all_or_nothing(best)}: the system does not help at "
            "this prior and these costs."
        )
    else:
        right = "" if best["precision"] is None else f", and {percent(best['precision'])} of accepted trials are right"
        paragraphs.append(
            f"Accept a trial when its score is {_score(best['threshold'])} or more. On these trials that misses "
            f"{percent(best['miss_rate'])} of the targets and falsely accepts {percent(best['false_alarm_rate'])} of "
            f"the non-targets{right} at this prior. The threshold is the cheapest one on these very scores; "
            "on other data expect a little worse, and choose it on a development set."
        )
        if best["dcf"] > HARDLY_HELPS:
            paragraphs.append(
                f"At this prior and these costs the scores hardly help: rejecting or accepting everything costs 1, the "
                f"best threshold {best['dcf']:.3f}."
            )
    ends = ((results.get("confidence") or {}).get("threshold") or {}).get(point.name)
    if ends and None not in ends:
        text = (
            f"Over resampled speakers the cheapest threshold lies between {_score(ends[0])} and {_score(ends[1])} in "
        )
        paragraphs.append(f"{text}{100 * results['confidence']['level']:g}% of the cases.")
    verdict = (
        "These scores are close to that."
        if _is_calibrated(results)
        else f"These scores are not: taken that way they cost {bayes['dcf']:.3f} here instead of {best['dcf']:.3f}. "
        "Calibrate them first."
    )
    paragraphs.append(
        f"Scores that are calibrated natural-log likelihood ratios need no such choice: Bayes' rule accepts from "
        f"{_score(point.bayes_threshold)} on, whatever the data. {verdict}"
    )
    rows = [
        _decision_row("cheapest here", best),
        _decision_row("Bayes' rule, for log-likelihood ratios", bayes),
    ]
    if results.get("at_eer_threshold"):
        rows.append(_decision_row("equal error rate", results["at_eer_threshold"]))
    header = ("threshold by", "threshold", "misses", "false alarms", "normalised cost", "right among accepted")
    return Section("Which threshold do I use?", paragraphs, [Table(header, rows)], ["scores.png"])


def _decision_row(name: str, decision: Mapping[str, Any]) -> list[str]:
    at = decision["threshold"]
    threshold = f"accept {_all_or_nothing(decision)}" if at is None else _score(at)
    errors = [
        f"{percent(decision['miss_rate'])} ({decision['misses']:,})",
        f"{percent(decision['false_alarm_rate'])} ({decision['false_alarms']:,})",
    ]
    return [name, threshold, *errors, _three(decision["dcf"]), percent(decision["precision"])]


def _is_calibrated(results: Results) -> bool:
    """Whether little would be gained by calibration, at the point asked for and over all priors."""
    decision, cllr, least = results["decision"], results["as_log_likelihood_ratios"]["cllr"], results["min_cllr"]
    lost = decision["bayes"]["dcf"] - decision["empirical"]["dcf"]
    return (
        cllr is not None
        and cllr - least <= max(SMALL_LOSS * least, 0.02)
        and lost <= max(SMALL_LOSS * decision["empirical"]["dcf"], 0.02)
    )


def _all_or_nothing(decision: Mapping[str, Any]) -> str:
    return "nothing" if decision["miss_rate"] == 1 else "everything"


def _discrimination(results: Results) -> Section:
    found = results.get("confidence") or {}
    rows = [["EER", percent(results["eer"]), _range(found.get("eer"), percent)]]
    for name, rate in results["eer_by_definition"].items():
        if name != "kaldi":
            rows.append([f"EER, {DEFINITION_TEXTS.get(name, name)}", percent(rate), ""])
    for point, cost in results["min_dcf"].items():
        ends = (found.get("min_dcf") or {}).get(point)
        rows.append([f"minDCF({point})", _three(cost["value"]), _range(ends, _three)])
    rows.append(["minCllr", _three(results["min_cllr"]), _range(found.get("min_cllr"), _three)])
    if results.get("best_f_measure"):
        best = results["best_f_measure"]
        rows.append([f"best F-measure, from {_score(best['thresholds'])} on", _three(best["f_measure"]), ""])
        rows.append(["its true positive rate", percent(best["true_positive_rate"]), ""])
        rows.append(["its accuracy", percent(best["accuracy"]), ""])
    text = "EER is Kaldi's unless another definition is named; minDCF(p) is normalised, with costs of one unless given."
    paragraphs = [text, *_about_confidence(found)]
    return Section("Discrimination", paragraphs, [_with_ranges("measure", rows, found)], ["det.png", "roc.png"])


def _about_confidence(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    undefined = f"; {found['undefined']} replicates without trials of both kinds left out" if found["undefined"] else ""
    few = "; with so few speakers they are rough" if found["speakers"] < FEW_SPEAKERS else ""
    return [
        f"Intervals of {100 * found['level']:g}%: percentiles of {found['replicates']:,} bootstrap replicates over "
        f"{found['speakers']:,} speakers (seed {found['seed']}{undefined}){few}."
    ]


def _calibration(results: Results) -> Section:
    found = (results.get("confidence") or {}).get("as_log_likelihood_ratios") or {}
    taken = results["as_log_likelihood_ratios"]
    rows = [["Cllr", _three(taken["cllr"]), _three(results["min_cllr"]), _range(found.get("cllr"), _three)]]
    for point, cost in taken["act_dcf"].items():
        ends = (found.get("act_dcf") or {}).get(point)
        rows.append(
            [f"actDCF({point})", _three(cost), _three(results["min_dcf"][point]["value"]), _range(ends, _three)]
        )
    text = (
        "What the scores cost if they are taken as natural-log likelihood ratios, beside the least possible cost. "
        "Left: what groups of trials with neighbouring scores show, against what a log-likelihood ratio of that size "
        "promises. Right: the cost at every prior."
    )
    table = _with_ranges("measure", rows, found, ("as they are", "at best"))
    return Section("Calibration", [text], [table], ["calibration.png"])


def _with_ranges(
    first: str, rows: list[list[str]], found: Mapping[str, Any], names: Sequence[str] = ("value",)
) -> Table:
    """A table whose last column, the intervals, is left out where there are none."""
    if not found:
        return Table([first, *names], [row[:-1] for row in rows])
    return Table([first, *names, "interval"], rows)


def _conditions(results: Results) -> Section:
    points = list(results["min_dcf"])
    with_ranges = any("confidence" in row for row in results["conditions"])
    rows, borrowed, last = [], False, ""
    for row in results["conditions"]:
        counts = [f"{row[kind]:,}{'*' if kind in row['borrowed'] else ''}" for kind in ("targets", "nontargets")]
        borrowed = borrowed or bool(row["borrowed"])
        costs = [_three((row["min_dcf"].get(point) or {}).get("value")) for point in points]
        name, last = "" if row["column"] == last else row["column"], row["column"]
        cells = [name, row["value"], *counts, percent(row["eer"])]
        if with_ranges:
            cells.append(_range((row.get("confidence") or {}).get("eer"), percent))
        rows.append([*cells, *costs])
    header = ["property", "value", "targets", "non-targets", "EER"]
    header += [*(["interval"] if with_ranges else []), *(f"minDCF({point})" for point in points)]
    text = ["Trials by what is known about them. Thresholds are those of each part alone."]
    if borrowed:
        text.append("* No such trials of this kind: all trials of the kind are used, to compare the other kind.")
    return Section("Conditions", text, [Table(header, rows, num_labels=2)])


def _identification(results: Results) -> Section:
    found = results["identification"]
    sizes = found["candidates"]
    among = f"{sizes['min']:,}" if sizes["min"] == sizes["max"] else f"{sizes['min']:,} to {sizes['max']:,}"
    side = "test utterances" if found["question"] == "test" else "enrolments"
    text = f"Who is it? {found['questions']:,} {side}, each with {among} candidates; ties count as wrong."
    if found["unanswerable"]:
        text += f" {found['unanswerable']:,} more have no right answer among their candidates and are left out."
    rows = [[f"top {k}", percent(rate)] for k, rate in found["top_k"].items()]
    tables = [Table(("right answer", "share"), rows)]
    if found.get("confusions"):
        rows = [[row["truth"], row["decided"], f"{row['count']:,}"] for row in found["confusions"]]
        tables.append(Table(("truth", "most often taken for", "times"), rows, num_labels=2))
    return Section("Closed-set identification", [text], tables, ["confusion.png"])


def _origin(results: Results) -> Section:
    trials, scores = results["trials"], results["scores"]
    rows = [
        ["trial list", trials["file"]],
        ["its MD5", trials["md5"]],
        ["trials", f"{trials['count']:,} ({trials['targets']:,} target, {trials['nontargets']:,} non-target)"],
        ["without a score, left out", f"{trials['without_score']:,}"],
        ["repeated pairs", f"{trials['repeated']:,}"],
        ["comparisons with itself", f"{trials['self_comparisons']:,}"],
        ["scores", scores["file"]],
        ["lines of other pairs", f"{scores['unused_lines']:,}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in results["versions"].items())],
    ]
    code = {"Command": results["command"]}
    if results.get("config"):
        rows.insert(0, ["configuration", f"{results['config']['file']} (SHA-256 {results['config']['sha256']})"])
        code[f"Configuration {results['config']['file']}"] = _yaml(results["config"]["content"])
    return Section("Where this comes from", (), [Table(("", ""), rows, num_labels=2)], code=code)


def _yaml(content: Any) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _score(threshold: float) -> str:
    return f"{threshold:.4g}"


def _three(value: float | None) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.3f}"


def _range(ends: Sequence[float | None] | None, show: Any) -> str:
    return f"{show(ends[0])} to {show(ends[1])}" if ends else ""
