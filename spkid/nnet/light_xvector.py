"""An x-vector network for small corpora and two cores.

The layers of Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018, with three changes
that egs/speechocean762 chose on development speakers: the first layer moves two frames at a time (half the work),
the layers are narrow, and the embedding is one affine layer behind the statistics, normalised on both sides, on which
a margin loss acts directly.
"""

import torch
from torch import nn

from spkid.nnet.registry import build_pooling
from spkid.nnet.tdnn import check_frames

CONTEXTS = [(5, 1), (3, 2), (3, 3), (1, 1), (1, 1)]  # (kernel, dilation)
STRIDE = 2  # frames, of the first layer


class LightXVector(nn.Module):
    """Five frame-level layers, pooling, one segment layer: (batch, frames, input_dim) -> (batch, embedding_dim).

    The input is brought to unit variance by the running statistics of training. Frames beyond the ends count as 0, so
    that any utterance of at least 5 frames has an embedding; fewer are a ValueError.

    Args:
        pooled_channels: width of the layer that is pooled; 0: three times `channels`.
        dropout: share of channels that are dropped behind each frame-level layer.
    """

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int = 192,
        channels: int = 192,
        pooled_channels: int = 0,
        pooling: str = "statistics",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = CONTEXTS[0][0]
        pooled_channels = pooled_channels or 3 * channels
        widths = [input_dim, *[channels] * 4, pooled_channels]
        layers: list[nn.Module] = [nn.BatchNorm1d(input_dim, affine=False)]
        for index, (kernel, dilation) in enumerate(CONTEXTS):
            layers += [
                nn.Conv1d(
                    widths[index],
                    widths[index + 1],
                    kernel,
                    stride=STRIDE if index == 0 else 1,
                    dilation=dilation,
                    padding=dilation * (kernel // 2),
                ),
                nn.ReLU(),
                nn.BatchNorm1d(widths[index + 1]),
            ]
            if dropout:
                layers.append(nn.Dropout1d(dropout))
        self.frame_level = nn.Sequential(*layers)
        self.pooling = build_pooling(pooling, channels=pooled_channels)
        self.segment_level = nn.Sequential(
            nn.BatchNorm1d(self.pooling.output_dim),
            nn.Linear(self.pooling.output_dim, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        return self.segment_level(self.pooling(self.frame_level(x.transpose(1, 2))))
