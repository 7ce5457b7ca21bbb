"""The x-vector of the AISHELL lab sheet (zengchang233/asv_beginner): 3,722,644 parameters at 30 coefficients."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.masking import complete, frame_mask
from spkid.nnet.registry import build_pooling, unknown_name
from spkid.nnet.tdnn import check_frames, receptive_field

CONTEXTS = [(5, 1), (3, 2), (3, 3), (1, 1), (1, 1)]


class ContextLayer(nn.Module):
    """Affine over a context, leaky ReLU (slope 0.2), batch normalisation."""

    def __init__(self, input_dim: int, output_dim: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.context_layer = nn.Conv1d(input_dim, output_dim, kernel, dilation=dilation)
        self.bn = nn.BatchNorm1d(output_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(functional.leaky_relu(self.context_layer(x), 0.2))


class AsvXVector(nn.Module):
    """Mean-pooled x-vector: (batch, frames, input_dim) -> (batch, embedding_dim).

    fc1, batch normalisation, fc2: `layer="near"` gives fc1's output, "far" fc2's; the loss always sees fc2. 100 frames
    become 86 before pooling. Attribute names follow the original, so that its checkpoints load by name.
    """

    def __init__(
        self,
        input_dim: int = 30,
        embedding_dim: int = 512,
        channels: int = 512,
        pooled_channels: int = 1500,
        pooling: str = "mean",
        pooling_options: dict[str, Any] | None = None,
        layer: str = "far",
    ) -> None:
        super().__init__()
        if layer not in ("near", "far"):
            raise unknown_name("embedding layer", layer, ["near", "far"])
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.layer = layer
        self.min_frames = receptive_field(CONTEXTS)
        widths = [input_dim, *[channels] * 4, pooled_channels]
        self.frame_level = nn.Sequential(
            *[
                ContextLayer(before, after, kernel, dilation)
                for (kernel, dilation), before, after in zip(CONTEXTS, widths, widths[1:], strict=False)
            ]
        )
        self.pooling = build_pooling(pooling, channels=pooled_channels, **(pooling_options or {}))
        self.fc1 = nn.Linear(self.pooling.output_dim, embedding_dim)
        self.bn1 = nn.BatchNorm1d(embedding_dim)
        self.fc2 = nn.Linear(embedding_dim, embedding_dim)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        near = self._near(x, lengths)
        return near if self.layer == "near" else self.fc2(self.bn1(near))

    def training_output(self, x: torch.Tensor) -> torch.Tensor:
        """What the loss sees: fc2's output, (batch, embedding_dim)."""
        return self.fc2(self.bn1(self._near(x)))

    def _near(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device, self.min_frames)
        return self.fc1(self.pooling(self.frame_level(x.transpose(1, 2)), complete(mask, self.min_frames)))
