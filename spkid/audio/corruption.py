"""wav-reverberate as a function, and its lines in wav.scp: written for augmented copies, read without a process.

A line `wav-reverberate --additive-signals='noise.wav' --snrs='10' --start-times='0' speech.wav - |` is what Kaldi's
steps/data/augment_data_dir.py writes. Any shell can run it. Where nothing in it needs a shell, `Recording` calls
`rendered` instead, with the same bytes as result.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from spkid.audio.noise import Noise, corrupt
from spkid.audio.recording import Recording
from spkid.audio.wave import encode_wav
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import warn
from spkid.kaldi.options import option

TOOL = "wav-reverberate"
# What means something to a shell within double quotes or outside of any: such a line is left to it.
SHELL_SIGNS = frozenset("$`\\&;<>(){}*?[]~#!\n")


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


class AddedNoise(NamedTuple):
    """A noise of a line: file or command, signal-to-noise ratio in dB, second where it begins."""

    location: str
    snr: float
    start: float = 0.0


def corrupt_recording(source: str, options: ReverberationOptions) -> tuple[np.ndarray, float]:
    """What wav-reverberate does: (samples, channels) float32, and samples per second.

    Raises:
        InputError: a file that cannot be read, rates that differ, options that do not go together.
    """
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
    return samples, rate


def corruption_line(
    source: str, *, response: str = "", noises: Sequence[AddedNoise] = (), duration: float = 0.0, shift: bool = True
) -> str:
    """The wav.scp entry that puts a recording into a room and adds noises to it.

    Args:
        source: file or command, as in wav.scp.
        response: file or command; empty for no room.
        duration: seconds, where it is not 0: the result is cut or repeated (a background noise).

    Raises:
        InputError: a noise whose name holds a comma, which stands between noises.
    """
    words = [TOOL, f"--shift-output={str(shift).lower()}"]
    if response:
        words.append(f"--impulse-response={response}")
    if duration:
        words.append(f"--duration={duration:.4f}".rstrip("0").rstrip("."))
    if noises:
        comma = next((noise.location for noise in noises if "," in noise.location), None)
        if comma is not None:
            raise InputError(f"{comma}: a noise's name cannot hold a comma, which stands between noises: rename it")
        words.append("--additive-signals=" + ",".join(noise.location for noise in noises))
        words.append("--start-times=" + ",".join(f"{noise.start:g}" for noise in noises))
        words.append("--snrs=" + ",".join(f"{noise.snr:g}" for noise in noises))
    if source.rstrip().endswith("|"):
        return f"{source.rstrip()} {shlex.join([*words, '-', '-'])} |"
    return f"{shlex.join([*words, source, '-'])} |"


def rendered(entry: str) -> bytes | None:
    """The WAV that a wav.scp entry ending in wav-reverberate writes; None where a shell has to run it.

    Raises:
        InputError: as `corrupt_recording`.
    """
    stages = _stages(entry)
    if stages is None:
        return None
    words = shlex.split(stages[-1])
    if len(words) < 3 or words[0] != TOOL or words[-1] != "-":
        return None
    options, source = _options(words[1:-2]), words[-2]
    if options is None:
        return None
    if source == "-":
        if len(stages) == 1:
            return None
        before = shlex.split(stages[-2])
        reads_file = len(stages) == 2 and len(before) == 2 and before[0] == "cat"
        source = before[1] if reads_file else f"{'|'.join(stages[:-1])}|"
    elif len(stages) > 1:
        return None
    return encode_wav(*corrupt_recording(source, options))


def _options(words: Sequence[str]) -> ReverberationOptions | None:
    """The options of a line; None where others than those of `ReverberationOptions` are among them."""
    defaults = {field.name.replace("_", "-"): field.default for field in fields(ReverberationOptions)}
    values = {}
    for word in words:
        name, equals, text = word.removeprefix("--").partition("=")
        if not (word.startswith("--") and equals and name in defaults):
            return None
        kind = type(defaults[name])
        try:
            values[name.replace("-", "_")] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError):
            return None
    return ReverberationOptions(**values)


def _stages(entry: str) -> list[str] | None:
    """The commands of a pipe, split at each `|` outside of quotes; None where a shell is needed to understand it."""
    text = entry.strip().removesuffix("|")
    stages, quote, begin = [], "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
            if quote == '"' and sign in "$`\\!":
                return None
        elif sign in "'\"":
            quote = sign
        elif sign == "|":
            stages.append(text[begin:place])
            begin = place + 1
        elif sign in SHELL_SIGNS:
            return None
    stages.append(text[begin:])
    return None if quote or not all(stage.strip() for stage in stages) else stages


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
