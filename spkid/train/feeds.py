"""What the loop reads: the micro-batches of an epoch, and what turns them into the network's input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from spkid.data.audio_batches import network_inputs
from spkid.data.batches import Batch, EpochBatches, MicroBatches, SpecAugment, iterate
from spkid.data.crops import Cropper
from spkid.data.device_features import DeviceFeatures
from spkid.data.frame_batches import FrameBatches
from spkid.data.hard_negatives import EPOCH, HardNegatives
from spkid.data.labelled_segments import FrameLabels, LabelledSegments
from spkid.data.plan import EpochPlan, EpochPlanner, HardNegativeOptions
from spkid.data.source import FeatureSource, MemorySource
from spkid.train import audio_feed
from spkid.train.config import TrainConfig
from spkid.train.training_set import TrainingSet

VALIDATION_BATCH = 64
VALIDATION_FRAMES = 1024  # in a batch of single frames

Reader = Callable[[EpochPlan, int], MicroBatches]  # a plan and an epoch -> its micro-batches by their number


@dataclass
class Feed:
    """The micro-batches of every epoch, as the loop wants them.

    open_epoch: number of an epoch (from 0) -> its micro-batches by their number.
    batches_per_epoch: micro-batches in an epoch, a multiple of those of one update.
    group_size: rows of a micro-batch that a metric loss takes together: utterances of a speaker, or a triplet.
    features: where waves are read, what computes the features on the training device.
    speakers_left_out: how many have too few utterances for the sampler.
    """

    open_epoch: Callable[[int], MicroBatches]
    batches_per_epoch: int
    group_size: int = 1
    workers: int = 0
    features: DeviceFeatures | None = None
    speakers_left_out: int = 0

    def epoch(self, epoch: int, numbers: Sequence[int] | None = None) -> Iterator[Batch]:
        """The micro-batches with these numbers (by default all of the epoch), in order. Raises InputError."""
        wanted = range(self.batches_per_epoch) if numbers is None else numbers
        return iterate(self.open_epoch(epoch), wanted, self.workers)

    def prepare(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """What was read, on the training device, as the network takes it."""
        return network_inputs(batch, self.features, device)

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted epoch must find again beside its number."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` told."""


class HardNegativeFeed(Feed):
    """Micro-batches of hard triplets: each is chosen by what the network makes of the round of chunks before it.

    Args:
        rounds: chooses.
        read: gives the chunks of a plan.
        embed: a batch of chunks -> their embeddings (chunks, dims) by the network as it is.
        rounds_per_epoch: micro-batches in an epoch.
    """

    def __init__(
        self, rounds: HardNegatives, read: Reader, embed: Callable[["Feed", Batch], torch.Tensor],
        rounds_per_epoch: int, workers: int, features: DeviceFeatures | None,
    ) -> None:  # fmt: skip
        super().__init__(lambda epoch: [], rounds_per_epoch, 3, workers, features, rounds.speakers_left_out)
        self._rounds, self._read, self._embed = rounds, read, embed

    def epoch(self, epoch: int, numbers: Sequence[int] | None = None) -> Iterator[Batch]:
        for number in range(self.batches_per_epoch) if numbers is None else numbers:
            one = epoch * self.batches_per_epoch + number
            plan = self._rounds.plan_round(one)
            chunks = iterate(self._read(plan, EPOCH), range(len(plan)), self.workers)
            self._rounds.add(plan, torch.cat([self._embed(self, batch) for batch in chunks]))
            yield from iterate(self._read(self._rounds.plan_triplets(one), EPOCH), [0], 0)

    def state_dict(self) -> dict[str, Any]:
        return self._rounds.table.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rounds.table.load_state_dict(state)


def training_feed(config: TrainConfig, data: TrainingSet, network: torch.nn.Module, device: torch.device) -> Feed:
    """The feed of a configuration. Raises InputError for a set too small for one batch."""
    options, features = config.data, _features(data)
    if options.batches == "frames":
        sizes = (options.micro_batch, options.micro_batches, network.frames, config.seed)
        open_frames = partial(_open_frames, data.source, data.labels, *sizes)
        return Feed(open_frames, len(open_frames(0)), workers=options.workers)
    read = _reader(config, data.source, data.labels, data.frame_labels)
    if options.sampler == "hard_negatives":
        chosen = HardNegativeOptions(**vars(options.hard_negatives))
        rounds = HardNegatives(
            data.labels,
            chosen,
            chunk_frames=options.chunk_frames[0],
            seed=config.seed,
            dims=network.embedding_dim,
            device=device,
        )
        embed = partial(_embed, network, device, config.precision)
        count = rounds.rounds_per_epoch * options.chunks_per_utterance
        return HardNegativeFeed(rounds, read, embed, count, options.workers, features)
    # A loss between utterances compares all of a batch: what its micro-batches hold is planned together.
    together = options.micro_batches if options.sampler in ("speakers_by_utterances", "triplets") else 1
    planner = EpochPlanner(
        data.labels,
        sampler=options.sampler,
        micro_batch=options.micro_batch * together,
        micro_batches=options.micro_batches // together,
        chunk_frames=options.chunk_frames,
        chunks_per_utterance=options.chunks_per_utterance,
        utterances_per_speaker=options.utterances_per_speaker,
        max_per_speaker=options.max_per_speaker,
        seed=config.seed,
    )
    return Feed(
        lambda epoch: read(_divided(planner.plan(epoch), together), epoch),
        planner.batches * together,
        planner.group_size,
        options.workers,
        features,
        planner.speakers_left_out,
    )


