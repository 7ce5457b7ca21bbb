"""feat-to-len: the number of frames of each utterance, or of all together."""

from __future__ import annotations

import contextlib
import sys

from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import INT, SHAPE, TableWriter, read_table

USAGE = """Reads an archive of features and writes a corresponding archive that maps utterance-id to utterance length in
frames, or (with one argument) prints to stdout the total number of frames in the input archive.
Usage: feat-to-len [options] <in-rspecifier> [<out-wspecifier>]
e.g.: feat-to-len scp:data/test/feats.scp ark,t:data/test/utt2num_frames
  or: feat-to-len scp:data/test/feats.scp"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (reporting,), arguments = parse_command_line(USAGE, [ReportOptions], argv, (1, 2))
    report = Report(reporting.report)
    total = 0
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(TableWriter(arguments[1], INT)) if len(arguments) == 2 else None
        for key, (frames, _) in read_table(arguments[0], SHAPE):
            if writer is not None:
                writer.write(key, frames)
            total += frames
            report.add_done()
    if writer is None:
        print(total)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
