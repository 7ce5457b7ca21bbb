"""copy-feats: copies feature matrices, and changes their format."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.matrix import load_matrix, save_matrix
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import INT, MATRIX, TableWriter, compressed_matrix, is_table, read_table

USAGE = """Copy features [and possibly change format]
Usage: copy-feats [options] <feature-rspecifier> <feature-wspecifier>
or:    copy-feats [options] <feats-rxfilename> <feats-wxfilename>
e.g.: copy-feats scp:data/test/feats.scp ark,scp:foo.ark,foo.scp
  or: copy-feats --compress=true ark:foo.ark ark:small.ark
  or: copy-feats ark:foo.ark ark,t:-
See also: copy-matrix, subsample-feats, paste-feats, feat-to-len, feat-to-dim"""


@dataclass(frozen=True)
class CopyOptions:
    """Options of copy-feats (featbin/copy-feats.cc)."""

    binary: bool = option(True, "Binary-mode output (not relevant if writing to archive)")
    compress: bool = option(False, "If true, write output in compressed form (tables only)")
    compression_method: int = option(
        1,
        "Only relevant if --compress=true; the method (1 through 7): 1 automatic, 2 speech features, 3 two bytes, "
        "4 two-byte signed integers, 5 one byte, 6 one-byte unsigned integers, 7 one byte for values from 0 to 1",
    )
    write_num_frames: str = option(
        "", "Wspecifier to write length in frames of each utterance, e.g. 'ark,t:utt2num_frames' (tables only)"
    )


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [CopyOptions, ReportOptions], argv, (2, 2))
    if not 1 <= options.compression_method <= 7:
        raise InputError(f"--compression-method is 1 to 7, not {options.compression_method}")
    if not is_table(source):
        if options.compress or options.write_num_frames:
            raise InputError("--compress and --write-num-frames work on tables (ark:, scp:), not on single files")
        save_matrix(target, load_matrix(source), options.binary)
        log(f"Copied features from {source or '-'} to {target or '-'}")
        return 0
    report = Report(reporting.report)
    holder = compressed_matrix(options.compression_method) if options.compress else MATRIX
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(TableWriter(target, holder))
        lengths = opened.enter_context(TableWriter(options.write_num_frames, INT)) if options.write_num_frames else None
        for key, matrix in read_table(source, MATRIX):
            writer.write(key, matrix)
            if lengths is not None:
                lengths.write(key, len(matrix))
            report.add_done()
    log(f"Copied {report.done} feature matrices.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
