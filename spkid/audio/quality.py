"""What can be said of recordings without listening: level, clipping, silence, an upper band that is empty."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from spkid.audio.recording import Recording
from spkid.audio.waves import SegmentLimits, segment_bounds
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.segments import Segment

TELEPHONE_HZ = 4600.0  # above it a filter that ends at 4 kHz leaves nothing
CLIPPING_RUN = 3  # so many samples in a row at the largest value were cut off; two happen by chance
CLIPPED_LEVEL = 0.25  # below this largest value a plateau is a matter of quantisation
FLOOR_DB = -120.0
BLOCK = 4096


@dataclass(frozen=True)
class Quality:
    """Measures of one utterance; levels in dB relative to full scale (a sine of amplitude 1 has -3)."""

    peak: float
    level: float
    clipped: float  # share of the samples that lie in runs at the largest value
    offset: float  # mean of the samples
    upper_band: float  # power above 4.6 kHz relative to all power, in dB; nan where the rate leaves no such band


@dataclass(frozen=True)
class Heard:
    """What was found out about one utterance; without `quality` it could not be read, and `failure` says why."""

    utterance: str
    seconds: float = 0.0
    rate: int = 0
    channels: int = 0
    quality: Quality | None = None
    failure: str = ""


def measure(samples: np.ndarray, rate: float) -> Quality:
    """Measures samples (n,) in +-1 of one channel.

    Clipping is found at whatever value it happened: recordings are often made quieter afterwards.
    """
    samples = np.asarray(samples, np.float64)
    offset = float(samples.mean())
    centred = samples - offset
    peak = float(np.abs(samples).max())
    upper = _upper_band(centred, rate) if rate > 2.1 * TELEPHONE_HZ else math.nan
    return Quality(_decibels(peak**2), _decibels(float(np.mean(centred**2))), _clipped(samples), offset, upper)


def listen(data: DataDir, nj: int) -> Iterator[Heard]:
    """Decodes every utterance once, recording by recording, in `nj` processes; of several channels the first.

    What cannot be read is an utterance without quality, and no error.
    """
    parts: dict[str, list[tuple[str, Segment | None]]] = {}
    if data.has("segments"):
        for utterance, segment in data.segments.items():
            parts.setdefault(segment.recording, []).append((utterance, segment))
    else:
        parts = {utterance: [(utterance, None)] for utterance in data.utterances}
    scripts = data.wav_scp
    work = [(scripts.get(name, ""), own) for name, own in parts.items()]
    with ProcessPoolExecutor(nj) as pool:
        for found in pool.map(_listen, work, chunksize=8):
            yield from found


def _listen(work: tuple[str, list[tuple[str, Segment | None]]]) -> list[Heard]:
    entry, utterances = work
    try:
        if not entry:
            raise InputError("its recording is not in wav.scp")
        recording = Recording(entry)
    except InputError as error:
        return [Heard(utterance, failure=str(error)) for utterance, _ in utterances]
    found = []
    with recording:
        describe = partial(Heard, rate=int(recording.rate), channels=recording.channels)
        for utterance, segment in utterances:
            try:
                start, stop = segment_bounds(recording, segment, SegmentLimits()) if segment else (0, None)
                samples = recording.read(start, stop)[:, max(0, segment.channel) if segment else 0]
                quality = measure(samples, recording.rate)
                found.append(describe(utterance, len(samples) / recording.rate, quality=quality))
            except InputError as error:
                found.append(describe(utterance, failure=str(error)))
    return found


def _clipped(samples: np.ndarray) -> float:
    """Share of the samples in runs of CLIPPING_RUN or more at the largest or at the smallest value."""
    at_edge = np.zeros(len(samples), bool)
    for edge in (samples.max(), samples.min()):
        if abs(edge) >= CLIPPED_LEVEL:
            at_edge |= samples == edge
    bounds = np.flatnonzero(np.diff(np.concatenate(([0], at_edge.view(np.int8), [0]))))
    runs = bounds[1::2] - bounds[::2]
    return float(runs[runs >= CLIPPING_RUN].sum() / len(samples))


def _upper_band(samples: np.ndarray, rate: float) -> float:
    """Power above TELEPHONE_HZ relative to all of it, in dB."""
    whole = len(samples) // BLOCK
    blocks = samples[: whole * BLOCK].reshape(whole, BLOCK) if whole else samples[None]
    spectrum = (np.abs(np.fft.rfft(blocks * np.hanning(blocks.shape[1]), axis=1)) ** 2).sum(axis=0)
    frequencies = np.fft.rfftfreq(blocks.shape[1], 1 / rate)
    total = spectrum.sum()
    return _decibels(float(spectrum[frequencies > TELEPHONE_HZ].sum() / total)) if total else FLOOR_DB


def _decibels(power: float) -> float:
    return max(FLOOR_DB, 10 * math.log10(power)) if power > 0 else FLOOR_DB
