"""wav-remove-silence: leaves out the chunks of recordings that are below a level (Deep Speaker's detector)."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

import numpy as np

from spkid.audio import WAVE, Wave, WaveOptions, read_waves
from spkid.features.deep_speaker import remove_silence
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import FLOAT, TableWriter

USAGE = """Copies recordings as 16-bit WAV without their chunks of 50 ms that are below a level. The level is Deep
Speaker's: 20 log10 of the root of the sum of squares of the 16-bit samples, over their number.
Usage: wav-remove-silence [options] <wav-rspecifier> <wav-wspecifier>
e.g.: wav-remove-silence --threshold=15 scp:wav.scp ark,scp:speech.ark,speech.scp"""


@dataclass(frozen=True)
class SilenceOptions:
    """What is left out, and how short the rest may be."""

    threshold: float = option(15.0, "Level in dB below which a chunk is left out")
    min_duration: float = option(0.0, "What is shorter is filled up with zeros to so many seconds (Deep Speaker: 1.61)")
    write_utt2dur: str = option("", "Wspecifier to write the duration of each result in seconds, e.g. 'ark,t:utt2dur'")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [SilenceOptions, ReportOptions], argv, (2, 2))
    report = Report(reporting.report)
    before = after = 0.0
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(TableWriter(target, WAVE))
        durations = opened.enter_context(TableWriter(options.write_utt2dur, FLOAT)) if options.write_utt2dur else None
        for key, wave in read_waves(source, options=WaveOptions()):
            if isinstance(wave, InputError):
                report.add_failed(key, wave)
                continue
            speech = remove_silence(wave.samples, wave.rate, options.threshold)
            if not len(speech):
                report.add_failed(key, f"no chunk of it reaches {options.threshold:g} dB")
                continue
            before, after = before + wave.duration, after + len(speech) / wave.rate
            missing = round(options.min_duration * wave.rate) - len(speech)
            filled = Wave(np.pad(speech, (0, max(missing, 0))), wave.rate)
            writer.write(key, filled)
            if durations is not None:
                durations.write(key, filled.duration)
            report.add_done()
    if before:
        log(f"Kept {100 * after / before:.1f}% of {before:.0f} s in {report.done} recordings.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
