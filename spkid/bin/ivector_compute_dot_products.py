"""ivector-compute-dot-products: dot products of the vectors of trials; the cosine where their length is 1."""

from __future__ import annotations

import sys

import numpy as np

from spkid.backend.products import dot_products
from spkid.backend.trials import read_trials
from spkid.backend.vectors import load_vectors
from spkid.bin._scoring import finish_scores, rows_of_trials
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import parse_command_line

USAGE = """Scores trials by the dot product of their vectors, the cosine if their length is 1. A trial is a line
"enrolment test"; a label may follow. Scores are lines "enrolment test score". A trial without both vectors is left
out with a warning.
Usage: ivector-compute-dot-products [options] <trials> <ivector-rspecifier> <other-rspecifier> <scores-wxfilename>
e.g.: ivector-compute-dot-products trials ark:unit.ark ark:unit.ark scores
See also: ivector-plda-scoring, ivector-normalize-length"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    _, (trials_source, first_source, second_source, target) = parse_command_line(USAGE, [], argv, (4, 4))
    trials = read_trials(trials_source)
    first = load_vectors(first_source, set(trials.enroll_ids))
    second = load_vectors(second_source, set(trials.test_ids))
    if first.matrix.shape[1] != second.matrix.shape[1]:
        raise InputError(
            f"{first_source} holds vectors of {first.matrix.shape[1]} dimensions and {second_source} of "
            f"{second.matrix.shape[1]}"
        )
    scored, rows, other_rows = rows_of_trials(trials, first.rows, second.rows)
    scores = dot_products(first.matrix.astype(np.float64), second.matrix.astype(np.float64), rows, other_rows)
    return finish_scores(target, scored, scores, len(trials))


if __name__ == "__main__":
    sys.exit(main())
