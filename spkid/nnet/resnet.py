"""Residual networks over the time-frequency plane, WeSpeaker's dimensions.

He et al., "Deep residual learning for image recognition", CVPR 2016; Zeinali et al., "BUT system description to
VoxCeleb speaker recognition challenge 2019". With m = channels and F x T the input plane:

    layer      blocks (18, 34, 50, 101, 152, 221, 293)     stride   output
    first                                                  1        m x F x T     3x3, batch normalisation, ReLU
    stage 1    2,  3,  3,  3,   3,   6,   10               1        m e x F x T
    stage 2    2,  4,  4,  4,   8,   16,  20               2        2m e x F/2 x T/2
    stage 3    2,  6,  6,  23,  36,  48,  64               2        4m e x F/4 x T/4
    stage 4    2,  3,  3,  3,   3,   3,   3                2        8m e x F/8 x T/8
    pooling                                                         mean and deviation of every channel and frequency
    embedding                                                       affine

18 and 34 are built of two 3x3 convolutions (e = 1), the others of 1x1, 3x3, 1x1 (e = 4). ResNet34 with m 32, 80 inputs
and 256 outputs has 6,634,336 parameters.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from spkid.nnet.masking import frame_mask, hide, strided
from spkid.nnet.registry import build_pooling, pooling_name
from spkid.nnet.tdnn import check_frames

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    221: (6, 16, 48, 3),
    293: (10, 20, 64, 3),
}
TSTP = {"unbiased": True, "epsilon": 1.0e-7}  # WeSpeaker's statistics


def conv_norm(
    input_dim: int, output_dim: int, kernel: int, stride: int | tuple[int, int] = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution without constant that keeps the plane at stride 1, and its batch normalisation."""
    conv = nn.Conv2d(input_dim, output_dim, kernel, stride=stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(output_dim)


def shortcut(input_dim: int, output_dim: int, stride: int | tuple[int, int]) -> nn.Module:
    """The input as it is where the shapes agree, else through a 1x1 convolution."""
    same = input_dim == output_dim and stride in (1, (1, 1))
    return nn.Identity() if same else nn.Sequential(*conv_norm(input_dim, output_dim, 1, stride))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, plus the input."""

    expansion = 1

    def __init__(self, input_dim: int, channels: int, stride: int | tuple[int, int]) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(input_dim, channels, 3, stride)
        self.conv2, self.bn2 = conv_norm(channels, channels, 3)
        self.shortcut = shortcut(input_dim, channels, stride)
        self.time_stride = self.conv1.stride[1]

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        hidden = torch.relu(self.bn1(self.conv1(hide(x, mask))))
        hidden = self.bn2(self.conv2(hide(hidden, strided(mask, self.time_stride))))
        return torch.relu(hidden + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1 to `channels`, 3x3, 1x1 to four times as many, plus the input."""

    expansion = 4

    def __init__(self, input_dim: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(input_dim, channels, 1)
        self.conv2, self.bn2 = conv_norm(channels, channels, 3, stride)
        self.conv3, self.bn3 = conv_norm(channels, channels * self.expansion, 1)
        self.shortcut = shortcut(input_dim, channels * self.expansion, stride)
        self.time_stride = stride

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        hidden = torch.relu(self.bn1(self.conv1(x)))
        hidden = torch.relu(self.bn2(self.conv2(hide(hidden, mask))))
        return torch.relu(self.bn3(self.conv3(hidden)) + self.shortcut(x))


def run_stages(
    stages: Iterable[nn.Sequential], x: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The plane behind all blocks and its mask, which shrinks with its frames."""
    for stage in stages:
        for block in stage:
            x = block(x, mask)
            mask = strided(mask, block.time_stride)
    return x, mask


class ResNet(nn.Module):
    """(batch, frames, input_dim) -> (batch, embedding_dim), from one frame on.

    Args:
        channels: width of the first stage, m.
        pooling, pooling_options: over the frequencies of all channels, (batch, channels * frequencies, frames).
        second_layer: ReLU, batch normalisation and another affine layer behind the first; the embedding is its output.
    """

    depth = 0  # each depth is a class of its own, so that it has a name of its own

    def __init__(
        self,
        input_dim: int = 80,
        embedding_dim: int = 256,
        channels: int = 32,
        pooling: str = "statistics",
        pooling_options: dict[str, Any] | None = None,
        second_layer: bool = False,
    ) -> None:
        super().__init__()
        block = BasicBlock if self.depth < 50 else Bottleneck
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 1
        self.conv1, self.bn1 = conv_norm(1, channels, 3)
        stages = []
        width = channels
        for index, count in enumerate(BLOCKS[self.depth]):
            blocks = []
            for position in range(count):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(block(width, channels * 2**index, stride))
                width = channels * 2**index * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        frequencies = -(-input_dim // 8)
        if pooling_options is None:
            pooling_options = TSTP if pooling_name(pooling) == "statistics" else {}
        self.pooling = build_pooling(pooling, channels=width * frequencies, **pooling_options)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)
        if second_layer:
            norm = nn.BatchNorm1d(embedding_dim, affine=False)
            self.second = nn.Sequential(nn.ReLU(), norm, nn.Linear(embedding_dim, embedding_dim))
        else:
            self.second = nn.Identity()
        # The layout in which convolutions are fastest: a tenth off a step on a CPU (benchmarks/training_step.py).
        # Gradients of narrower ones in it end in a segmentation fault of torch 2.11 on CPUs.
        if channels >= 16:
            self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device)
        x = hide(x.transpose(1, 2), mask).unsqueeze(1)
        x, mask = run_stages(self.stages, torch.relu(self.bn1(self.conv1(x))), mask)
        return self.second(self.embedding(self.pooling(x.flatten(1, 2), mask).to(x.dtype)))


class ResNet18(ResNet):
    __doc__ = ResNet.__doc__
    depth = 18


class ResNet34(ResNet):
    __doc__ = ResNet.__doc__
    depth = 34


class ResNet50(ResNet):
    __doc__ = ResNet.__doc__
    depth = 50


class ResNet101(ResNet):
    __doc__ = ResNet.__doc__
    depth = 101


class ResNet152(ResNet):
    __doc__ = ResNet.__doc__
    depth = 152


class ResNet221(ResNet):
    __doc__ = ResNet.__doc__
    depth = 221


class ResNet293(ResNet):
    __doc__ = ResNet.__doc__
    depth = 293
