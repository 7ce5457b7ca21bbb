"""Durations of recordings and utterances, from headers where there are headers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from spkid.audio.recording import Recording
from spkid.audio.waves import ALL_CHANNELS, WaveOptions, read_waves, wave_script
from spkid.kaldi import DataDir, InputError


class Durations(NamedTuple):
    """Seconds by utterance; by recording, where there are segments (else empty); and why others could not be had."""

    utterances: dict[str, float]
    recordings: dict[str, float]
    failed: dict[str, str]


def recording_duration(rxfilename: str) -> float:
    """Seconds of one recording. Raises InputError as `Recording` does."""
    with Recording(rxfilename) as recording:
        return recording.num_samples / recording.rate


def read_durations(rspecifier: str, *, decode: bool = False) -> Iterator[tuple[str, float | InputError]]:
    """Yields id and seconds (or what is wrong) of each wave of a table; `decode` reads every sample, not headers."""
    script = None if decode else wave_script(rspecifier)
    if script is not None:
        yield from ((key, _try_duration(rxfilename)) for key, rxfilename in script.items())
        return
    for key, wave in read_waves(rspecifier, options=WaveOptions(channel=ALL_CHANNELS)):
        yield key, wave if isinstance(wave, InputError) else wave.duration


def utterance_durations(data: DataDir, *, jobs: int = 1, frame_shift: float = 0.01) -> Durations:
    """Durations of a directory's utterances: from wav.scp and segments, or without audio from utt2num_frames.

    Args:
        jobs: recordings opened at a time (commands run side by side).
        frame_shift: seconds, for durations from frames.
    """
    if not data.has("wav.scp") and data.has("utt2num_frames"):
        return Durations({key: int(value) * frame_shift for key, value in data.read("utt2num_frames").items()}, {}, {})
    failed: dict[str, str] = {}
    lengths: dict[str, float] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for name, result in zip(data.wav_scp, pool.map(_try_duration, data.wav_scp.values()), strict=True):
            if isinstance(result, InputError):
                failed[name] = str(result)
            else:
                lengths[name] = result
    if not data.has("segments"):
        return Durations(lengths, {}, failed)
    utterances: dict[str, float] = {}
    for utterance, segment in data.segments.items():
        if segment.recording not in lengths:
            failed.setdefault(segment.recording, f"is in segments (utterance {utterance}) but not in wav.scp")
            continue
        length = lengths[segment.recording]
        end = length if segment.end < 0 else min(segment.end, length)
        if end <= segment.start:
            failed[utterance] = f"begins at {segment.start:g} s of {segment.recording}, which ends at {length:g} s"
        else:
            utterances[utterance] = end - segment.start
    return Durations(utterances, lengths, failed)


def _try_duration(rxfilename: str) -> float | InputError:
    try:
        return recording_duration(rxfilename)
    except InputError as error:
        return error
