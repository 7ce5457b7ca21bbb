"""Utterances of a data directory as audio: of which only the samples asked for are decoded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spkid.audio import WaveOptions
from spkid.audio.utterances import UtteranceReader
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
        """Numbers of the frames of speech among `frames`, ascending. Raises InputError."""
        if utterance not in self._scripts:
            raise InputError(f"{self._path}: has no entry for utterance {utterance}")
        try:
            decisions = load_vector(self._scripts[utterance])
        except InputError as error:
            raise InputError(f"utterance {utterance}: {error}") from None
        if len(decisions) != frames:
            raise InputError(
                f"{self._path}: utterance {utterance} has {len(decisions)} decisions, but its audio has {frames} "
                "frames; make the decisions from features of the same frames (frame-shift, frame-length, snip-edges)"
            )
        return np.flatnonzero(decisions)


def _durations(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    try:
        return {utterance: float(seconds) for utterance, seconds in read_id_map(path).items()}
    except ValueError as error:
        raise InputError(f"{path}: {error}; make it again with utils/get_utt2dur.py") from None
