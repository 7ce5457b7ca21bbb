"""What the scoring tools have in common: trials whose vectors are missing are left out with a warning, as in Kaldi."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spkid.backend.trials import Trials, write_scores
from spkid.backend.vectors import first_ids
from spkid.kaldi.logging import log, warn


def rows_of_trials(
    trials: Trials, enroll_rows: Mapping[str, int], test_rows: Mapping[str, int]
) -> tuple[Trials, np.ndarray, np.ndarray]:
    """The trials that can be scored, and the rows of their vectors, (trials,) each."""
    rows = []
    for ids, codes, known in (
        (trials.enroll_ids, trials.enroll, enroll_rows),
        (trials.test_ids, trials.test, test_rows),
    ):
        missing = [key for key in ids if key not in known]
        if missing:
            warn(f"{len(missing)} of the {len(ids)} ids in {trials.source} have no vector: {first_ids(missing)}")
        rows.append(np.array([known.get(key, -1) for key in ids])[codes])
    found = (rows[0] >= 0) & (rows[1] >= 0)
    return trials.select(found), rows[0][found], rows[1][found]


def finish_scores(wxfilename: str, scored: Trials, scores: np.ndarray, num_given: int) -> int:
    """Writes the scores and returns the exit status: 1 where no trial could be scored."""
    write_scores(wxfilename, scored, scores)
    left_out = num_given - len(scored)
    log(f"Processed {len(scored)} trials, {left_out} had errors")
    if len(scored):
        log(f"Mean score was {scores.mean():.6g}, standard deviation was {scores.std():.6g}")
    return 0 if len(scored) else 1
