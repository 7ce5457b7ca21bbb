"""Batches of chunks as tensors.

What a chunk holds depends on the seed, the epoch, the utterance's id and how often it was drawn before, and on nothing
else: not on the number of reading processes, nor on where an interrupted epoch was taken up again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from spkid.data.plan import EpochPlan
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError


@dataclass(frozen=True)
class SpecAugment:
    """How many masks a chunk gets and how wide they may be (frames, feature dimensions)."""

    time_masks: int = 0
    time_width: int = 10
    frequency_masks: int = 0
    frequency_width: int = 8

    def apply(self, chunk: np.ndarray, rng: np.random.Generator) -> None:
        """Sets random bands of the chunk (frames, dims) to 0, in place. Park et al., "SpecAugment", 2019."""
        for first, last, lowest, highest in self.draw(rng, *chunk.shape):
            chunk[first:last, lowest:highest] = 0.0

    def draw(self, rng: np.random.Generator, frames: int, dims: int) -> np.ndarray:
        """The masks of a chunk, (masks, 4) int64: frames [first, last) and dimensions [lowest, highest) of each."""
        bands = [(*_band(rng, frames, self.time_width), 0, dims) for _ in range(self.time_masks)]
        bands += [(0, frames, *_band(rng, dims, self.frequency_width)) for _ in range(self.frequency_masks)]
        return np.array(bands, np.int64).reshape(len(bands), 4)


def _band(rng: np.random.Generator, size: int, widest: int) -> tuple[int, int]:
    width = int(rng.integers(0, min(widest, size) + 1))
    start = int(rng.integers(0, size - width + 1))
    return start, start + width


def chunk_rng(seed: int, epoch: int, utterance: str, draw: int) -> np.random.Generator:
    """The random numbers of one chunk."""
    digest = hashlib.blake2b(f"{seed} {epoch} {draw} {utterance}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def micro_batch_seed(seed: int, epoch: int, number: int) -> int:
    """For torch's generator, whose numbers a network draws (dropout) while it computes one micro-batch."""
    digest = hashlib.blake2b(f"{seed} {epoch} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def read_chunk(source: FeatureSource | MemorySource, index: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """A random chunk of `frames` rows, (frames, dims), a copy; a shorter utterance is repeated to that length."""
    available = int(source.num_frames[index])
    if available >= frames:
        start = int(rng.integers(0, available - frames + 1))
        return np.array(source.rows(index, start, start + frames))
    return source.whole(index)[np.arange(frames) % available]


@dataclass(frozen=True)
class Batch:
    """What a micro-batch holds, and whose chunks they are (one id a chunk).

    inputs: features (chunks, frames, dims) or waveforms (chunks, samples), float32; labels: (chunks,) int64, or of
    every frame (chunks, frames).
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    ids: list[str]


class MicroBatches(torch.utils.data.Dataset):
    """The micro-batches of an epoch by their number; in the place of one that cannot be read, the reason.

    Subclasses give `__len__`, and `_read(number) -> Batch`, which may raise InputError.
    """

    def __getitem__(self, number: int) -> Batch | InputError:
        try:
            return self._read(number)
        except InputError as error:
            return error  # raised by a reading process, it would arrive wrapped in that process's traceback


class EpochBatches(MicroBatches):
    """Chunks of features, masked."""

    def __init__(
        self,
        source: FeatureSource | MemorySource,
        labels: np.ndarray,
        plan: EpochPlan,
        seed: int,
        epoch: int,
        augment: SpecAugment,
    ) -> None:
        self.source, self.labels, self.plan = source, labels, plan
        self.seed, self.epoch, self.augment = seed, epoch, augment

    def __len__(self) -> int:
        return len(self.plan)

    def _read(self, number: int) -> Batch:
        members = self.plan.utterances[number]
        frames = int(self.plan.frames[number])
        features = np.empty((len(members), frames, self.source.dims), np.float32)
        for row, (index, draw) in enumerate(zip(members, self.plan.draws[number], strict=True)):
            rng = chunk_rng(self.seed, self.epoch, self.source.ids[index], int(draw))
            features[row] = read_chunk(self.source, int(index), frames, rng)
            self.augment.apply(features[row], rng)
        return Batch(
            torch.from_numpy(features),
            torch.from_numpy(self.labels[members].astype(np.int64)),
            [self.source.ids[index] for index in members],
        )


def iterate(batches: MicroBatches, numbers: Sequence[int], workers: int) -> Iterator[Batch]:
    """The micro-batches with these numbers, in this order, read ahead by `workers` processes.

    Raises InputError for an utterance that cannot be read.
    """
    loader = torch.utils.data.DataLoader(batches, batch_size=None, sampler=numbers, num_workers=workers)
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch
