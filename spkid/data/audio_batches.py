"""Batches of augmented crops of audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from spkid.data.augmentation import Chain
from spkid.data.batches import Batch, MicroBatches, SpecAugment, chunk_rng
from spkid.data.crops import Crop, Cropper
from spkid.data.device_features import DeviceFeatures
from spkid.data.plan import EpochPlan


@dataclass(frozen=True)
class AudioBatch(Batch):
    """inputs (chunks, samples) float32; what `DeviceFeatures` needs besides: frames and masks, as it says."""

    frames: torch.Tensor | None = None
    masks: torch.Tensor | None = None


class AudioBatches(MicroBatches):
    """The micro-batches of an epoch by their number; in the place of one that cannot be read, the reason.

    Args:
        cropper: of the training set.
        labels: the speaker's number of each utterance, (utterances,).
        num_speakers: copies of speakers at other speeds are numbered from there on.
        plan: of the epoch.
        masks: SpecAugment, on features of `dims` dimensions.
    """

    def __init__(
        self,
        cropper: Cropper,
        labels: np.ndarray,
        num_speakers: int,
        plan: EpochPlan,
        seed: int,
        epoch: int,
        augmentation: Chain,
        masks: SpecAugment,
        dims: int,
    ) -> None:
        self.cropper, self.labels, self.num_speakers, self.plan = cropper, labels, num_speakers, plan
        self.seed, self.epoch, self.augmentation, self.masks, self.dims = seed, epoch, augmentation, masks, dims

    def __len__(self) -> int:
        return len(self.plan)

    def _read(self, number: int) -> AudioBatch:
        members, frames = self.plan.utterances[number], int(self.plan.frames[number])
        ids = [self.cropper.source.ids[index] for index in members]
        labels = self.labels[members].astype(np.int64)
        crops, bands = [], []
        for row, (index, draw) in enumerate(zip(members, self.plan.draws[number], strict=True)):
            rng = chunk_rng(self.seed, self.epoch, ids[row], int(draw))
            speed, copy = self.augmentation.draw_speed(rng)
            crop = self.cropper.draw(int(index), frames, rng, speed)
            crops.append(Crop(self.augmentation.apply(crop.wave, rng), crop.frames))
            labels[row] += copy * self.num_speakers
            bands.append(self.masks.draw(rng, frames, self.dims))
        masks = torch.from_numpy(np.stack(bands)) if bands[0].size else None
        waves, numbers = stack(crops, frames)
        return AudioBatch(waves, torch.from_numpy(labels), ids, numbers, masks)


def stack(crops: list[Crop], frames: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Waves (chunks, samples), shorter ones filled up with zeros, and the numbers of the frames wanted of each."""
    waves = np.zeros((len(crops), max(len(crop.wave) for crop in crops)), np.float32)
    for row, crop in enumerate(crops):
        waves[row, : len(crop.wave)] = crop.wave
    if all(crop.frames is None and len(crop.wave) == waves.shape[1] for crop in crops):
        return torch.from_numpy(waves), None
    every = np.arange(frames)
    numbers = np.stack([every if crop.frames is None else crop.frames for crop in crops])
    return torch.from_numpy(waves), torch.from_numpy(numbers)


def network_inputs(batch: Batch, features: DeviceFeatures | None, device: torch.device) -> torch.Tensor:
    """What the network is given of a batch, on its device: its inputs, or the features of its waves."""
    inputs = batch.inputs.to(device, non_blocking=True)
    if features is None:
        return inputs
    numbers, masks = (None if part is None else part.to(device) for part in (batch.frames, batch.masks))
    return features(inputs, numbers, masks)
