"""ERes2Net.

Chen, Zheng, Wang, Cheng, Chen, Qi, "An enhanced Res2Net with local and global feature fusion for speaker
verification", Interspeech 2023. With m = channels and F x T the input plane:

    layer      blocks  stride  output            inside a block
    first              1       m x F x T         3x3, batch normalisation, ReLU
    stage 1    3       1       2m x F x T        two groups, the second sees the first by addition
    stage 2    4       2       4m x F/2 x T/2    the same
    stage 3    6       2       8m x F/4 x T/4    two groups, the second sees the first by attentive fusion
    stage 4    3       2       16m x F/8 x T/8   the same
    fusion                     16m x F/8 x T/8   stages 1 + 2, + 3, + 4: 3x3 with stride 2, attentive fusion
    pooling                    32m F/8           mean and deviation of every channel and frequency
    embedding                  D                 affine

6,610,688 parameters with m 32, 80 inputs and 192 outputs. ReLU inside the blocks is clipped at 20.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from spkid.nnet.masking import frame_mask, hide, strided
from spkid.nnet.registry import build_pooling, pooling_name
from spkid.nnet.resnet import conv_norm, run_stages, shortcut
from spkid.nnet.tdnn import check_frames

BLOCKS = (3, 4, 6, 3)
SCALE = 2  # groups of a block
EXPANSION = 2
REDUCTION = 4  # of the hidden layer of a fusion
TSTP = {"unbiased": True, "epsilon": 1.0e-8}  # 3D-Speaker's statistics


def clipped_relu(x: torch.Tensor) -> torch.Tensor:
    """min(max(x, 0), 20)."""
    return x.clamp(0.0, 20.0)


class AttentiveFusion(nn.Module):
    """Two planes of the same shape, each point weighted by what both look like there: a (1 + g) + b (1 - g)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        self.gate = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.BatchNorm2d(channels),
            nn.Tanh(),
        )

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        gate = self.gate(torch.cat([a, b], dim=1))
        return a * (1.0 + gate) + b * (1.0 - gate)


class Res2Block(nn.Module):
    """1x1, the groups' 3x3 convolutions one after the other, 1x1, plus the input."""

    def __init__(self, input_dim: int, channels: int, stride: int, fused: bool) -> None:
        super().__init__()
        width = channels // 2
        self.conv1, self.bn1 = conv_norm(input_dim, width * SCALE, 1, stride)
        pairs = [conv_norm(width, width, 3) for _ in range(SCALE)]
        self.convs = nn.ModuleList(conv for conv, _ in pairs)
        self.bns = nn.ModuleList(norm for _, norm in pairs)
        self.fusions = nn.ModuleList(AttentiveFusion(width) for _ in range(SCALE - 1)) if fused else None
        self.conv3, self.bn3 = conv_norm(width * SCALE, channels * EXPANSION, 1)
        self.shortcut = shortcut(input_dim, channels * EXPANSION, stride)
        self.time_stride = stride

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        inner = strided(mask, self.time_stride)
        outputs: list[torch.Tensor] = []
        for index, group in enumerate(clipped_relu(self.bn1(self.conv1(x))).chunk(SCALE, dim=1)):
            if index > 0:
                previous = outputs[-1]
                group = self.fusions[index - 1](previous, group) if self.fusions else previous + group
            outputs.append(clipped_relu(self.bns[index](self.convs[index](hide(group, inner)))))
        return clipped_relu(self.bn3(self.conv3(torch.cat(outputs, dim=1))) + self.shortcut(x))


class ERes2Net(nn.Module):
    """(batch, frames, input_dim) -> (batch, embedding_dim), from one frame on. channels: m of the table."""

    def __init__(
        self,
        input_dim: int = 80,
        embedding_dim: int = 192,
        channels: int = 32,
        pooling: str = "statistics",
        pooling_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 1
        self.conv1, self.bn1 = conv_norm(1, channels, 3)
        self.stages = nn.ModuleList()
        width = channels
        widths = []
        for index, count in enumerate(BLOCKS):
            blocks = []
            for position in range(count):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(Res2Block(width, channels * 2**index, stride, fused=index >= 2))
                width = channels * 2**index * EXPANSION
            self.stages.append(nn.Sequential(*blocks))
            widths.append(width)
        self.reductions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False) for before, after in pairwise(widths)
        )
        self.fusions = nn.ModuleList(AttentiveFusion(after) for after in widths[1:])
        if pooling_options is None:
            pooling_options = TSTP if pooling_name(pooling) == "statistics" else {}
        self.pooling = build_pooling(pooling, channels=width * -(-input_dim // 8), **pooling_options)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)
        if channels >= 32:  # in which convolutions are fastest; narrower ones break torch 2.11 (see resnet.py)
            self.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device)
        x = torch.relu(self.bn1(self.conv1(hide(x.transpose(1, 2), mask).unsqueeze(1))))
        x, mask = run_stages(self.stages[:1], x, mask)
        fused = x
        for stage, reduce, fusion in zip(self.stages[1:], self.reductions, self.fusions, strict=True):
            before = mask
            x, mask = run_stages([stage], x, mask)
            fused = fusion(x, reduce(hide(fused, before)))
        return self.embedding(self.pooling(fused.flatten(1, 2), mask).to(x.dtype))
