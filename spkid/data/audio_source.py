"""Utterances of a data directory as audio, of which only the samples asked for are decoded, and features of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from spkid.audio import WaveOptions
from spkid.audio.utterances import UtteranceReader
from spkid.data.audio_options import (
    WaveformOptions,
    audio_options,
    compute_features,
    count_frames,
    feature_dims,
    frame_options,
    wave_options,
)
from spkid.data.front_end import FrontEnd, sliding_window
from spkid.data.source import normalize_utterance
from spkid.features import CmvnOptions, FrameOptions, apply_cmvn_sliding, num_frames
from spkid.kaldi import InputError
from spkid.kaldi.matrix import load_vector
from spkid.kaldi.tables import read_id_map, read_script


class AudioSource:
    """The waves of a data directory's utterances.

    Args:
        data_dir: with wav.scp (files of any format, commands, places in archives), segments where there are any, and
            preferably utt2dur: without it every file is opened once to learn how long it is.
        options: what the waves must be like; `rate` is needed.
        utterances: the ids wanted, in the order of all arrays here; by default all.
        failed: where given, an utterance that cannot be used is left out of `ids`, and this says why (id -> reason);
            without it the first such utterance is an InputError.
        exact: learn the lengths from the files even where there is utt2dur, whose digits are rounded.

    Attributes:
        num_frames: samples of each utterance at the rate wanted, (utterances,) int64; from utt2dur they are near.
        dims: 1.
    """

    dims = 1

    def __init__(
        self,
        data_dir: str | Path,
        options: WaveOptions,
        utterances: Sequence[str] | None = None,
        failed: dict[str, str] | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self.data_dir, self.rate = Path(data_dir), options.rate
        self._reader = UtteranceReader(data_dir, options)
        durations = {} if exact else _durations(self.data_dir / "utt2dur")
        self.ids: list[str] = []
        lengths = []
        for utterance in self._reader.ids if utterances is None else utterances:
            try:
                seconds = durations.get(utterance)
                self._reader.require(utterance)
                length = self._reader.num_samples(utterance) if seconds is None else round(seconds * options.rate)
            except InputError as error:
                if failed is None:
                    raise
                failed[utterance] = str(error)
                continue
            self.ids.append(utterance)
            lengths.append(length)
        self.num_frames = np.array(lengths, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, keep: np.ndarray) -> AudioSource:
        """The utterances where `keep` (utterances,) is true, without looking at the files again."""
        part = copy.copy(self)
        indices = np.flatnonzero(keep)
        part.ids, part.num_frames = [self.ids[index] for index in indices], self.num_frames[indices]
        return part

    def length(self, index: int) -> int:
        """Samples of the utterance as its file says. Raises InputError."""
        return self._reader.num_samples(self.ids[index])

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop) of the utterance, (stop - start,) float32 in +-1. Raises InputError."""
        return self._reader.read(self.ids[index], start, stop)

    def whole(self, index: int) -> np.ndarray:
        """All samples of the utterance, (samples,) float32 in +-1. Raises InputError."""
        return self._reader.read(self.ids[index])


class SpeechFrames:
    """Which frames of an utterance are speech, as a data directory's vad.scp says."""

    def __init__(self, data_dir: str | Path) -> None:
        self._path = Path(data_dir) / "vad.scp"
        self._scripts = read_script(self._path)

    def read(self, utterance: str, frames: int) -> np.ndarray:
        """Numbers of the frames of speech among `frames`, ascending. Raises InputError, also where there is none."""
        return np.flatnonzero(self.decisions(utterance, frames))

    def decisions(self, utterance: str, *frames: int) -> np.ndarray:
        """The decisions on an utterance of so many frames (or so many), (frames,). Raises InputError as `read`."""
        if utterance not in self._scripts:
            raise InputError(f"{self._path}: has no entry for utterance {utterance}")
        try:
            decisions = load_vector(self._scripts[utterance])
        except InputError as error:
            raise InputError(f"utterance {utterance}: {error}") from None
        if len(decisions) not in frames:
            raise InputError(
                f"{self._path}: utterance {utterance} has {len(decisions)} decisions, but its audio has {frames[0]} "
                "frames; make the decisions from features of the same frames (frame-shift, frame-length, snip-edges)"
            )
        if not np.any(decisions):
            raise InputError(f"{self._path}: utterance {utterance} has no frame of speech; drop it from the set")
        return decisions


