"""Additive noise from the files of a data directory: noise, music, babble."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from spkid.audio import WaveOptions
from spkid.audio.noise import Noise, add_noise
from spkid.audio.reverberation import power
from spkid.data.audio_source import AudioSource
from spkid.kaldi import InputError
from spkid.kaldi.logging import warn


class NoiseFiles:
    """Adds some of a directory's files to a signal, each at its own signal-to-noise ratio.

    Of each file only the part that is needed is read; one that is shorter than the signal is repeated. A part that is
    all zero adds nothing.

    Args:
        directory: a data directory (wav.scp, perhaps segments and utt2dur).
        rate: samples per second of the signals; files of another rate are resampled.
        snr: least and greatest ratio in dB; each file draws its own.
        files: least and greatest number of files.

    Raises:
        InputError: the directory has no usable audio.
    """

    def __init__(self, directory: str, rate: float, snr: tuple[float, float], files: tuple[int, int]) -> None:
        self._source = open_augmentation_audio(directory, rate)
        self._rate, self._snr, self._files = rate, snr, files

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        signal_power = power(wave)
        noisy = wave
        for _ in range(int(rng.integers(self._files[0], self._files[1] + 1))):
            samples, snr = self._read(len(wave), rng), rng.uniform(*self._snr)
            if samples.any():
                noisy = add_noise(noisy, Noise(samples, snr), self._rate, signal_power)
        return noisy

    def _read(self, samples: int, rng: np.random.Generator) -> np.ndarray:
        index = int(rng.integers(len(self._source)))
        length = self._source.length(index)
        if length >= samples:
            start = int(rng.integers(0, length - samples + 1))
            return self._source.rows(index, start, start + samples)
        start = int(rng.integers(0, length))
        return np.resize(np.roll(self._source.whole(index), -start), samples)


def open_augmentation_audio(directory: str, rate: float) -> AudioSource:
    """The audio of a data directory. Raises InputError where there is none that can be used.

    Files that cannot be read are left out with a warning; with utt2dur they are not looked at before they are needed.
    """
    if not os.path.isfile(Path(directory) / "wav.scp"):
        raise InputError(f"{directory}: is no data directory with audio: there is no wav.scp in it")
    failed: dict[str, str] = {}
    options = WaveOptions(rate, allow_downsample=True, allow_upsample=True)
    source = AudioSource(directory, options, failed=failed)
    for reason in list(failed.values())[:3]:
        warn(f"{directory}: {reason}")
    if not source.ids:
        raise InputError(f"{directory}: none of its {len(failed)} entries is usable audio, so there is nothing to add")
    if failed:
        warn(f"{directory}: {len(failed)} of {len(failed) + len(source)} entries cannot be used and are left out")
    return source
