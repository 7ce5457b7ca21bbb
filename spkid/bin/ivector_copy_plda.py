"""ivector-copy-plda: copies a PLDA model, as text or binary, with its within-class covariance smoothed."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.backend.plda import Plda
from spkid.backend.vectors import blaming
from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import option, parse_command_line

USAGE = """Copies a PLDA model: to text or binary, with the within-speaker covariance smoothed if asked to.
Usage: ivector-copy-plda [options] <plda-rxfilename> <plda-wxfilename>
e.g.: ivector-copy-plda --smoothing=0.1 exp/plda exp/plda_smoothed
  or: ivector-copy-plda --binary=false exp/plda -
See also: ivector-compute-plda, ivector-plda-scoring"""


@dataclass(frozen=True)
class CopyOptions:
    """Options of ivector-copy-plda (ivectorbin/ivector-copy-plda.cc)."""

    smoothing: float = option(
        0.0, "Add this much (0 to 1) of the between-speaker covariance to the within-speaker covariance"
    )
    binary: bool = option(True, "Write the model as binary, not text")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (source, target) = parse_command_line(USAGE, [CopyOptions], argv, (2, 2))
    plda = Plda.read(source)
    if options.smoothing != 0:
        with blaming("--smoothing"):
            plda.smooth(options.smoothing)
    plda.write(target, options.binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
