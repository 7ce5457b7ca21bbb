"""wav-remove-silence: leaves out the chunks of recordings that are below a level (Deep Speaker's detector)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.audio import Wave
from spkid.bin._waves import DurationOptions, change_waves
from spkid.features.deep_speaker import remove_silence
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report

USAGE = """Copies recordings as 16-bit WAV without their chunks of 50 ms that are below a level. The level is Deep
Speaker's: 20 log10 of the root of the sum of squares of the 16-bit samples, over their number.
Usage: wav-remove-silence [options] <wav-rspecifier> <wav-wspecifier>
e.g.: wav-remove-silence --threshold=15 scp:wav.scp ark,scp:speech.ark,speech.scp"""


@dataclass(frozen=True)
class SilenceOptions:
    """What is left out, and how short the rest may be."""

    threshold: float = option(15.0, "Level in dB below which a chunk is left out")
    min_duration: float = option(0.0, "What is shorter is filled up with zeros to so many seconds (Deep Speaker: 1.61)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [SilenceOptions, DurationOptions, ReportOptions]
    (options, durations, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    report = Report(reporting.report)
    before = after = 0.0

    def speech_of(wave: Wave) -> Wave:
        nonlocal before, after
        speech = remove_silence(wave.samples, wave.rate, options.threshold)
        if not len(speech):
            raise InputError(f"no chunk of it reaches {options.threshold:g} dB")
        before, after = before + wave.duration, after + len(speech) / wave.rate
        missing = round(options.min_duration * wave.rate) - len(speech)
        return Wave(np.pad(speech, (0, max(missing, 0))), wave.rate)

    change_waves(source, target, speech_of, durations.write_utt2dur, report)
    if before:
        log(f"Kept {100 * after / before:.1f}% of {before:.0f} s in {report.done} recordings.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
