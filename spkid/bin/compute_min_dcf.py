"""compute-min-dcf: the least detection cost of a file of scores (Kaldi's sid/compute_min_dcf.py)."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass

import numpy as np

from spkid.backend.trials import read_scores, read_trials
from spkid.backend.vectors import blaming
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.options import option, parse_command_line
from spkid.metrics.cost import min_dcf_point

USAGE = """Prints the least normalised detection cost over all thresholds of lines "enrolment test score"; the threshold
goes to the log. Options take their values behind a blank as well: --p-target 0.001.
Usage: compute-min-dcf [options] <scores-rxfilename> <trials-rxfilename>
e.g.: compute-min-dcf --p-target=0.001 exp/scores_voxceleb1_test data/voxceleb1_test/trials
See also: compute-eer, steps/evaluate.py"""


@dataclass(frozen=True)
class CostOptions:
    """Options of sid/compute_min_dcf.py."""

    p_target: float = option(0.01, "Prior probability of a target trial")
    c_miss: float = option(1.0, "Cost of a miss")
    c_fa: float = option(1.0, "Cost of a false alarm")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (source, trials_source) = parse_command_line(
        USAGE, [CostOptions], _joined(sys.argv[1:] if argv is None else argv), (2, 2)
    )
    trials = read_trials(trials_source)
    if trials.is_target is None:
        raise InputError(f"{trials_source}: the trials have no labels: lines 'enrolment test target|nontarget'")
    matched = read_scores(source, trials)
    if matched.num_unused:
        raise InputError(
            f"{source}: {matched.num_unused} of its scores belong to no trial of {trials_source}: take its own list"
        )
    if matched.missing.any():
        warn(f"{np.count_nonzero(matched.missing)} of the {len(trials)} trials have no score and do not count")
    known = ~matched.missing
    costs = dataclasses.astuple(options)
    with blaming(source):
        cost, threshold = min_dcf_point(
            matched.scores[known & trials.is_target], matched.scores[known & ~trials.is_target], *costs
        )
    log(
        f"minDCF is {cost:.4f} at threshold {threshold:.4f} "
        f"(p-target={options.p_target:g}, c-miss={options.c_miss:g}, c-fa={options.c_fa:g})"
    )
    print(f"{cost:.4f}")
    return 0


def _joined(argv: list[str]) -> list[str]:
    """`--p-target 0.01` as `--p-target=0.01`: the options of Kaldi's Python scripts are written either way."""
    named = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(CostOptions)}
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in named:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


if __name__ == "__main__":
    sys.exit(main())
