"""What tools that make other recordings of a table of recordings share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from spkid.audio import WAVE, Wave, WaveOptions, read_waves
from spkid.kaldi import InputError
from spkid.kaldi.options import option
from spkid.kaldi.report import Report
from spkid.kaldi.tables import FLOAT, TableWriter


@dataclass(frozen=True)
class DurationOptions:
    """What else is written."""

    write_utt2dur: str = option("", "Wspecifier to write the duration of each result in seconds, e.g. 'ark,t:utt2dur'")


def change_waves(
    source: str, target: str, change: Callable[[Wave], Wave], durations_target: str, report: Report
) -> None:
    """Writes what `change` makes of each recording (first channel), and how long it is.

    A recording that cannot be read, or of which `change` raises InputError, is one more of the report's failures.
    """
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(TableWriter(target, WAVE))
        durations = opened.enter_context(TableWriter(durations_target, FLOAT)) if durations_target else None
        for key, wave in read_waves(source, options=WaveOptions()):
            try:
                if isinstance(wave, InputError):
                    raise wave
                changed = change(wave)
            except InputError as error:
                report.add_failed(key, error)
                continue
            writer.write(key, changed)
            if durations is not None:
                durations.write(key, changed.duration)
            report.add_done()
