"""RawNet3 of the VoxCeleb trainer.

Jung, Kim, Heo, Lee, Chung, "Pushing the limits of raw waveform speaker recognition", Interspeech 2022. C = channels:

    layer       output (32,240 samples)
    waveform    pre-emphasis 0.97, mean 0 and variance 1 (+ 1e-4) with learned scale and offset
    sinc        C/4 x 3199       learned band passes of 251 samples, stride 10; log(|.| + 1e-6) minus its mean over time
    block 1     C x 639          dilation 2, the maximum of 5 frames
    block 2     C x 213          dilation 3, the maximum of 3 frames
    block 3     C x 213          dilation 4; its input is block 2 plus the maximum of 3 frames of block 1
    aggregation 1536 x 213       1x1 over blocks 1 (maximum of 3), 2 and 3 side by side, ReLU
    pooling     3072             attentive statistics with global context, a weight a channel (ECA) or one (ASP)
    embedding   D                batch normalisation, affine

16,280,322 parameters with C 1024, D 256 and a weight a channel; 16,082,307 with one. They include two batch
normalisations that the published configuration does not use but its files contain.
"""

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.attention import AttentiveStatisticsPooling
from spkid.nnet.frontend import SincFilterBank, amplitude_factor, check_samples, preemphasize
from spkid.nnet.pooling import full_precision
from spkid.nnet.registry import unknown_name
from spkid.nnet.res2net import Res2Conv1d

SINC_KERNEL = 251
AGGREGATED = 1536
ATTENTION_DIM = 128
DILATIONS = (2, 3, 4)
MAXIMA = (5, 3, 1)  # frames
VARIANCE_FLOOR = 1.0e-4
POOLINGS = ("eca", "asp")


class FeatureMapScaling(nn.Module):
    """(x + a) s(mean over time of x): a learned offset and a learned function a channel. Jung et al., RawNet2, 2020."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.ones(channels, 1))
        self.scale = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.offset) * torch.sigmoid(self.scale(x.mean(dim=2))).unsqueeze(2)


class Res2MaxBlock(nn.Module):
    """1x1, Res2Net convolution, 1x1, plus the input; the maximum of neighbouring frames; feature map scaling."""

    def __init__(self, input_dim: int, channels: int, dilation: int, scale: int, maximum: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv1d(input_dim, channels, 1), nn.BatchNorm1d(channels)
        self.res2 = Res2Conv1d(channels, 3, dilation, scale)
        self.conv3, self.norm3 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        same = input_dim == channels
        self.shortcut = nn.Identity() if same else nn.Conv1d(input_dim, channels, 1, bias=False)
        self.maximum = maximum
        self.scaling = FeatureMapScaling(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.res2(self.norm1(torch.relu(self.conv1(x))))
        hidden = self.norm3(torch.relu(self.conv3(hidden))) + self.shortcut(x)
        return self.scaling(functional.max_pool1d(hidden, self.maximum) if self.maximum > 1 else hidden)


class RawNet3(nn.Module):
    """(batch, samples) -> (batch, embedding_dim), from 391 samples on.

    Args:
        channels: width of the blocks, C.
        pooling: "eca": a weight a channel; "asp": one weight.
        sinc_stride: samples between two frames of the band passes.
        scale: groups of the Res2Net convolutions.
        output_norm: batch normalisation of the embedding.
        amplitude: as `spkid.nnet.resnet_se.ResNetSe`.
    """

    def __init__(
        self,
        embedding_dim: int = 256,
        channels: int = 1024,
        pooling: str = "eca",
        sinc_stride: int = 10,
        scale: int = 8,
        output_norm: bool = False,
        amplitude: str = "unit",
    ) -> None:
        super().__init__()
        if pooling.lower() not in POOLINGS:
            raise unknown_name("pooling of rawnet3", pooling, POOLINGS)
        self.embedding_dim = embedding_dim
        self.min_samples = SINC_KERNEL + (MAXIMA[0] * MAXIMA[1] - 1) * sinc_stride
        self.factor = amplitude_factor(amplitude)
        self.waveform_norm = nn.InstanceNorm1d(1, eps=1.0e-4, affine=True)
        self.sinc = SincFilterBank(channels // 4, SINC_KERNEL, sinc_stride)
        self.sinc_norm = nn.BatchNorm1d(channels // 4).requires_grad_(False)  # in the files, but not in use
        self.blocks = nn.ModuleList(
            Res2MaxBlock(channels // 4 if index == 0 else channels, channels, dilation, scale, maximum)
            for index, (dilation, maximum) in enumerate(zip(DILATIONS, MAXIMA, strict=True))
        )
        self.aggregation = nn.Conv1d(len(DILATIONS) * channels, AGGREGATED, 1)
        self.pooling = AttentiveStatisticsPooling(
            AGGREGATED,
            ATTENTION_DIM,
            per_channel=pooling.lower() == "eca",
            global_context=True,
            hidden="relu_norm",
            variance_floor=VARIANCE_FLOOR,
            unbiased_context=True,
            context_floor=VARIANCE_FLOOR,
        )
        self.pooling_norm = nn.BatchNorm1d(self.pooling.output_dim)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)
        self.output_norm = output_norm
        self.embedding_norm = nn.BatchNorm1d(embedding_dim).requires_grad_(output_norm)

    def sinc_features(self, x: torch.Tensor) -> torch.Tensor:
        """What the first block sees, (batch, channels / 4, frames)."""
        check_samples(x, self.min_samples)
        with torch.autocast(x.device.type, enabled=False):
            x = preemphasize(full_precision(x) * self.factor)
            x = (self.sinc(self.waveform_norm(x.unsqueeze(1)).squeeze(1)).abs() + 1.0e-6).log()
            return x - x.mean(dim=2, keepdim=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.blocks[0](self.sinc_features(x))
        second = self.blocks[1](first)
        first = functional.max_pool1d(first, MAXIMA[1])
        third = self.blocks[2](first + second)
        x = torch.relu(self.aggregation(torch.cat([first, second, third], dim=1)))
        embedding = self.embedding(self.pooling_norm(self.pooling(x).to(x.dtype)))
        return self.embedding_norm(embedding) if self.output_norm else embedding
