"""paste-feats: puts the columns of several feature matrices side by side."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.bin._combining import combine_tables
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, is_table

USAGE = """Paste feature files (assuming they have the same lengths); think of the unix command paste a b.
Usage: paste-feats [options] <in-rspecifier1> <in-rspecifier2> [<in-rspecifier3> ...] <out-wspecifier>
or:    paste-feats [options] <in-rxfilename1> <in-rxfilename2> [<in-rxfilename3> ...] <out-wxfilename>
e.g.: paste-feats ark:mfcc.ark "scp:head -n 10 pitch.scp |" ark:out.ark
  or: paste-feats foo.mat bar.mat baz.mat"""


@dataclass(frozen=True)
class PasteOptions:
    """Options of paste-feats (featbin/paste-feats.cc)."""

    length_tolerance: int = option(0, "Tolerate small length differences of feats (trim at end)")
    binary: bool = option(True, "If true, output files in binary (only for single-file operation, i.e. no tables)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (*sources, target) = parse_command_line(USAGE, [PasteOptions, ReportOptions], argv, (3, None))
    report = Report(reporting.report)
    if not is_table(sources[0]):
        save_matrix(target, paste([MATRIX.load(name) for name in sources], options.length_tolerance), options.binary)
        log(f"Wrote appended features to {target or '-'}")
        report.add_done()
        return report.finish()
    combine_tables(sources, target, MATRIX, lambda values: paste(values, options.length_tolerance), report)
    log(f"Done {report.done} utts, errors on {len(report.failed)}")
    return report.finish()


def paste(matrices: list[np.ndarray], tolerance: int) -> np.ndarray:
    """The columns of all matrices, as many rows as the shortest has.

    Raises:
        InputError: a matrix is empty, or the numbers of rows differ by more than the tolerance.
    """
    lengths = [len(matrix) for matrix in matrices]
    shortest, longest = min(lengths), max(lengths)
    if shortest == 0 or longest - shortest > tolerance:
        raise InputError(f"length mismatch {longest} vs. {shortest} exceeds tolerance {tolerance}")
    return np.hstack([matrix[:shortest] for matrix in matrices])


if __name__ == "__main__":
    sys.exit(main())