class SpeechAudio:
    """The speech of each utterance of a source, its stretches laid one after another, as audio.

    A frame of speech stands for the frame-shift of samples in its middle; the first and the last frame's reach to the
    ends of the utterance.

    Args:
        source: audio.
        speech: which frames are speech, of features with snip-edges or without.
        frames: their shift and size.
        failed: as in `AudioSource`; reads all decisions now, so that `num_frames` counts samples of speech. Without
            it, `num_frames` stays that of the source, which is more.
    """

    dims = 1

    def __init__(
        self, source: AudioSource, speech: SpeechFrames, frames: FrameOptions, failed: dict[str, str] | None = None
    ) -> None:
        self._speech, self._frames, self._source = speech, frames, source
        if failed is not None:
            lengths, keep = np.zeros(len(source), np.int64), np.ones(len(source), bool)
            for index in range(len(source)):
                try:
                    lengths[index] = self.length(index)
                except InputError as error:
                    failed[source.ids[index]] = str(error)
                    keep[index] = False
            self._source = source.subset(keep)
            self._source.num_frames = lengths[keep]
        self.ids, self.num_frames, self.rate = self._source.ids, self._source.num_frames, source.rate

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, keep: np.ndarray) -> SpeechAudio:
        """The utterances where `keep` (utterances,) is true."""
        return SpeechAudio(self._source.subset(keep), self._speech, self._frames)

    def length(self, index: int) -> int:
        """Samples of speech in the utterance. Raises InputError."""
        return sum(stop - start for start, stop in self._parts(index))

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop) of the speech, (stop - start,) float32 in +-1. Raises InputError."""
        pieces, before = [np.zeros(0, np.float32)], 0
        for first, last in self._parts(index):
            begin, end = max(start - before, 0), min(stop - before, last - first)
            if begin < end:
                pieces.append(self._source.rows(index, first + begin, first + end))
            before += last - first
        return np.concatenate(pieces)

    def whole(self, index: int) -> np.ndarray:
        """All of the speech, (samples,) float32 in +-1. Raises InputError."""
        return self.rows(index, 0, self.length(index))

    def _parts(self, index: int) -> list[tuple[int, int]]:
        """The stretches of speech, [first, last) in samples of the utterance."""
        length, shift = self._source.length(index), self._frames.window_shift
        counts = {num_frames(length, replace(self._frames, snip_edges=snip)): snip for snip in (False, True)}
        decisions = self._speech.decisions(self._source.ids[index], *reversed(counts))
        begin = (self._frames.window_size - shift) // 2 if counts[len(decisions)] else 0
        edges = begin + shift * np.arange(len(decisions) + 1)
        edges[0], edges[-1] = 0, length
        voiced = np.flatnonzero(decisions)
        runs = np.split(voiced, np.flatnonzero(np.diff(voiced) != 1) + 1)
        return [(int(edges[run[0]]), int(edges[run[-1] + 1])) for run in runs]


class ComputedFeatures:
    """The features of whole utterances, computed where they are read: what a feats.scp made of this audio would hold.

    Args:
        front_end: whose features, under its transforms.
        source: audio of the utterances, its lengths exact.
        speech: where frames of speech are selected.
        failed: receives the utterances that cannot be used (id -> reason).

    `num_frames` holds the frames after the transforms, (utterances,) int64.
    """

    def __init__(
        self, front_end: FrontEnd, source: AudioSource, speech: SpeechFrames | None, failed: dict[str, str]
    ) -> None:
        self._front_end, self._speech = front_end, speech
        self._options = audio_options(front_end.type, front_end.options)
        self.dims = feature_dims(self._options)
        counts, keep = np.zeros(len(source), np.int64), np.ones(len(source), bool)
        for index, utterance in enumerate(source.ids):
            counts[index] = count_frames(self._options, int(source.num_frames[index]))
            if speech is not None:
                try:
                    counts[index] = len(speech.read(utterance, int(counts[index])))
                except InputError as error:
                    failed[utterance] = str(error)
                    keep[index] = False
        self._source = source.subset(keep)
        self.ids, self.num_frames = self._source.ids, counts[keep]
        self._last: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, keep: np.ndarray) -> ComputedFeatures:
        """The utterances where `keep` (utterances,) is true."""
        part = copy.copy(self)
        part._source, part._last = self._source.subset(keep), None
        part.ids, part.num_frames = part._source.ids, self.num_frames[keep]
        return part

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of the utterance after the transforms, (stop - start, dims) float32. Raises InputError."""
        return self.whole(index)[start:stop]

    def whole(self, index: int) -> np.ndarray:
        """All rows of the utterance after the transforms, (num_frames, dims) float32; kept until the next utterance."""
        if self._last is None or self._last[0] != index:
            self._last = index, self._compute(index)
        return self._last[1]

    def _compute(self, index: int) -> np.ndarray:
        features = compute_features(self._source.whole(index), self._options)
        for transform in self._front_end.transforms:
            window = sliding_window(transform)
            if transform == "vad":
                if self._speech is not None:
                    features = features[self._speech.read(self.ids[index], len(features))]
            elif window is not None:
                features = apply_cmvn_sliding(features, CmvnOptions(cmn_window=window, center=True))
            else:
                features = normalize_utterance(features, transform)
        return features


def open_audio(
    front_end: FrontEnd, data_dir: str | Path, utterances: Sequence[str] | None, failed: dict[str, str]
) -> AudioSource | SpeechAudio | ComputedFeatures:
    """What a network of this front end takes, straight from the audio of a data directory.

    Rows are those of features, or samples for front ends of type waveform. `failed` receives the utterances that
    cannot be used (id -> reason). Raises InputError for a front end that cannot be computed from audio, and for
    speech that was found otherwise than for the training of the network.
    """
    if front_end.options is None:
        raise InputError(
            f"{data_dir}: nobody recorded how the {front_end.type} of the network's training were made, so that none "
            "can be made of audio; make feats.scp, or import the network again with --mfcc-config or --fbank-config"
        )
    options = audio_options(front_end.type, front_end.options)
    front_end.check_speech(data_dir)
    source = AudioSource(data_dir, wave_options(options), utterances, failed, exact=True)
    speech = SpeechFrames(data_dir) if "vad" in front_end.transforms else None
    if speech is not None and not isinstance(options, FrameOptions):
        source, speech = SpeechAudio(source, speech, frame_options(options), failed), None
    return source if type(options) is WaveformOptions else ComputedFeatures(front_end, source, speech, failed)


def _durations(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    try:
        return {utterance: float(seconds) for utterance, seconds in read_id_map(path).items()}
    except ValueError as error:
        raise InputError(f"{path}: {error}; make it again with utils/get_utt2dur.py") from None
