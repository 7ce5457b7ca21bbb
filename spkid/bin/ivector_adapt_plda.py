"""ivector-adapt-plda: adapts a PLDA model to unlabelled vectors of another domain."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.backend.plda import Plda
from spkid.backend.vectors import blaming, load_vectors
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import option, parse_command_line

USAGE = """Adapts a PLDA model to a new domain by vectors of unknown speakers, processed as those it was trained on.
Usage: ivector-adapt-plda [options] <plda-rxfilename> <ivector-rspecifier> <plda-wxfilename>
e.g.: ivector-adapt-plda exp/plda ark:new_domain.ark exp/plda_adapted
See also: ivector-compute-plda, ivector-plda-scoring"""


@dataclass(frozen=True)
class AdaptOptions:
    """Options of ivector-adapt-plda (ivectorbin/ivector-adapt-plda.cc)."""

    within_covar_scale: float = option(0.3, "Share of the excess variance given to the within-speaker covariance")
    between_covar_scale: float = option(0.7, "Share of the excess variance given to the between-speaker covariance")
    mean_diff_scale: float = option(1.0, "How much the shift of the mean counts as variance of the new data")
    binary: bool = option(True, "Write the model as binary, not text")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (source, vectors, target) = parse_command_line(USAGE, [AdaptOptions], argv, (3, 3))
    plda = Plda.read(source)
    table = load_vectors(vectors)
    with blaming(vectors):
        plda.adapt(table.matrix, options.within_covar_scale, options.between_covar_scale, options.mean_diff_scale)
    log(f"Adapted the model to {len(table)} vectors")
    plda.write(target, options.binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
