"""Features computed where the network is, from batches of waveforms."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from spkid.data.audio_options import WaveformOptions, audio_options, compute_features
from spkid.data.front_end import DEVIATION_FLOOR, FRAME_KIND, FrontEnd, sliding_window
from spkid.data.source import UTTERANCE_KINDS
from spkid.features import CmvnOptions, cmvn_window
from spkid.features.deep_speaker import normalize_frames
from spkid.kaldi import InputError


class DeviceFeatures(torch.nn.Module):
    """Waveforms to what a network of this front end takes; without gradient, in float32 whatever autocast says.

    Means are those of the chunk: `cmn_utterance` over its frames, `cmn_sliding_N` over the frames of it in the window;
    `cmvn_frame` is of every frame by itself.

    Raises InputError for a front end that cannot be computed from audio.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.options = audio_options(front_end.type, front_end.options)
        # Frames at the edges of an utterance are mirrored where the crop is cut: a crop itself has no such edges.
        if hasattr(self.options, "snip_edges"):
            self.options = dataclasses.replace(self.options, snip_edges=True)
        self._transforms = [one for one in front_end.transforms if one != "vad"]
        for transform in self._transforms:
            if transform not in (*UTTERANCE_KINDS, FRAME_KIND) and sliding_window(transform) is None:
                raise InputError(f"features from audio cannot be transformed by {transform}")

    @torch.no_grad()
    def forward(
        self, waves: torch.Tensor, frames: torch.Tensor | None = None, masks: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Features of a batch.

        Args:
            waves: (batch, samples) float32 in +-1.
            frames: (batch, frames) int64: which frames of each wave are wanted; by default all.
            masks: (batch, masks, 4) int64: bands set to 0 after the normalisation: first and last frame, first and last
                dimension, each time the last one exclusive (SpecAugment).

        Returns:
            (batch, frames, dims) float32; of front ends of type waveform the waves.
        """
        if type(self.options) is WaveformOptions:
            return waves
        with torch.autocast(waves.device.type, enabled=False):
            features = compute_features(waves.float(), self.options)
            if frames is not None:
                features = features.take_along_dim(frames.unsqueeze(2), dim=1)
            for transform in self._transforms:
                features = normalize(features, transform)
            return features if masks is None else _mask(features, masks)


def normalize(features: torch.Tensor, transform: str) -> torch.Tensor:
    """(batch, frames, dims) less its mean over the frames, over a sliding window of them, or also of deviation 1.

    `cmvn_frame`: each frame less its own mean over the dimensions, and of deviation 1.
    """
    if transform == FRAME_KIND:
        return normalize_frames(features)
    window = sliding_window(transform)
    if window is not None and features.shape[1] > window:
        return features - _sliding_mean(features, window)
    centred = features - features.mean(dim=1, keepdim=True)
    if transform != "cmvn_utterance":
        return centred
    deviation = centred.std(dim=1, keepdim=True, correction=min(1, features.shape[1] - 1))
    return centred / (deviation + DEVIATION_FLOOR)


def _sliding_mean(features: torch.Tensor, window: int) -> torch.Tensor:
    count = features.shape[1]
    options = CmvnOptions(cmn_window=window, center=True)
    begin, end = (
        torch.from_numpy(bound).to(features.device) for bound in cmvn_window(np.arange(count), count, options)
    )
    running = torch.nn.functional.pad(features.double().cumsum(dim=1), (0, 0, 1, 0))
    means = (running[:, end] - running[:, begin]) / (end - begin).unsqueeze(1)
    return means.float()


def _mask(features: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    frames = torch.arange(features.shape[1], device=features.device)
    dims = torch.arange(features.shape[2], device=features.device)
    first, last, low, high = (part.unsqueeze(2) for part in masks.unbind(2))  # each (batch, masks, 1)
    rows = (frames >= first) & (frames < last)
    columns = (dims >= low) & (dims < high)
    hidden = (rows.unsqueeze(3) & columns.unsqueeze(2)).any(dim=1)
    return features.masked_fill(hidden, 0.0)
