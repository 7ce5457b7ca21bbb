"""ivector-plda-scoring: log-likelihood ratios of trials."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.backend.plda import Plda
from spkid.backend.scoring import score_trials
from spkid.backend.trials import read_trials
from spkid.backend.vectors import blaming, first_ids, load_vectors
from spkid.bin._scoring import finish_scores, rows_of_trials
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import run_tool, warn
from spkid.kaldi.options import option, parse_command_line
from spkid.kaldi.tables import INT, open_table

USAGE = """Scores trials with PLDA: the natural-log likelihood ratio of one speaker against two. A trial is a line
"enrolment test"; a label may follow. Scores are lines "enrolment test score". A trial without both vectors is left
out with a warning. An enrolment vector may be a mean of several: --num-utts says of how many.
Usage: ivector-plda-scoring [options] <plda> <enroll-rspecifier> <test-rspecifier> <trials> <scores-wxfilename>
e.g.: ivector-plda-scoring --num-utts=ark:exp/num_utts.ark exp/plda ark:enroll.ark ark:test.ark trials scores
See also: ivector-compute-dot-products, ivector-compute-plda"""


@dataclass(frozen=True)
class ScoringOptions:
    """Options of ivector-plda-scoring (ivectorbin/ivector-plda-scoring.cc)."""

    normalize_length: bool = option(
        True, "Scale each vector to the length that the model expects, weighted by the model's variances"
    )
    simple_length_normalization: bool = option(False, "Scale to length sqrt(dimension) instead")
    num_utts: str = option("", "Rspecifier of the number of vectors behind each enrolment, e.g. ark:num_utts.ark")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (model, enroll_source, test_source, trials_source, target) = parse_command_line(
        USAGE, [ScoringOptions], argv, (5, 5)
    )
    plda = Plda.read(model)
    trials = read_trials(trials_source)
    enroll = load_vectors(enroll_source, set(trials.enroll_ids))
    test = load_vectors(test_source, set(trials.test_ids))
    counts = np.ones(len(enroll), dtype=np.int64)
    enroll_rows = enroll.rows
    if options.num_utts:
        unknown = []
        with open_table(options.num_utts, INT) as table:
            for row, key in enumerate(enroll.ids):
                if key not in table:
                    unknown.append(key)
                    continue
                counts[row] = table[key]
                if counts[row] < 1:
                    raise InputError(f"{options.num_utts}: the number of utterances of {key} is {counts[row]}")
        if unknown:
            warn(f"{options.num_utts} lacks the number of utterances of {len(unknown)} models: {first_ids(unknown)}")
            enroll_rows = {key: row for key, row in enroll_rows.items() if key not in set(unknown)}
    style = (options.normalize_length, options.simple_length_normalization)
    with blaming(enroll_source):
        left = plda.transform(enroll.matrix, counts, *style)
    with blaming(test_source):
        right = plda.transform(test.matrix, 1, *style)
    scored, left_rows, right_rows = rows_of_trials(trials, enroll_rows, test.rows)
    scores = score_trials(left, right, left_rows, right_rows, plda, counts)
    return finish_scores(target, scored, scores, len(trials))


if __name__ == "__main__":
    sys.exit(main())
