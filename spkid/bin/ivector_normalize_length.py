"""ivector-normalize-length: scales vectors to the length sqrt(dimension), or to length 1."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.backend.transforms import length_normalize
from spkid.bin._vectors import convert_vectors
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report

USAGE = """Scales each vector to the length sqrt(dimension), which PLDA expects, or to length 1.
Usage: ivector-normalize-length [options] <ivector-rspecifier> <ivector-wspecifier>
e.g.: ivector-normalize-length scp:exp/xvector.scp ark:normalized.ark
  or: ivector-normalize-length --scaleup=false scp:exp/xvector.scp ark:unit.ark
See also: transform-vec, ivector-plda-scoring, ivector-compute-dot-products"""


@dataclass(frozen=True)
class NormalizeOptions:
    """Options of ivector-normalize-length (ivectorbin/ivector-normalize-length.cc)."""

    normalize: bool = option(True, "Scale the vectors; false copies them as they are")
    scaleup: bool = option(True, "Scale to length sqrt(dimension); false: to length 1")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [NormalizeOptions, ReportOptions], argv, (2, 2))
    report = Report(reporting.report)
    zeros = 0

    def normalize(vector: np.ndarray) -> np.ndarray:
        nonlocal zeros
        zeros += not vector.any()
        return length_normalize(vector, options.scaleup) if options.normalize else vector

    convert_vectors(source, target, normalize, report)
    if zeros:
        warn(f"{zeros} vectors are zero: they have no direction and stay as they are")
    log(f"Processed {report.done} vectors, failed for {len(report.failed)}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
