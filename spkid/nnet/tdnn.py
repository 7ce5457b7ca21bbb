"""The frame-level layer that time-delay networks share."""

from collections.abc import Sequence

import torch
from torch import nn

KALDI_BATCH_NORM_EPSILON = 1.0e-3  # Kaldi: nnet3/nnet-normalize-component.cc, BatchNormComponent


class TdnnLayer(nn.Module):
    """Affine over a spliced context, ReLU, batch normalisation: Kaldi's relu-batchnorm-layer.

    (batch, input_dim, frames) -> (batch, output_dim, frames - (kernel - 1) * dilation). The normalisation has no scale
    and offset of its own, as in Kaldi: the affine part of the next layer makes them redundant.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel: int = 1,
        dilation: int = 1,
        norm_epsilon: float = KALDI_BATCH_NORM_EPSILON,
    ) -> None:
        super().__init__()
        self.affine = nn.Conv1d(input_dim, output_dim, kernel, dilation=dilation)
        self.norm = nn.BatchNorm1d(output_dim, eps=norm_epsilon, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.relu(self.affine(x)))


def receptive_field(kernels: Sequence[tuple[int, int]]) -> int:
    """The number of input frames behind one output frame of layers of (kernel, dilation)."""
    return 1 + sum((kernel - 1) * dilation for kernel, dilation in kernels)


def check_frames(x: torch.Tensor, input_dim: int, min_frames: int) -> None:
    """Refuse features that a network cannot take, (batch, frames, dims): ValueError with both numbers."""
    if x.dim() != 3 or x.shape[2] != input_dim:
        raise ValueError(f"the network expects features (batch, frames, {input_dim}) but was given {tuple(x.shape)}")
    if x.shape[1] < min_frames:
        raise ValueError(f"the network needs at least {min_frames} frames but was given {x.shape[1]}")
