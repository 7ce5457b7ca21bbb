"""feat-to-dim: the dimension of features."""

from __future__ import annotations

import sys

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_output
from spkid.kaldi.logging import run_tool
from spkid.kaldi.matrix import matrix_shape
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import INT, SHAPE, TableWriter, is_table, read_table

USAGE = """Reads features. If the second argument is a wxfilename, writes to it the feature dimension of the first
utterance that has frames; if it is a wspecifier, writes an archive of the feature dimensions, indexed by utterance id.
Usage: feat-to-dim [options] <feats-rspecifier or rxfilename> (<dim-wspecifier>|<dim-wxfilename>)
e.g.: feat-to-dim scp:data/test/feats.scp -
  or: feat-to-dim scp:data/test/feats.scp ark,t:dims"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (reporting,), (source, target) = parse_command_line(USAGE, [ReportOptions], argv, (2, 2))
    report = Report(reporting.report)
    if is_table(target):
        with TableWriter(target, INT) as writer:
            for key, (_, dimension) in read_table(source, SHAPE):
                writer.write(key, dimension)
                report.add_done()
        return report.finish()
    if is_table(source):
        dimension = next((columns for _, (rows, columns) in read_table(source, SHAPE) if rows), 0)
    else:
        dimension = matrix_shape(source)[1]
    if not dimension:
        raise InputError(f"{source}: no features in it (no utterance has frames)")
    with open_output(target) as stream:
        stream.write(f"{dimension}\n".encode())
    report.add_done()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
