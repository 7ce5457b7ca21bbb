"""Recordings whose speech is known: utterances with pauses between them, marked before noise is added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spkid.audio.labels import Interval, intervals_of, merge
from spkid.audio.noise import Noise, add_noise

FRAME_SECONDS = 0.01
QUIETEST_SPEECH = -35.0  # dB under the loudest frames of an utterance
FLOOR_TO_TOP = 0.4  # speech is louder than this share of the way from the quietest frames to the loudest, in dB
PAUSE_IN_SPEECH = 0.2  # shorter pauses belong to the speech around them, in seconds
CLICK = 0.05  # what is shorter is no speech, in seconds


def speech_intervals(samples: np.ndarray, rate: int) -> list[Interval]:
    """Where a clean utterance has speech: frames well above its quiet ones, short pauses between them too.

    samples: (samples,) float in +-1.
    """
    size = round(FRAME_SECONDS * rate)
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    if not len(frames):
        return []
    decibels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    floor, top = np.percentile(decibels, (5, 95))
    loud = decibels > max(top + QUIETEST_SPEECH, floor + FLOOR_TO_TOP * (top - floor))
    joined: list[Interval] = []
    for start, end in intervals_of(loud, FRAME_SECONDS):
        if joined and start - joined[-1][1] < PAUSE_IN_SPEECH:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return merge([(start, end) for start, end in joined if end - start > CLICK])


def marked_recording(
    utterances: Sequence[np.ndarray],
    rate: int,
    random: np.random.Generator,
    noise: np.ndarray | None = None,
    snr: float = 15.0,
    pauses: tuple[float, float] = (0.5, 3.0),
) -> tuple[np.ndarray, list[Interval]]:
    """Utterances one after another with pauses, and noise over all of it.

    Args:
        utterances: clean speech, (samples,) each.
        noise: (samples,), repeated from a random place on; None for white noise.
        snr: of the speech, pauses not counted, in dB.
        pauses: shortest and longest, in seconds; also before the first and after the last.

    Returns:
        (samples,) float32 in +-1, and where there is speech, in seconds.
    """
    pieces, marks, time = [], [], 0.0
    for utterance in [*utterances, None]:
        pause = np.zeros(round(random.uniform(*pauses) * rate), np.float32)
        pieces.append(pause)
        time += len(pause) / rate
        if utterance is not None:
            marks += [(time + start, time + end) for start, end in speech_intervals(utterance, rate)]
            pieces.append(utterance.astype(np.float32))
            time += len(utterance) / rate
    clean = np.concatenate(pieces)
    spoken = np.concatenate([utterance.astype(np.float64) for utterance in utterances])
    if noise is None:
        noise = random.standard_normal(len(clean)).astype(np.float32)
    noise = np.resize(np.roll(noise, -int(random.integers(len(noise)))), len(clean))
    noisy = add_noise(clean, Noise(noise, snr), rate, signal_power=float(np.mean(spoken**2)))
    return noisy / max(1.0, float(np.abs(noisy).max()) / 0.99), merge(marks)
