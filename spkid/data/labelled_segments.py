"""Random segments with a label for every frame, for networks that decide frame by frame (`lstm_vad`)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from spkid.data.batches import Batch, EpochBatches, SpecAugment, chunk_rng, read_chunk
from spkid.data.plan import EpochPlan
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError
from spkid.kaldi.matrix import load_vector
from spkid.kaldi.tables import read_script

MOST_FRAMES_OFF = 2  # what frames that must lie inside the signal (snip_edges) and frames that need not differ by


class FrameLabels:
    """The label of every frame of some utterances, 0 or 1: a source of one column beside that of their features.

    Args:
        script: a table of vectors, such as vad.scp: one 0/1 vector an utterance.
        source: the features; a vector that is up to two frames shorter ends with its last label repeated, one that is
            up to two frames longer is cut.

    Raises:
        InputError: an utterance without labels, of another length, or with a label that is neither 0 nor 1.
    """

    dims = 1

    def __init__(self, script: str | Path, source: FeatureSource | MemorySource) -> None:
        self.ids, self.num_frames = source.ids, source.num_frames
        names = read_script(script)
        self._ends = np.cumsum(self.num_frames)
        self._labels = np.empty((int(self.num_frames.sum()), 1), np.uint8)
        for index, utterance in enumerate(self.ids):
            if utterance not in names:
                raise InputError(f"{script}: has no labels for utterance {utterance}")
            try:
                labels = load_vector(names[utterance])
            except InputError as error:
                raise InputError(f"utterance {utterance}: {error}") from None
            self.whole(index)[:, 0] = _fit(labels, int(self.num_frames[index]), f"{script}: utterance {utterance}")

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        """Labels [start, stop) of the utterance, (stop - start, 1) uint8."""
        first = int(self._ends[index] - self.num_frames[index])
        return self._labels[first + start : first + stop]

    def whole(self, index: int) -> np.ndarray:
        """All labels of the utterance, (num_frames, 1) uint8."""
        return self.rows(index, 0, int(self.num_frames[index]))


def _fit(labels: np.ndarray, frames: int, name: str) -> np.ndarray:
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"{name} has the label {labels[~np.isin(labels, (0, 1))][0]:g}; labels are 0 or 1")
    if len(labels) == 0 or abs(len(labels) - frames) > MOST_FRAMES_OFF:
        raise InputError(
            f"{name} has {len(labels)} labels, but its features have {frames} frames: make both with the same frame "
            f"shift, and train on all frames (features.vad: false)"
        )
    return np.pad(labels[:frames], (0, max(frames - len(labels), 0)), mode="edge")


class LabelledSegments(EpochBatches):
    """The micro-batches of an epoch: random segments with labels (batch, frames) float32 in place of the speaker's.

    A segment is the chunk that `EpochBatches` reads of the same plan; where an utterance is shorter, it and its labels
    are repeated. The number of segments is the plan's: of every utterance `chunks_per_utterance`.
    """

    def __init__(
        self,
        source: FeatureSource | MemorySource,
        frame_labels: FrameLabels,
        plan: EpochPlan,
        seed: int,
        epoch: int,
        augment: SpecAugment,
    ) -> None:
        super().__init__(source, np.zeros(len(source), np.int64), plan, seed, epoch, augment)
        self.frame_labels = frame_labels

    def _read(self, number: int) -> Batch:
        batch = super()._read(number)
        frames = int(self.plan.frames[number])
        labels = np.empty((len(batch.ids), frames), np.float32)
        for row, (index, draw) in enumerate(zip(self.plan.utterances[number], self.plan.draws[number], strict=True)):
            rng = chunk_rng(self.seed, self.epoch, self.source.ids[index], int(draw))  # as for the features
            labels[row] = read_chunk(self.frame_labels, int(index), frames, rng)[:, 0]
        return replace(batch, labels=torch.from_numpy(labels))
