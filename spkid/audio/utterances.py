"""The utterances of a data directory as audio of which any part can be read, as training on crops does."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np

from spkid.audio.recording import Recording
from spkid.audio.resampling import resample_part, resampled_length
from spkid.audio.waves import Preparation, SegmentLimits, WaveOptions, segment_bounds
from spkid.kaldi import InputError
from spkid.kaldi.segments import parse_segment
from spkid.kaldi.tables import read_id_map, read_script


class UtteranceReader:
    """Reads parts of utterances: entries of wav.scp, or of `segments` where the directory has them.

    Files are opened where they are read and only the samples asked for are decoded; the recordings used last stay open,
    with the output of commands in memory. It may be used after a fork and be pickled: every process opens its own.

    Args:
        data_dir: with wav.scp and perhaps segments.
        options: what the waves must be like; `rate` is needed.

    Raises:
        InputError: a table cannot be read.
    """

    MOST_OPEN = 8

    def __init__(self, data_dir: str | Path, options: WaveOptions) -> None:
        self.data_dir = Path(data_dir)
        self._scripts = read_script(self.data_dir / "wav.scp")
        segments = self.data_dir / "segments"
        self._segments = read_id_map(segments) if segments.exists() else None
        self._prepare = Preparation(options)
        self._opened: OrderedDict[str, Recording] = OrderedDict()
        self._owner = os.getpid()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": OrderedDict()}

    @property
    def ids(self) -> list[str]:
        """All utterances, in the order of their file."""
        return list(self._scripts if self._segments is None else self._segments)

    def require(self, utterance: str) -> None:
        """Raises InputError where there is no such utterance; opens no audio."""
        if utterance not in (self._scripts if self._segments is None else self._segments):
            name = "wav.scp" if self._segments is None else "segments"
            raise InputError(f"{self.data_dir / name}: has no entry for utterance {utterance}")

    def num_samples(self, utterance: str) -> int:
        """Length of the utterance at the rate wanted. Raises InputError, naming the utterance and the file."""
        recording, start, stop, _, rate = self._find(utterance)
        return resampled_length(stop - start, recording.rate, rate)

    def read(self, utterance: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Samples [start, stop) of the utterance (default: to its end) at the rate wanted, (samples,) float32 in +-1.

        Raises InputError, naming the utterance and the file.
        """
        recording, first, last, channel, rate = self._find(utterance)
        try:
            available = resampled_length(last - first, recording.rate, rate)
            stop = available if stop is None else stop
            if not 0 <= start <= stop <= available:
                raise InputError(
                    f"{recording.name}: samples {start} to {stop} were asked for, there are {available}; "
                    "make utt2dur again (utils/get_utt2dur.py)"
                )

            def read(begin: int, end: int) -> np.ndarray:
                return self._prepare.select(recording.read(first + begin, first + end), recording.name, channel)

            if rate == recording.rate:
                return read(start, stop)
            return resample_part(read, last - first, recording.rate, rate, start, stop)
        except InputError as error:
            raise InputError(f"utterance {utterance}: {error}") from None

    def _find(self, utterance: str) -> tuple[Recording, int, int, int, float]:
        """The recording of an utterance, the samples [start, stop) of it, the channel (-1: the options'), the rate."""
        self.require(utterance)
        try:
            if self._segments is None:
                recording = self._open(utterance)
                rate = self._prepare.rate_for(recording.rate, recording.name)
                return recording, 0, recording.num_samples, -1, rate
            path = self.data_dir / "segments"
            segment = parse_segment(utterance, self._segments[utterance], str(path))
            if segment.recording not in self._scripts:
                raise InputError(f"{path}: its recording {segment.recording} is not in wav.scp: add it")
            recording = self._open(segment.recording)
            start, stop = segment_bounds(recording, segment, SegmentLimits())
            return recording, start, stop, segment.channel, self._prepare.rate_for(recording.rate, recording.name)
        except InputError as error:
            raise InputError(f"utterance {utterance}: {error}") from None

    def _open(self, name: str) -> Recording:
        if self._owner != os.getpid():  # a forked process would share the place in the file with its siblings
            self._opened, self._owner = OrderedDict(), os.getpid()
        recording = self._opened.pop(name, None)
        if recording is None:
            recording = Recording(self._scripts[name])
            while len(self._opened) >= self.MOST_OPEN:
                self._opened.popitem(last=False)[1].close()
        self._opened[name] = recording
        return recording
