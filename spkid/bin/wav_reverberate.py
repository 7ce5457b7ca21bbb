"""wav-reverberate: puts a recording into a room and adds noises to it (featbin/wav-reverberate.cc)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.audio import Recording, write_wav
from spkid.audio.noise import Noise, corrupt
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import run_tool, warn
from spkid.kaldi.options import option, parse_command_line

USAGE = """Corrupts a recording: convolves it with the impulse response of a room and adds noises at given
signal-to-noise ratios. The result is 16-bit WAV; samples outside its range are clipped, with a warning.
Usage: wav-reverberate [options] <wav-rxfilename> <wav-wxfilename>
e.g.: wav-reverberate --impulse-response=room.wav speech.wav reverberated.wav
  or: wav-reverberate --additive-signals="street.wav,sox door.wav -t wav - |" --snrs=10,5 --start-times=0,2.5 - -
See also: wav-copy"""


@dataclass(frozen=True)
class ReverberationOptions:
    """Options of wav-reverberate."""

    impulse_response: str = option("", "Impulse response of a room: a file or a command ('sox rir.wav -t wav - |')")
    additive_signals: str = option("", "Noises to add: files or commands, between commas; needs --snrs, --start-times")
    snrs: str = option("", "Signal-to-noise ratio of each noise in dB, between commas")
    start_times: str = option("", "Where each noise begins, in seconds, between commas")
    shift_output: bool = option(
        True, "Cut off the delay of the room and its tail: as long as the input. If false, longer by the response"
    )
    normalize_output: bool = option(True, "Scale the result to the power of the input")
    volume: float = option(0.0, "Scale the result by this factor instead (0: see --normalize-output)")
    duration: float = option(0.0, "Seconds of the result: its beginning, or it is repeated (0: as it comes)")
    multi_channel_output: bool = option(False, "Write as many channels as the response has, each through its own")
    input_wave_channel: int = option(0, "Channel of the recording that is used, from 0")
    rir_channel: int = option(0, "Channel of the response (where the output has one channel)")
    noise_channel: int = option(0, "Channel of the noises (where the output has one channel)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (source, target) = parse_command_line(USAGE, [ReverberationOptions], argv, (2, 2))
    noise_files = _split(options.additive_signals)
    snrs = _numbers(options.snrs, "snrs", len(noise_files))
    starts = _numbers(options.start_times, "start-times", len(noise_files))
    signals, rate = _read(source)
    signal = _channel(signals, options.input_wave_channel, source)
    response = _read(options.impulse_response, rate)[0] if options.impulse_response else None
    noises = [_read(name, rate)[0] for name in noise_files]
    if options.multi_channel_output:
        if response is None:
            raise InputError("--multi-channel-output takes its channels from an --impulse-response")
        if options.rir_channel or options.noise_channel:
            warn("--rir-channel and --noise-channel do not matter with --multi-channel-output=true")
        channels = [(channel, channel) for channel in range(response.shape[1])]
    else:
        channels = [(options.rir_channel, options.noise_channel)]
    output = []
    for response_channel, noise_channel in channels:
        added = [
            Noise(_channel(samples, noise_channel, name), snr, start)
            for name, samples, snr, start in zip(noise_files, noises, snrs, starts, strict=True)
        ]
        try:
            corrupted = corrupt(
                signal,
                rate,
                response=None if response is None else _channel(response, response_channel, options.impulse_response),
                noises=added,
                shift=options.shift_output,
                normalize=options.normalize_output,
                volume=options.volume,
                duration=options.duration,
            )
        except ValueError as error:
            raise InputError(f"{source}: {error}") from None
        output.append(corrupted)
    samples = np.stack(output, axis=1)
    clipped = np.count_nonzero(np.abs(samples) > 1)
    if clipped:
        warn(f"{clipped} of the {samples.size} samples were clipped")
    write_wav(target, samples, rate)
    return 0


def _read(rxfilename: str, rate: float | None = None) -> tuple[np.ndarray, float]:
    """All channels, (samples, channels), and the rate, which must be this one."""
    with Recording(rxfilename) as recording:
        if rate is not None and recording.rate != rate:
            raise InputError(
                f"{rxfilename}: is sampled at {recording.rate:g} Hz and the recording at {rate:g} Hz: resample it"
            )
        return recording.read(), recording.rate


def _channel(samples: np.ndarray, channel: int, name: str) -> np.ndarray:
    if not 0 <= channel < samples.shape[1]:
        raise InputError(f"{name}: has {samples.shape[1]} channel(s), there is no channel {channel} (from 0)")
    return samples[:, channel]


def _split(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str, name: str, count: int) -> list[float]:
    words = _split(text)
    if len(words) != count:
        raise InputError(f"--{name} has {len(words)} values for {count} --additive-signals: each needs one")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [np.nan]
    if not np.isfinite(numbers).all():
        raise InputError(f"--{name} takes numbers between commas, not {text!r}")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
