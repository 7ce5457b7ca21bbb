"""Reverberation: measured impulse responses of rooms, and simulated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spkid.audio.reverberation import convolve, power
from spkid.data.augment_noise import open_augmentation_audio
from spkid.kaldi import InputError

KEPT_BYTES = 64 << 20  # of responses
DECAY = 3 * np.log(10.0)  # amplitude: 60 dB, a factor of 1000, in the time RT60
FIRST_REFLECTION = (0.002, 0.015)  # seconds after the direct sound


class Responses:
    """Convolves a signal with an impulse response of a data directory, a file each.

    Responses are read at once, while they fit into `KEPT_BYTES`, so that reading processes share them.

    Raises InputError for a directory without usable audio, and for a response that is all zero.
    """

    def __init__(self, directory: str, rate: float, keep_power: bool) -> None:
        self._source = open_augmentation_audio(directory, rate)
        self._keep_power = keep_power
        self._kept: dict[int, np.ndarray] = {}
        room = KEPT_BYTES
        for index, samples in enumerate(self._source.num_frames):
            room -= 4 * int(samples)
            if room < 0:
                break
            self._kept[index] = self._read(index)

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        index = int(rng.integers(len(self._source)))
        response = self._kept.get(index)
        return put_into_room(wave, self._read(index) if response is None else response, self._keep_power)

    def _read(self, index: int) -> np.ndarray:
        response = self._source.whole(index)
        if not response.any():
            raise InputError(f"{self._source.data_dir}: the impulse response {self._source.ids[index]} is all zero")
        return response


@dataclass(frozen=True)
class SimulatedRooms:
    """Convolves a signal with a response drawn anew: see `simulate_response`.

    rt60 in seconds and direct_to_reverberant in dB are ranges.
    """

    rate: float
    rt60: Sequence[float]
    direct_to_reverberant: Sequence[float]
    keep_power: bool

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rt60, ratio = rng.uniform(*self.rt60), rng.uniform(*self.direct_to_reverberant)
        return put_into_room(wave, simulate_response(rng, self.rate, rt60, ratio), self.keep_power)


def put_into_room(wave: np.ndarray, response: np.ndarray, keep_power: bool) -> np.ndarray:
    """A signal (samples,) convolved with a response (taps,), without the delay of its peak and without the tail.

    The response is scaled to unit energy, or with `keep_power` the result to the power of the signal.
    """
    peak = int(np.argmax(np.abs(response)))
    wet = convolve(wave, response)[peak : peak + len(wave)]
    scale = 1.0 / np.sqrt(np.sum(np.square(response, dtype=np.float64)))
    if keep_power and (wet_power := power(wet)) > 0:
        scale = np.sqrt(power(wave) / wet_power)
    return wet * np.float32(scale)


def simulate_response(rng: np.random.Generator, rate: float, rt60: float, ratio: float) -> np.ndarray:
    """A room's impulse response: the direct sound, and noise that decays exponentially from the first reflection on.

    Polack, "La transmission de l'energie sonore dans les salles", 1988.

    Args:
        rng: gives the noise and the time of the first reflection.
        rate: samples per second.
        rt60: seconds in which the reverberation decays by 60 dB.
        ratio: energy of the direct sound to that of the reverberation, in dB.

    Returns:
        (taps,) float32, the direct sound in front.
    """
    gap = max(int(rng.uniform(*FIRST_REFLECTION) * rate), 1)
    taps = max(int(rt60 * rate), 1)
    tail = rng.standard_normal(taps, dtype=np.float32)
    tail *= np.exp(-DECAY / taps * np.arange(taps, dtype=np.float32))
    tail *= np.float32(10 ** (-ratio / 20) / np.sqrt(np.sum(np.square(tail, dtype=np.float64))))
    response = np.zeros(gap + taps, np.float32)
    response[0] = 1.0
    response[gap:] = tail
    return response
