"""What the loop reads: the micro-batches of an epoch, and what turns them into the network's input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spkid.data.batches import Batch, EpochBatches, SpecAugment, iterate
from spkid.data.crops import Cropper
from spkid.data.plan import EpochPlan, EpochPlanner
from spkid.data.source import FeatureSource, MemorySource
from spkid.train.config import TrainConfig

VALIDATION_BATCH = 64


@dataclass
class Feed:
    """The micro-batches of every epoch, as the loop wants them.

    open_epoch: number of an epoch (from 0) -> its micro-batches by their number (a data set of torch).
    batches_per_epoch: micro-batches in an epoch, a multiple of those of one update.
    """

    open_epoch: Callable[[int], torch.utils.data.Dataset]
    batches_per_epoch: int
    workers: int = 0

    def epoch(self, epoch: int, numbers: Sequence[int] | None = None) -> Iterator[Batch]:
        """The micro-batches with these numbers (by default all of the epoch), in order. Raises InputError."""
        wanted = range(self.batches_per_epoch) if numbers is None else numbers
        return iterate(self.open_epoch(epoch), wanted, self.workers)

    def prepare(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """What was read, on the training device, as the network takes it."""
        return batch.inputs.to(device)

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted epoch must find again beside its number."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` told."""


def training_feed(config: TrainConfig, source: FeatureSource | MemorySource | Cropper, labels: np.ndarray) -> Feed:
    """The feed of a configuration. Raises InputError for a set too small for one batch."""
    planner = _planner(config, labels, config.data.micro_batch, config.data.micro_batches, config.data.chunk_frames)
    if isinstance(source, Cropper):
        from spkid.train.audio_feed import audio_training_feed

        return audio_training_feed(config, source, labels, planner)
    augment = SpecAugment(**vars(config.data.spec_augment))

    def open_epoch(epoch: int) -> EpochBatches:
        return EpochBatches(source, labels, planner.plan(epoch), config.seed, epoch, augment)

    return Feed(open_epoch, planner.batches, config.data.workers)


def validation_feed(config: TrainConfig, source: FeatureSource | MemorySource | Cropper, labels: np.ndarray) -> Feed:
    """One chunk of the longest length of every held-out utterance, the same chunk each time, nothing masked."""
    plan = one_chunk_each(len(source), max(config.data.chunk_frames))
    if isinstance(source, Cropper):
        from spkid.train.audio_feed import audio_validation_feed

        return audio_validation_feed(config, source, labels, plan)

    def open_epoch(epoch: int) -> EpochBatches:
        return EpochBatches(source, labels, plan, 0, 0, SpecAugment())

    return Feed(open_epoch, len(plan))


def _planner(
    config: TrainConfig, labels: np.ndarray, micro_batch: int, micro_batches: int, chunk_frames: Sequence[int]
) -> EpochPlanner:
    return EpochPlanner(
        labels,
        sampler=config.data.sampler,
        micro_batch=micro_batch,
        micro_batches=micro_batches,
        chunk_frames=chunk_frames,
        chunks_per_utterance=config.data.chunks_per_utterance,
        utterances_per_speaker=config.data.utterances_per_speaker,
        max_per_speaker=config.data.max_per_speaker,
        seed=config.seed,
    )


def one_chunk_each(utterances: int, frames: int) -> EpochPlan:
    """Every utterance once, in order, in batches of which the last may be smaller."""
    members = [np.arange(first, min(first + VALIDATION_BATCH, utterances))
               for first in range(0, utterances, VALIDATION_BATCH)]  # fmt: skip
    return EpochPlan(members, [np.zeros(len(one), int) for one in members], np.full(len(members), frames))
