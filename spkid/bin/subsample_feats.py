"""subsample-feats: keeps every n-th frame."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, TableWriter, read_table

USAGE = """Sub-samples features by taking every n'th frame. With negative n, repeats each frame n times.
Usage: subsample-feats [options] <in-rspecifier> <out-wspecifier>
e.g.: subsample-feats --n=2 ark:feats.ark ark:-"""


@dataclass(frozen=True)
class SubsampleOptions:
    """Options of subsample-feats (featbin/subsample-feats.cc)."""

    n: int = option(1, "Take every n'th frame, for this value of n (with negative value, repeats each frame n times)")
    offset: int = option(0, "Start with the frame of this number, then take every n'th; it must lie in 0 ... n-1")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [SubsampleOptions, ReportOptions], argv, (2, 2))
    if options.n == 0 or options.offset not in range(max(options.n, 1)):
        raise InputError(f"--n={options.n} --offset={options.offset}: n is not 0, and the offset lies in 0 ... n-1")
    report = Report(reporting.report)
    with TableWriter(target, MATRIX) as writer:
        for key, matrix in read_table(source, MATRIX):
            kept = matrix[options.offset :: options.n] if options.n > 0 else np.repeat(matrix, -options.n, axis=0)
            if len(kept):
                writer.write(key, kept)
                report.add_done()
            else:
                report.add_failed(key, "the output would have no rows")
    log(f"Sub-sampled {report.done} feats; {len(report.failed)} with errors.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
