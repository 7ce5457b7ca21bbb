"""wav-copy: copies recordings, whatever their format, as 16-bit WAV."""

from __future__ import annotations

import sys

from spkid.audio import ALL_CHANNELS, WAVE, Recording, WaveOptions, read_waves, write_wav
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import TableWriter, is_table

USAGE = """Copies a table of recordings, or one recording, as 16-bit WAV (all channels, at their own rate).
Usage: wav-copy [options] <wav-rspecifier> <wav-wspecifier>
  or:  wav-copy [options] <wav-rxfilename> <wav-wxfilename>
e.g.: wav-copy scp:wav.scp ark:-
      wav-copy wav.ark:123456 -"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (reporting,), (source, target) = parse_command_line(USAGE, [ReportOptions], argv, (2, 2))
    if not is_table(source):
        with Recording(source) as recording:
            write_wav(target, recording.read(), recording.rate)
        return 0
    report = Report(reporting.report)
    with TableWriter(target, WAVE) as writer:
        for key, wave in read_waves(source, options=WaveOptions(channel=ALL_CHANNELS)):
            if isinstance(wave, InputError):
                report.add_failed(key, wave)
                continue
            writer.write(key, wave)
            report.add_done()
    log(f"Copied {report.done} recordings.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
