"""transform-vec: multiplies vectors by a linear or affine transform."""

from __future__ import annotations

import sys

import numpy as np

from spkid.backend.transforms import apply_transform
from spkid.bin._vectors import convert_vectors
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report

USAGE = """Multiplies each vector by one matrix. If the matrix has a column more than the vectors have dimensions, that
column is added to the product.
Usage: transform-vec [options] <transform-rxfilename> <vector-rspecifier> <vector-wspecifier>
e.g.: transform-vec exp/transform.mat scp:exp/xvector.scp ark:-
See also: ivector-compute-lda, ivector-normalize-length"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (reporting,), (transform, source, target) = parse_command_line(USAGE, [ReportOptions], argv, (3, 3))
    report = Report(reporting.report)
    matrix = load_matrix(transform).astype(np.float64)
    convert_vectors(source, target, lambda vector: apply_transform(matrix, vector), report)
    log(f"Applied the transform to {report.done} vectors, failed for {len(report.failed)}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