def validation_feed(config: TrainConfig, data: TrainingSet, network: torch.nn.Module, compares: bool) -> Feed | None:
    """The held-out utterances, one chunk of the longest length of each, the same chunks each time, nothing masked.

    compares: the loss takes several utterances of a speaker together; None where too few are held out for that.
    """
    source, labels = data.valid_source, data.valid_labels
    if config.data.batches == "frames":
        together = min(VALIDATION_FRAMES, int(source.num_frames.sum()))
        frames = _open_frames(source, labels, together, 1, network.frames, 0, 0)
        return Feed(lambda epoch: frames, len(frames))
    longest, group = max(config.data.chunk_frames), 1
    if compares:
        if (planner := _held_out_planner(config, labels, longest)) is None:
            return None
        plan, group = planner.plan(0), planner.group_size
    else:
        plan = one_chunk_each(len(source), longest)
    read = _reader(config, source, labels, data.valid_frame_labels, validates=True)
    return Feed(lambda epoch: read(plan, 0), len(plan), group, features=_features(data))


def one_chunk_each(utterances: int, frames: int) -> EpochPlan:
    """Every utterance once, in order, in batches of which the last may be smaller."""
    members = [np.arange(first, min(first + VALIDATION_BATCH, utterances))
               for first in range(0, utterances, VALIDATION_BATCH)]  # fmt: skip
    return EpochPlan(members, [np.zeros(len(one), int) for one in members], np.full(len(members), frames))


def _features(data: TrainingSet) -> DeviceFeatures | None:
    return DeviceFeatures(data.front_end) if isinstance(data.source, Cropper) else None


def _reader(
    config: TrainConfig,
    source: FeatureSource | MemorySource | Cropper,
    labels: np.ndarray,
    frame_labels: FrameLabels | None,
    validates: bool = False,
) -> Reader:
    if isinstance(source, Cropper):
        if validates:
            return audio_feed.validation_reader(source, labels)
        return audio_feed.training_reader(config, source, labels)
    seed, masks = (0, SpecAugment()) if validates else (config.seed, SpecAugment(**vars(config.data.spec_augment)))
    if frame_labels is not None:
        return lambda plan, epoch: LabelledSegments(source, frame_labels, plan, seed, epoch, masks)
    return lambda plan, epoch: EpochBatches(source, labels, plan, seed, epoch, masks)


def _open_frames(
    source: FeatureSource | MemorySource, labels: np.ndarray, micro_batch: int, micro_batches: int, context: int,
    seed: int, epoch: int,
) -> FrameBatches:  # fmt: skip
    return FrameBatches(
        source, labels, frames=context, micro_batch=micro_batch, micro_batches=micro_batches, seed=seed, epoch=epoch
    )


def _divided(plan: EpochPlan, parts: int) -> EpochPlan:
    """The same rows in micro-batches of which `parts` were one."""
    shape = len(plan) * parts, -1
    return EpochPlan(plan.utterances.reshape(shape), plan.draws.reshape(shape), plan.frames.repeat(parts))


def _held_out_planner(config: TrainConfig, labels: np.ndarray, frames: int) -> EpochPlanner | None:
    """Groups of held-out utterances as the sampler makes them, of all speakers; None for fewer than two of these."""
    triplets = config.data.sampler in ("triplets", "hard_negatives")
    utterances = 2 if triplets else config.data.utterances_per_speaker
    groups = np.unique(labels, return_counts=True)[1] // utterances
    speakers = int((groups > 0).sum())
    if speakers < 2:
        return None
    size = 3 if triplets else utterances
    width = min(config.data.micro_batch // size, int(groups.sum()) if triplets else speakers)
    return EpochPlanner(
        labels,
        sampler="triplets" if triplets else "speakers_by_utterances",
        micro_batch=max(width, 1) * size,
        chunk_frames=[frames],
        utterances_per_speaker=utterances,
        seed=config.seed,
    )


@torch.no_grad()
def _embed(network: torch.nn.Module, device: torch.device, precision: str, feed: Feed, batch: Batch) -> torch.Tensor:
    """By the network as it is in extraction, (chunks, dims)."""
    learning = network.training
    network.eval()
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        embeddings = network(feed.prepare(batch, device))
    network.train(learning)
    return embeddings
