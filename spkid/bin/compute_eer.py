"""compute-eer: the equal error rate of labelled scores."""

from __future__ import annotations

import sys

import numpy as np

from spkid.backend.trials import read_labelled_scores
from spkid.backend.vectors import blaming
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import parse_command_line
from spkid.metrics.eer import eer

USAGE = """Prints the equal error rate, in percent, of lines "score target" and "score nontarget".
The threshold goes to the log.
Usage: compute-eer <scores-rxfilename>
e.g.: awk '{print $3, $4}' scores_with_labels | compute-eer -
See also: ivector-plda-scoring, ivector-compute-dot-products"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    _, (source,) = parse_command_line(USAGE, [], argv, (1, 1))
    targets, nontargets = read_labelled_scores(source)
    with blaming(source):
        rate, threshold = eer(targets.astype(np.float32), nontargets.astype(np.float32))  # Kaldi's precision
    log(f"Equal error rate is {100 * rate:.6g}%, at threshold {threshold:.6g}")
    print(f"{100 * rate:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
