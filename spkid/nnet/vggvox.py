"""VGGVox of the VoxCeleb trainer.

Nagrani, Chung, Xie, Zisserman, "VoxCeleb: large-scale speaker verification in the wild", 2019, cut down for 40 bands
(Hann window). Convolution, batch normalisation, ReLU throughout:

    layer      kernel   stride   output (202 columns)
    1          5 x 7    1, 2     96 x 40 x 100         then the maximum of 1 x 3, stride (1, 2): 96 x 40 x 49
    2          5 x 5    2        256 x 19 x 24         then the maximum of 3 x 3, stride 2: 256 x 9 x 11
    3, 4, 5    3 x 3    1        384, 256, 256         then the maximum of 3 x 3, stride 2: 256 x 4 x 5
    6          4 x 1    1        512 x 1 x 5
    pooling                      512
    embedding                    512                   affine

4,032,448 parameters with self-attentive pooling, 3,769,280 with mean or maximum.
"""

from typing import Any

import torch
from torch import nn

from spkid.nnet.frontend import LogMelSpectrogram, check_samples
from spkid.nnet.registry import build_pooling

N_MELS = 40
POOLED_CHANNELS = 512


def _layer(
    input_dim: int,
    output_dim: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> list[nn.Module]:
    return [nn.Conv2d(input_dim, output_dim, kernel, stride, padding), nn.BatchNorm2d(output_dim), nn.ReLU()]


class VggVox(nn.Module):
    """(batch, samples) -> (batch, embedding_dim), from 9,920 samples on (63 columns); amplitude as `ResNetSe`.

    pooling: self_attentive (SAP), mean (TAP), max (MAX), ...
    """

    min_samples = 62 * 160

    def __init__(
        self,
        embedding_dim: int = 512,
        pooling: str = "self_attentive",
        pooling_options: dict[str, Any] | None = None,
        log_input: bool = True,
        amplitude: str = "unit",
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.spectrogram = LogMelSpectrogram(N_MELS, "hann", log_input=log_input, amplitude=amplitude)
        self.layers = nn.Sequential(
            *_layer(1, 96, (5, 7), (1, 2), 2),
            nn.MaxPool2d((1, 3), (1, 2)),
            *_layer(96, 256, 5, 2, 1),
            nn.MaxPool2d(3, 2),
            *_layer(256, 384, 3, 1, 1),
            *_layer(384, 256, 3, 1, 1),
            *_layer(256, 256, 3, 1, 1),
            nn.MaxPool2d(3, 2),
            *_layer(256, POOLED_CHANNELS, (4, 1)),
        )
        self.pooling = build_pooling(pooling, channels=POOLED_CHANNELS, **(pooling_options or {}))
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_samples(x, self.min_samples)
        x = self.layers(self.spectrogram(x).unsqueeze(1)).squeeze(2)
        return self.embedding(self.pooling(x).to(x.dtype))
