"""Random crops of audio: the samples behind so many frames, or so many frames of speech, of an utterance.

For features whose frames lie inside the wave (Kaldi's), a crop is made of the very samples of its frames: without
augmentation its features are rows of the features of the whole utterance, to rounding. Where frames that are not speech
are left out, the pieces of audio around them are laid one after another, and `Crop.frames` says which frames of the
result are wanted: those that reach across a joint are not.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from spkid.audio import resample
from spkid.data.audio_options import AudioOptions, crop_samples, frame_options
from spkid.data.audio_source import AudioSource, SpeechAudio, SpeechFrames
from spkid.features import FrameOptions, num_frames
from spkid.features.frames import first_sample, mirrored
from spkid.kaldi import InputError

FAR_APART = 4  # reading what lies between the pieces of a crop costs less than a seek, up to so many times their length


@dataclass(frozen=True)
class Crop:
    """wave (samples,) float32; frames: which frames of the wave's features are the crop, None for all of them."""

    wave: np.ndarray
    frames: np.ndarray | None = None


class Cropper:
    """Draws crops of the utterances of a source.

    Args:
        source: audio.
        options: of the features that will be computed of the crops.
        speech: where crops are to be taken from the frames of speech alone.
    """

    def __init__(self, source: AudioSource, options: AudioOptions, speech: SpeechFrames | None = None) -> None:
        self.options, self._frames = options, frame_options(options)
        self._is_framed = isinstance(options, FrameOptions)
        if speech is not None and not self._is_framed:
            source, speech = SpeechAudio(source, speech, self._frames), None
        self.source, self._speech = source, speech

    @property
    def ids(self) -> list[str]:
        """The utterances."""
        return self.source.ids

    def __len__(self) -> int:
        return len(self.source)

    def subset(self, keep: np.ndarray) -> Cropper:
        """The utterances where `keep` (utterances,) is true."""
        part = copy.copy(self)
        part.source = self.source.subset(keep)
        return part

    def draw(self, index: int, frames: int, rng: np.random.Generator, speed: float = 1.0) -> Crop:
        """A random crop of `frames` frames of utterance `index`; a shorter one is repeated to that length.

        `speed` is how much faster (and higher) the utterance is to be. Raises InputError for audio that cannot be read.
        """
        return self._draw_frames(index, frames, rng, speed) if self._is_framed else self._draw_samples(
            index, crop_samples(self.options, frames), rng, speed
        )  # fmt: skip

    def _draw_samples(self, index: int, samples: int, rng: np.random.Generator, speed: float) -> Crop:
        available = self.source.length(index)
        wanted = samples if speed == 1.0 else int(np.ceil(samples * speed)) + 1
        start = int(rng.integers(0, max(available - wanted, 0) + 1))
        wave = self.source.rows(index, start, min(start + wanted, available))
        return Crop(np.resize(_at_speed(wave, speed), samples))

    def _draw_frames(self, index: int, frames: int, rng: np.random.Generator, speed: float) -> Crop:
        options, length = self._frames, self.source.length(index)
        count = num_frames(length, options)
        if count < 1:
            raise InputError(
                f"utterance {self.source.ids[index]}: has {length} samples, less than one frame; drop it from the set"
            )
        chosen = np.arange(count) if self._speech is None else self._speech.read(self.source.ids[index], count)
        wanted = frames if speed == 1.0 else int(np.ceil(frames * speed)) + 1
        if len(chosen) >= wanted:
            start = int(rng.integers(0, len(chosen) - wanted + 1))
            chosen = chosen[start : start + wanted]
        else:
            chosen = chosen[np.arange(wanted) % len(chosen)]
        return self._lay(index, length, chosen, frames, speed)

    def _lay(self, index: int, length: int, chosen: np.ndarray, frames: int, speed: float) -> Crop:
        """The audio of the frames `chosen`, whose first `frames` frames at the speed are the crop."""
        shift, size = self._frames.window_shift, self._frames.window_size
        reach = -(-(size - shift) // shift)  # frames that cross a joint
        runs = np.split(chosen, np.flatnonzero(~np.isin(np.diff(chosen), np.arange(1, reach + 2))) + 1)
        edges = [
            (first_sample(int(run[0]), self._frames), first_sample(int(run[-1]), self._frames) + size) for run in runs
        ]
        waves: list[np.ndarray] = []
        places: list[np.ndarray] = []
        laid, found = 0, 0
        for run, piece in zip(runs, self._read(index, length, edges), strict=True):
            wave = _at_speed(piece, speed)
            inside = run - run[0] if speed == 1.0 else np.arange(max((len(wave) - size) // shift + 1, 0))
            inside = inside[: frames - found]
            if not len(inside):
                continue
            wave = wave[: int(inside[-1]) * shift + size]
            places.append(laid // shift + inside)
            found += len(inside)
            padded = -(-len(wave) // shift) * shift if found < frames else len(wave)
            waves.append(np.pad(wave, (0, padded - len(wave))))
            laid += padded
        if not found:
            raise InputError(
                f"utterance {self.source.ids[index]}: no stretch of speech in it gives one frame; drop it from the set"
            )
        numbers = np.concatenate(places)
        if found < frames:  # at another speed a joint costs frames: the beginning once more
            numbers = np.resize(numbers, frames)
        is_all = np.array_equal(numbers, np.arange(frames))
        return Crop(np.concatenate(waves), None if is_all else numbers)

    def _read(self, index: int, length: int, edges: list[tuple[int, int]]) -> list[np.ndarray]:
        """Samples [begin, end) of the utterance for each of the edges: all in one go, unless they lie far apart."""
        first, last = min(begin for begin, _ in edges), max(end for _, end in edges)
        if last - first > FAR_APART * sum(end - begin for begin, end in edges):
            return [self._read_mirrored(index, length, begin, end) for begin, end in edges]
        span = self._read_mirrored(index, length, first, last)
        return [span[begin - first : end - first] for begin, end in edges]

    def _read_mirrored(self, index: int, length: int, begin: int, end: int) -> np.ndarray:
        """Samples [begin, end) of the utterance, which is mirrored beyond its ends (snip-edges false)."""
        if begin >= 0 and end <= length:
            return self.source.rows(index, begin, end)
        places = mirrored(begin, end, length)
        first, last = int(places.min()), int(places.max()) + 1
        return self.source.rows(index, first, last)[places - first]


def _at_speed(wave: np.ndarray, speed: float) -> np.ndarray:
    return wave if speed == 1.0 else resample(wave, speed, 1.0)
