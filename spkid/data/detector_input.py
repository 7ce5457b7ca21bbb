"""What a network that finds speech reads of a data directory, and to which frames its decisions belong there."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spkid.audio import WaveOptions
from spkid.data.audio_options import audio_options, frame_options
from spkid.data.audio_source import AudioSource, ComputedFeatures
from spkid.data.front_end import FEATS_JSON, MODEL_DIR, FeatureRecord, FrontEnd, read_record
from spkid.data.source import FeatureSource, open_source
from spkid.features import FrameOptions
from spkid.kaldi import InputError

MOST_SECONDS_OFF = 0.05  # between the lengths that features and audio of one utterance tell


def reads_features(front_end: FrontEnd, data_dir: str | Path) -> bool:
    """Whether the directory's feats.scp is what the network wants; else its features are computed from wav.scp.

    Raises InputError where there is neither.
    """
    directory = Path(data_dir)
    has_audio = (directory / "wav.scp").exists()
    if not (directory / "feats.scp").exists():
        if not has_audio:
            raise InputError(f"{directory}: has neither feats.scp nor wav.scp: nothing to find speech in")
        _refuse_shortened(directory, FeatureRecord())
        return False
    record = read_record(directory)
    _refuse_shortened(directory, record)
    if record.type is None:  # nobody knows what they are
        return not has_audio
    try:
        front_end.check(record, directory)
        record.remaining(front_end.transforms, directory)
    except InputError:
        if not has_audio:
            raise
        return False
    return True


class DetectorInput:
    """The features of utterances as a network wants them, and how its decisions fit the directory's frames.

    Where the directory has features of another kind, or of other frames, decisions are laid on those frames: each gets
    the decision of the frame whose middle is nearest. A directory without feats.scp gets the network's own frames.

    Args:
        front_end: of the network.
        utterances: the ids wanted.
        failed: receives the utterances that cannot be used (id -> reason).

    Attributes:
        source: `ids`, `dims` and `whole(index)`, features (frames, dims).
    """

    def __init__(
        self, front_end: FrontEnd, data_dir: str | Path, utterances: Sequence[str], failed: dict[str, str]
    ) -> None:
        directory = Path(data_dir)
        self.source: FeatureSource | ComputedFeatures
        self._counts: dict[str, int] | None = None
        if reads_features(front_end, directory):
            self.source = open_source(directory, read_record(directory), front_end.transforms, utterances, failed)
            return
        wave = detector_waves(front_end, f"{directory}: the network's features")
        audio = AudioSource(directory, wave, utterances, failed, exact=True)
        self._own = frame_options(audio_options(front_end.type, front_end.options))
        self._wanted = self._own
        if (directory / "feats.scp").exists():
            features = FeatureSource(directory, [], audio.ids, failed)
            self._counts = dict(zip(features.ids, features.raw_frames.tolist(), strict=True))
            self._wanted = recorded_frames(read_record(directory).options) or self._own
            audio = audio.subset(np.array([utterance in self._counts for utterance in audio.ids], bool))
        self.source = ComputedFeatures(front_end, audio, None, failed)

    def fit(self, utterance: str, decisions: np.ndarray) -> np.ndarray:
        """The network's decisions on an utterance as the directory wants them, (frames,). Raises InputError."""
        if self._counts is None:
            return decisions
        return at_frames(decisions, self._own, self._wanted, self._counts[utterance])


def at_frames(decisions: np.ndarray, own: FrameOptions, wanted: FrameOptions, count: int) -> np.ndarray:
    """Decisions on frames of one kind as decisions on `count` frames of another: each the nearest in time.

    Raises InputError where the two do not tell of the same length.
    """
    lasts = [_middles(options, number)[-1:].sum() for options, number in ((own, len(decisions)), (wanted, count))]
    if not count or not len(decisions) or abs(lasts[0] - lasts[1]) > MOST_SECONDS_OFF:
        raise InputError(
            f"its audio has {len(decisions)} frames of {own.frame_shift:g} ms and its features have {count} of "
            f"{wanted.frame_shift:g} ms: make the features again from this audio"
        )
    first, shift = _middles(own, 1)[0], own.frame_shift / 1000
    nearest = np.floor((_middles(wanted, count) - first) / shift + 0.5 + 1e-6).astype(np.int64)
    return decisions[nearest.clip(0, len(decisions) - 1)]


def detector_waves(front_end: FrontEnd, whose: str) -> WaveOptions:
    """The audio that a network's features are computed from: of its rate, or of a higher one, resampled.

    Raises InputError where nobody recorded how the features are made, or they cannot be made of audio.
    """
    if front_end.options is None:
        raise InputError(f"{whose}: nobody recorded how they are made, so none can be made of audio")
    options = audio_options(front_end.type, front_end.options)
    if not isinstance(options, FrameOptions):
        raise InputError(f"{whose}: {front_end.type} has no frames to decide about")
    return WaveOptions(rate=options.sample_frequency, allow_downsample=True)


def vad_record(exp_dir: str | Path, threshold: float, smoothing: int) -> dict[str, Any]:
    """What vad.json says of decisions by a network: which weights made them, and where these lay.

    Raises InputError where training has not finished.
    """
    path = Path(exp_dir) / "final.safetensors"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise InputError(f"{path} is missing: no training has finished there") from None
    decided = {"threshold": threshold, "smoothing": smoothing}
    return {"weights": digest, **decided, MODEL_DIR: str(Path(exp_dir).resolve())}


def recorded_frames(options: dict[str, Any] | None) -> FrameOptions | None:
    """The frames of features with these recorded options; None where they do not tell."""
    names = [field.name for field in dataclasses.fields(FrameOptions)]
    if options is None or "frame_shift" not in options:
        return None
    return FrameOptions(**{name: options[name] for name in names if name in options})


def _middles(options: FrameOptions, count: int) -> np.ndarray:
    """The middles of so many frames in seconds."""
    shift = options.frame_shift / 1000
    return np.arange(count) * shift + (options.frame_length / 1000 if options.snip_edges else shift) / 2


def _refuse_shortened(directory: Path, record: FeatureRecord) -> None:
    if "vad" in record.applied:
        raise InputError(
            f"{directory / FEATS_JSON}: frames without speech are already left out of these features; find speech in "
            "the directory that they were made from"
        )
