"""add-deltas: appends time derivatives to features (featbin/add-deltas.cc)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.bin._memory import keep_freed_memory
from spkid.features.context import add_deltas
from spkid.features.options import DeltaOptions
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, TableWriter, read_table

USAGE = """Append deltas (time derivatives) to features, typically raw MFCC.
Usage: add-deltas [options] <feats-rspecifier> <feats-wspecifier>
e.g.: add-deltas --delta-order=2 scp:feats.scp ark:feats_deltas.ark"""


@dataclass(frozen=True)
class TruncationOptions:
    """Which columns are used."""

    truncate: int = option(0, "If nonzero, first truncate features to this dimension")

    def __post_init__(self) -> None:
        if self.truncate < 0:
            raise InputError(f"--truncate must not be negative, not {self.truncate}")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [DeltaOptions, TruncationOptions, ReportOptions]
    (options, truncation, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    keep_freed_memory()
    report = Report(reporting.report)
    columns = truncation.truncate or None
    with TableWriter(target, MATRIX) as writer:
        for utterance, features in read_table(source, MATRIX):
            if not len(features):
                report.add_failed(utterance, "its feature matrix is empty")
                continue
            if truncation.truncate > features.shape[1]:
                raise InputError(
                    f"{utterance}: --truncate={truncation.truncate} is more than the {features.shape[1]} columns it has"
                )
            writer.write(utterance, add_deltas(features[:, :columns], options))
            report.add_done()
    log(f"Added deltas to {report.done} utterances, {len(report.failed)} had errors.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
