"""copy-matrix: copies matrices, or tables of matrices."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.bin._copying import copy
from spkid.kaldi.logging import run_tool
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX

USAGE = """Copy matrices, or archives of matrices (e.g. features or transforms)
Usage: copy-matrix [options] (matrix-in-rspecifier|matrix-in-rxfilename) (matrix-out-wspecifier|matrix-out-wxfilename)
e.g.: copy-matrix --binary=false transform.mat -
  or: copy-matrix ark:transforms.ark ark,t:-
See also: copy-feats, copy-vector, matrix-sum"""


@dataclass(frozen=True)
class CopyOptions:
    """Options of copy-matrix (bin/copy-matrix.cc)."""

    binary: bool = option(True, "Write in binary mode (only relevant if output is a wxfilename)")
    scale: float = option(1.0, "This option can be used to scale the matrices being copied")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [CopyOptions, ReportOptions], argv, (2, 2))
    scale = np.float32(options.scale)
    report = Report(reporting.report)
    return copy(source, target, "matrices", MATRIX, save_matrix, lambda value: value * scale, options.binary, report)


if __name__ == "__main__":
    sys.exit(main())
