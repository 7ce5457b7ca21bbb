"""wav-perturb-speed: plays recordings faster or slower (as `sox speed` does for Kaldi)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.audio import Wave, resample
from spkid.bin._waves import DurationOptions, change_waves
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report

USAGE = """Copies recordings as 16-bit WAV that play --factor times as fast: time and pitch change together.
Usage: wav-perturb-speed [options] <wav-rspecifier> <wav-wspecifier>
e.g.: wav-perturb-speed --factor=0.9 scp:wav.scp ark,scp:slow.ark,slow.scp"""

SLOWEST, FASTEST = 0.5, 2.0


@dataclass(frozen=True)
class SpeedOptions:
    """How fast."""

    factor: float = option(1.0, "Speed, 1 is that of the recording")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [SpeedOptions, DurationOptions, ReportOptions]
    (speed, durations, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    if not SLOWEST <= speed.factor <= FASTEST:
        raise InputError(f"--factor {speed.factor:g} will not do: it is from {SLOWEST:g} to {FASTEST:g}")
    report = Report(reporting.report)

    def faster(wave: Wave) -> Wave:
        return Wave(resample(wave.samples, speed.factor, 1.0), wave.rate)

    change_waves(source, target, faster, durations.write_utt2dur, report)
    log(f"{report.done} recordings at {speed.factor:g} times their speed.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
