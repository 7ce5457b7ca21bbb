"""wav-reverberate: puts a recording into a room and adds noises to it (featbin/wav-reverberate.cc)."""

from __future__ import annotations

import sys

from spkid.audio import write_wav
from spkid.audio.corruption import ReverberationOptions, corrupt_recording
from spkid.kaldi.logging import run_tool
from spkid.kaldi.options import parse_command_line

USAGE = """Corrupts a recording: convolves it with the impulse response of a room and adds noises at given
signal-to-noise ratios. The result is 16-bit WAV; samples outside its range are clipped, with a warning.
Usage: wav-reverberate [options] <wav-rxfilename> <wav-wxfilename>
e.g.: wav-reverberate --impulse-response=room.wav speech.wav reverberated.wav
  or: wav-reverberate --additive-signals="street.wav,sox door.wav -t wav - |" --snrs=10,5 --start-times=0,2.5 - -
See also: wav-copy"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (source, target) = parse_command_line(USAGE, [ReverberationOptions], argv, (2, 2))
    samples, rate = corrupt_recording(source, options)
    write_wav(target, samples, rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
