"""ivector-transform: multiplies vectors by a linear or affine transform, and says how long they come out."""

from __future__ import annotations

import sys

import numpy as np

from spkid.backend.transforms import apply_transform
from spkid.bin._vectors import convert_vectors
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report

USAGE = """Multiplies each vector by one matrix, whose last column is added where it has a column more than the vectors
have dimensions; the log says whether the result is centred and white.
Usage: ivector-transform [options] <matrix-rxfilename> <ivector-rspecifier> <ivector-wspecifier>
e.g.: ivector-transform exp/transform.mat scp:exp/ivector.scp ark:transformed.ark
See also: transform-vec, ivector-normalize-length"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (reporting,), (transform, source, target) = parse_command_line(USAGE, [ReportOptions], argv, (3, 3))
    report = Report(reporting.report)
    matrix = load_matrix(transform).astype(np.float64)
    total, squares = np.zeros(len(matrix)), 0.0

    def convert(vector: np.ndarray) -> np.ndarray:
        nonlocal squares
        converted = apply_transform(matrix, vector)
        np.add(total, converted, out=total)
        squares += converted @ converted
        return converted

    convert_vectors(source, target, convert, report)
    log(f"Processed {report.done} vectors, failed for {len(report.failed)}.")
    if report.done:
        mean = total / report.done
        deviation = np.sqrt(max(squares / report.done - mean @ mean, 0) / len(matrix))
        log(
            f"Norm of mean was {np.linalg.norm(mean):.6g} (should be close to zero), length divided by sqrt(dim) was "
            f"{deviation:.6g} (should probably be close to one)"
        )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
