"""The waves of a wav.scp, one after another, whole or cut into segments: where every tool gets its audio."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spkid.audio.recording import Recording, no_samples
from spkid.audio.resampling import resample as resample_samples
from spkid.audio.wave import WAVE, Wave
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, warn
from spkid.kaldi.segments import Segment, parse_segment
from spkid.kaldi.tables import read_id_map, read_script, read_table

ALL_CHANNELS = -2  # as WaveOptions.channel: keep every channel, samples are (samples, channels)


@dataclass(frozen=True)
class WaveOptions:
    """What a wave must be like.

    Attributes:
        rate: samples per second that are wanted; None takes each recording's own.
        channel: which channel, from 0; -1 expects one, and takes the first with a warning where there are several (as
            Kaldi); `ALL_CHANNELS` keeps all.
        allow_downsample, allow_upsample: resample a recording of a higher or lower rate instead of refusing it.
    """

    rate: float | None = None
    channel: int = -1
    allow_downsample: bool = False
    allow_upsample: bool = False


@dataclass(frozen=True)
class SegmentLimits:
    """How exact the times in `segments` must be, in seconds (Kaldi's extract-segments).

    Attributes:
        min_length: shorter segments are refused.
        max_overshoot: an end this far behind the recording's end is cut back to it; one further out is refused.
    """

    min_length: float = 0.1
    max_overshoot: float = 0.5


def read_audio(
    rxfilename: str, *, rate: float | None = None, channel: int | None = None, resample: bool = False
) -> tuple[np.ndarray, float]:
    """Reads one recording.

    Args:
        rxfilename: path, `command |`, `path:offset` or `-`.
        rate: the rate that is wanted, in samples per second (None: the file's own).
        channel: which channel, from 0 (None: the only one).
        resample: change another rate to `rate` instead of refusing it.

    Returns:
        (samples,) float32 in +-1, and samples per second.

    Raises:
        InputError: not readable, truncated, corrupt, empty, NaN, another rate, a channel that is not there.
    """
    options = WaveOptions(rate, -1 if channel is None else channel, allow_downsample=resample, allow_upsample=resample)
    with Recording(rxfilename) as recording:
        return Preparation(options)(recording.read(), recording.rate, recording.name)


def read_waves(
    rspecifier: str,
    *,
    segments: str | None = None,
    options: WaveOptions | None = None,
    limits: SegmentLimits | None = None,
) -> Iterator[tuple[str, Wave | InputError]]:
    """Reads the waves of a table in its order, or of `segments` in that file's order.

    Args:
        rspecifier: `scp:wav.scp`, `ark:-`, ... (with `segments`: a script, `scp:...`).
        segments: file of segments; ids are then those of the utterances. Only their samples are decoded, and a
            recording stays open while consecutive segments are cut from it.

    Yields:
        `(id, Wave)` with (samples,) float32 in +-1, or `(id, InputError)` where this one cannot be had: the message
        names the file and what to do. The caller notes both (`Report.add_failed`) and goes on.

    Raises:
        InputError: the table or the file of segments itself cannot be read.
    """
    prepare = Preparation(options or WaveOptions())
    script = wave_script(rspecifier)
    if segments is not None:
        if script is None:
            raise InputError(f"{rspecifier}: segments are cut from a script: give scp:wav.scp")
        yield from _read_segments(script, segments, prepare, limits or SegmentLimits())
    elif script is not None:
        for key, rxfilename in script.items():
            try:
                with Recording(rxfilename) as recording:
                    wave = prepare(recording.read(), recording.rate, recording.name, key)
            except InputError as error:
                yield key, error
            else:
                yield key, wave
    else:
        for key, wave in read_table(rspecifier, WAVE):
            try:
                prepared = prepare(wave.samples, wave.rate, rspecifier, key)
            except InputError as error:
                yield key, error
            else:
                yield key, prepared


def _read_segments(
    script: dict[str, str], path: str, prepare: "Preparation", limits: SegmentLimits
) -> Iterator[tuple[str, Wave | InputError]]:
    current: str | None = None
    recording: Recording | InputError | None = None
    for utterance, text in read_id_map(path).items():
        try:
            segment = parse_segment(utterance, text, path)
            if segment.recording != current:
                if isinstance(recording, Recording):
                    recording.close()
                current, recording = segment.recording, _open(script, segment.recording, path)
            if isinstance(recording, InputError):
                raise recording
            start, stop = segment_bounds(recording, segment, limits)
            wave = prepare(recording.read(start, stop), recording.rate, recording.name, utterance, segment.channel)
        except InputError as error:
            yield utterance, error
        else:
            yield utterance, wave
    if isinstance(recording, Recording):
        recording.close()


def _open(script: dict[str, str], name: str, path: str) -> "Recording | InputError":
    """The recording, or why it cannot be had: kept, so that a bad recording of a thousand segments is tried once."""
    if name not in script:
        return InputError(f"{path}: its recording {name} is not in wav.scp: add it, or run utils/fix_data_dir.py")
    try:
        return Recording(script[name])
    except InputError as error:
        return error


def segment_bounds(recording: Recording, segment: Segment, limits: SegmentLimits) -> tuple[int, int]:
    """The samples [start, stop) of a recording that a segment is. Raises InputError for one that cannot be."""
    rate, length = recording.rate, recording.num_samples
    start = int(segment.start * rate)
    stop = length if segment.end == -1 else int(segment.end * rate)
    if start >= length or (stop > length and stop >= length + int(limits.max_overshoot * rate)):
        raise InputError(
            f"{recording.name}: a segment from {segment.start:g} to {segment.end:g} s is asked of a recording of "
            f"{length / rate:.2f} s: correct segments"
        )
    stop = min(stop, length)
    if stop <= start + int(limits.min_length * rate):
        raise InputError(
            f"{recording.name}: a segment of {(stop - start) / rate:.3f} s is too short "
            f"(more than {limits.min_length:g} s is wanted)"
        )
    return start, stop


def wave_script(rspecifier: str) -> dict[str, str] | None:
    """The lines of `scp:...`, which are opened one by one here; None for an archive."""
    kind, _, path = rspecifier.partition(":")
    return read_script(path) if "scp" in kind.split(",") else None


class Preparation:
    """Channel, rate and sanity of decoded samples; says each kind of change once."""

    def __init__(self, options: WaveOptions):
        self.options = options
        self._said: set[object] = set()

    def __call__(self, samples: np.ndarray, rate: float, name: str, key: str = "", channel: int = -1) -> Wave:
        """`samples` (samples, channels); `channel` (of a segment) goes before the options'."""
        if not len(samples):
            raise no_samples(name)
        samples = self.select(samples, name, channel)
        if not samples.any():
            warn(f"{key or name}: all samples are zero" + (f" ({name})" if key else ""))
        return Wave(*self._convert(samples, rate, name))

    def select(self, samples: np.ndarray, name: str, channel: int = -1) -> np.ndarray:
        """The channel that is wanted: (samples, channels) -> (samples,), or all of them for `ALL_CHANNELS`."""
        channel = channel if channel >= 0 else self.options.channel
        channels = samples.shape[1]
        if channel == ALL_CHANNELS:
            return samples
        if channel >= channels:
            raise InputError(f"{name}: has {channels} channel(s), there is no channel {channel} (they count from 0)")
        if channel < 0 and channels > 1 and "channels" not in self._said:
            self._said.add("channels")
            warn(f"{name}: has {channels} channels; the first is taken, here and below (--channel chooses another)")
        return np.ascontiguousarray(samples[:, max(channel, 0)])

    def _convert(self, samples: np.ndarray, rate: float, name: str) -> tuple[np.ndarray, float]:
        wanted = self.rate_for(rate, name)
        return (samples if wanted == rate else resample_samples(samples, rate, wanted)), wanted

    def rate_for(self, rate: float, name: str) -> float:
        """The rate that a recording of `rate` is to have; InputError where that takes resampling without leave."""
        wanted = self.options.rate
        if wanted is None or rate == wanted:
            return float(rate)
        option = "allow_downsample" if rate > wanted else "allow_upsample"
        allowed = self.options.allow_downsample if rate > wanted else self.options.allow_upsample
        if not allowed:
            raise InputError(
                f"{name}: is sampled at {rate:g} Hz, {wanted:g} Hz is wanted: --{option.replace('_', '-')}=true (in a "
                f"recipe features.options.{option}) resamples it, or set the sampling frequency to the data's"
            )
        if rate not in self._said:
            self._said.add(rate)
            log(f"resampling from {rate:g} to {wanted:g} Hz ({name} and all others of that rate)")
        return float(wanted)
