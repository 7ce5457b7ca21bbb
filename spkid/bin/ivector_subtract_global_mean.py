"""ivector-subtract-global-mean: subtracts a given mean, or the mean of the vectors themselves."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.bin._vectors import convert_vectors
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.matrix import load_vector
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import VECTOR, TableWriter

USAGE = """Subtracts from each vector a mean that is given, or else the mean of these vectors.
Usage: ivector-subtract-global-mean [options] [<mean-rxfilename>] <ivector-rspecifier> <ivector-wspecifier>
e.g.: ivector-subtract-global-mean exp/mean.vec scp:exp/xvector.scp ark:-
  or: ivector-subtract-global-mean scp:exp/xvector.scp ark:centred.ark
See also: ivector-mean"""


@dataclass(frozen=True)
class SubtractOptions:
    """Options of ivector-subtract-global-mean (ivectorbin/ivector-subtract-global-mean.cc)."""

    subtract_mean: bool = option(True, "Subtract the mean; false copies the vectors as they are")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), names = parse_command_line(USAGE, [SubtractOptions, ReportOptions], argv, (2, 3))
    report = Report(reporting.report)
    *given, source, target = names
    if given or not options.subtract_mean:
        mean = load_vector(given[0]) if options.subtract_mean else np.zeros(())

        def subtract(vector: np.ndarray) -> np.ndarray:
            if options.subtract_mean and vector.shape != mean.shape:
                raise ValueError(f"it has {vector.size} dimensions and the mean has {mean.size}")
            return vector - mean

        convert_vectors(source, target, subtract, report)
    else:
        from spkid.backend.vectors import load_vectors

        table = load_vectors(source)
        mean = table.matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
        log(f"Norm of the mean is {np.linalg.norm(mean):.6g}")
        with TableWriter(target, VECTOR) as writer:
            for key, vector in zip(table.ids, table.matrix, strict=True):
                writer.write(key, (vector - mean).astype(np.float32))
                report.add_done()
    log(f"Wrote {report.done} vectors, failed for {len(report.failed)}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
