"""extract-segments: cuts recordings into utterances."""

from __future__ import annotations

import dataclasses
import sys

from spkid.audio import ALL_CHANNELS, WAVE, SegmentLimits, WaveOptions, read_waves
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import TableWriter

USAGE = """Extracts the segments of recordings (lines "utterance recording start end [channel]", in seconds; end -1 is
the recording's end) and writes them as 16-bit WAV.
Usage: extract-segments [options] <wav-rspecifier> <segments-file> <wav-wspecifier>
e.g.: extract-segments scp:data/train/wav.scp data/train/segments ark:- | compute-mfcc-feats ark:- ark:mfcc.ark"""


@dataclasses.dataclass(frozen=True)
class SegmentOptions:
    """Options of the tool."""

    min_segment_length: float = option(0.1, "Segments of at most this many seconds are left out")
    max_overshoot: float = option(0.5, "Seconds that a segment may end behind its recording (it is cut there)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, segments, target) = parse_command_line(
        USAGE, [SegmentOptions, ReportOptions], argv, (3, 3)
    )
    report = Report(reporting.report)
    limits = SegmentLimits(options.min_segment_length, options.max_overshoot)
    with TableWriter(target, WAVE) as writer:
        for key, wave in read_waves(
            source, segments=segments, options=WaveOptions(channel=ALL_CHANNELS), limits=limits
        ):
            if isinstance(wave, InputError):
                report.add_failed(key, wave)
                continue
            writer.write(key, wave)
            report.add_done()
    log(f"Extracted {report.done} of {report.done + len(report.failed)} segments.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
