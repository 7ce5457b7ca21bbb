"""matrix-sum: adds matrices."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.bin._summing import add
from spkid.kaldi.logging import run_tool
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX

USAGE = """Sum matrices, e.g. stats: tables id by id (optionally scaled), all of one table, or single files
Usage: matrix-sum [options] <matrix-in-rspecifier1> <matrix-in-rspecifier2> [...] <matrix-out-wspecifier>
or:    matrix-sum [options] <matrix-in-rspecifier> <matrix-out-wxfilename>
or:    matrix-sum [options] <matrix-in-rxfilename1> <matrix-in-rxfilename2> [...] <matrix-out-wxfilename>
e.g.: matrix-sum --scale2=-1 ark:a.ark ark:b.ark ark:difference.ark
  or: matrix-sum --binary=false 1.mat 2.mat 3.mat sum.mat"""


@dataclass(frozen=True)
class SumOptions:
    """Options of matrix-sum (bin/matrix-sum.cc)."""

    scale1: float = option(1.0, "Scale applied to first matrix (only for two tables)")
    scale2: float = option(1.0, "Scale applied to second matrix (only for two tables)")
    average: bool = option(False, "Compute average instead of sum")
    binary: bool = option(True, "If true, write output as binary (only if the output is a file)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (*sources, target) = parse_command_line(USAGE, [SumOptions, ReportOptions], argv, (2, None))
    report = Report(reporting.report)
    scales = options.scale1, options.scale2
    flags = {"binary": options.binary, "scales": scales, "average": options.average}
    return add(sources, target, MATRIX, save_matrix, report, **flags)


if __name__ == "__main__":
    sys.exit(main())
