"""A TDNN for small corpora: the frame-level layers of the x-vector, what later systems changed around them."""

from typing import Any

import torch
from torch import nn

from spkid.nnet.registry import build_pooling
from spkid.nnet.tdnn import check_frames

CONTEXTS = [(5, 1), (3, 2), (3, 3), (1, 1), (1, 1)]


class SmallTdnn(nn.Module):
    """Padded frame-level layers, pooling and one linear layer: (batch, frames, input_dim) -> (batch, embedding_dim).

    Unlike the x-vector it keeps the frames at the ends (padding), can skip every other one (`stride` 2 halves the
    cost), and its only segment layer lies between two batch normalisations: that of the statistics lets a large
    learning rate work, that of the embedding centres it for cosine scoring. `normalize_input` puts one before
    everything, for features without mean normalisation; `input_statistics` adds mean and deviation of the features
    themselves to what is pooled.
    """

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int = 192,
        channels: int = 192,
        pooled_channels: int = 576,
        pooling: str = "statistics",
        pooling_options: dict[str, Any] | None = None,
        stride: int = 1,
        dropout: float = 0.0,
        normalize_input: bool = False,
        input_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 1
        self.input_norm = nn.BatchNorm1d(input_dim, affine=False) if normalize_input else nn.Identity()
        widths = [input_dim, *[channels] * 4, pooled_channels]
        layers: list[nn.Module] = []
        for number, (kernel, dilation) in enumerate(CONTEXTS):
            padding = dilation * (kernel // 2)
            before, after = widths[number], widths[number + 1]
            step = stride if number == 0 else 1
            convolution = nn.Conv1d(before, after, kernel, stride=step, dilation=dilation, padding=padding)
            layers += [convolution, nn.ReLU(), nn.BatchNorm1d(after)]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.frame_level = nn.Sequential(*layers)
        self.pooling = build_pooling(pooling, channels=pooled_channels, **(pooling_options or {}))
        self.input_pooling = build_pooling("statistics", channels=input_dim) if input_statistics else None
        pooled = self.pooling.output_dim + (2 * input_dim if input_statistics else 0)
        self.segment = nn.Sequential(
            nn.BatchNorm1d(pooled), nn.Linear(pooled, embedding_dim), nn.BatchNorm1d(embedding_dim)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        x = self.input_norm(x.transpose(1, 2))
        pooled = self.pooling(self.frame_level(x))
        if self.input_pooling is not None:
            pooled = torch.cat([pooled, self.input_pooling(x)], dim=1)
        return self.segment(pooled)
