"""vector-sum: adds vectors."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.bin._summing import add
from spkid.kaldi.logging import run_tool
from spkid.kaldi.matrix import save_vector
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import VECTOR

USAGE = """Add vectors (e.g. speaker vectors): tables id by id, all of one table, or single files
Usage: vector-sum [options] <vector-in-rspecifier1> [<vector-in-rspecifier2> ...] <vector-out-wspecifier>
or:    vector-sum [options] <vector-in-rspecifier> <vector-out-wxfilename>
or:    vector-sum [options] <vector-in-rxfilename1> <vector-in-rxfilename2> [...] <vector-out-wxfilename>
e.g.: vector-sum ark:1.ark ark:2.ark ark:sum.ark
  or: vector-sum --binary=false 1.vec 2.vec 3.vec sum.vec
See also: copy-vector, matrix-sum"""


@dataclass(frozen=True)
class SumOptions:
    """Options of vector-sum (bin/vector-sum.cc)."""

    binary: bool = option(True, "If true, write output as binary (only if the output is a file)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (*sources, target) = parse_command_line(USAGE, [SumOptions, ReportOptions], argv, (2, None))
    report = Report(reporting.report)
    return add(sources, target, VECTOR, save_vector, report, binary=options.binary)


if __name__ == "__main__":
    sys.exit(main())
