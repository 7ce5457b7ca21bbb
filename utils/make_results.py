#!/usr/bin/env python3
"""Writes the tables of RESULTS.md from results.json files."""

from pathlib import Path
from typing import Any

from spkid.jobs import Program
from spkid.jobs.results import read_results
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.metrics.markdown import escape, fenced, markdown_table
from spkid.metrics.sections import Table, percent

BEGIN = "<!-- results: written by utils/make_results.py; what stands between these lines is replaced -->"
END = "<!-- end of results -->"
RATES = ("eer", "min_dcf", "min_cllr", "as_log_likelihood_ratios")
NEEDED = ("name", "command", *RATES, "trials.md5", "trials.count", "versions")
COSTS = ("0.01", "0.05")


class MakeResults(Program):
    """Replaces the marked block of a Markdown file by tables of results, one for every trial list, and their commands.

    What is written outside of the block is kept; a file without a block gets one at its end. Systems stand in the order
    of the command line. Rates have their 95% intervals where steps/evaluate.py was run with --bootstrap.
    """

    EXAMPLE = "utils/make_results.py RESULTS.md exp/*/results/*/results.json"

    def main(self, results_md: str, *results_json: str) -> int:
        if not results_json:
            raise InputError("no results.json is given: name one or more, as steps/evaluate.py writes them")
        lists: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for path in results_json:
            results = read_results(path, NEEDED, "steps/evaluate.py")
            lists.setdefault((results["trials"]["md5"], results["trials"]["count"]), []).append(results)
        block = "\n\n".join([BEGIN, *map(_trial_list, lists.values()), END])
        path = Path(results_md)
        with atomic_write(path) as stream:
            stream.write(_replaced(path, block))
        print(f"make_results: {len(results_json)} results on {len(lists)} trial lists in {path}")
        return 0


def _replaced(path: Path, block: str) -> str:
    """The file's text with the block in the place of the old one."""
    if not path.exists():
        return f"# Results\n\n{block}\n"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    begins, ends = text.count(BEGIN), text.count(END)
    if begins == ends == 0:
        return f"{text.rstrip()}\n\n{block}\n" if text.strip() else f"{block}\n"
    if begins != 1 or ends != 1 or text.index(END) < text.index(BEGIN):
        raise InputError(f"{path}: the lines around the block of results are damaged: one {BEGIN!r}, then one {END!r}")
    before, _, rest = text.partition(BEGIN)
    return before + block + rest.partition(END)[2]


def _trial_list(found: list[dict[str, Any]]) -> str:
    trials = found[0]["trials"]
    title = f"## {escape(trials['file'])}"
    facts = (
        f"{trials['count']:,} trials, {trials['targets']:,} of them target; MD5 of the list `{trials['md5']}`. "
        "EER as Kaldi counts it; minDCF, actDCF by prior of a target trial, costs of one."
    )
    has_gaps = any(results["trials"]["without_score"] for results in found)
    header = ["system", "configuration", "EER", *(f"minDCF({p})" for p in COSTS), "actDCF(0.01)", "Cllr", "minCllr"]
    table = Table([*header, *(["trials left out"] if has_gaps else [])], [_row(one, has_gaps) for one in found], 2)
    commands = "\n".join(dict.fromkeys(results["command"] for results in found))
    versions = "; ".join(dict.fromkeys(_versions(results) for results in found))
    return "\n\n".join([title, facts, markdown_table(table), fenced(commands), f"Made with {escape(versions)}."])


def _row(results: dict[str, Any], has_gaps: bool) -> list[str]:
    confidence = results.get("confidence") or {}
    ratios = results["as_log_likelihood_ratios"]
    cells = [
        results["name"],
        results["config"]["file"] if results.get("config") else "",
        _with_range(percent(results["eer"]), confidence.get("eer"), percent),
    ]
    for point in COSTS:
        ends = confidence.get("min_dcf", {}).get(point)
        cells.append(_with_range(_three(results["min_dcf"][point]["value"]), ends, _three))
    cells += [_three(ratios["act_dcf"]["0.01"]), _three(ratios["cllr"]), _three(results["min_cllr"])]
    return [*cells, *([f"{results['trials']['without_score']:,}"] if has_gaps else [])]


def _with_range(value: str, ends: list[float | None] | None, show: Any) -> str:
    return f"{value} ({show(ends[0])} to {show(ends[1])})" if ends else value


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _versions(results: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in results["versions"].items())


if __name__ == "__main__":
    MakeResults.run()
