"""wav-to-duration: the length of each recording in seconds."""

from __future__ import annotations

import dataclasses
import sys

from spkid.audio.durations import read_durations
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import FLOAT, TableWriter

USAGE = """Reads WAV (or FLAC, ...) and writes an archive that maps utterance-id to its duration in seconds.
Usage: wav-to-duration [options...] <wav-rspecifier> <duration-wspecifier>
e.g.: wav-to-duration scp:data/train/wav.scp ark,t:data/train/reco2dur"""


@dataclasses.dataclass(frozen=True)
class DurationOptions:
    """Options of the tool."""

    read_entire_file: bool = option(False, "Decode every sample instead of trusting the header")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), arguments = parse_command_line(USAGE, [DurationOptions, ReportOptions], argv, (2, 2))
    report = Report(reporting.report)
    total = 0.0
    with TableWriter(arguments[1], FLOAT) as writer:
        for key, duration in read_durations(arguments[0], decode=options.read_entire_file):
            if isinstance(duration, InputError):
                report.add_failed(key, duration)
                continue
            writer.write(key, duration)
            total += duration
            report.add_done()
    if report.done:
        log(f"{report.done} recordings, {total:.2f} seconds, {total / report.done:.3f} on average")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
