"""CAM++.

Wang, Zheng, Chen, Cheng, Chen, "CAM++: a fast and efficient network for speaker verification using context-aware
masking", Interspeech 2023. With F input dimensions, T frames, T' = T / 2 and growth g = 32:

    layer        output        what
    head         32 x F/8 x T  3x3 convolution, two stages of two residual blocks and another convolution, each of the
                               three halving the frequencies
    tdnn         128 x T'      kernel 5 over 32 F/8 channels, stride 2
    dense 1      512 x T'      12 layers of kernel 3, each adding g channels; then halved to 256
    dense 2      1024 x T'     24 layers of kernel 3, dilation 2; halved to 512
    dense 3      1024 x T'     16 layers of kernel 3, dilation 2; halved to 512
    pooling      1024          mean and deviation
    embedding    D             affine without constant, batch normalisation without scale

A dense layer masks its new channels by the means of the utterance and of segments of 100 frames. 7,176,224 parameters
with 80 inputs and 512 outputs.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.masking import frame_mask, hide, strided, time_mean
from spkid.nnet.registry import build_pooling, pooling_name
from spkid.nnet.resnet import TSTP, BasicBlock, conv_norm, run_stages
from spkid.nnet.tdnn import check_frames

HEAD_CHANNELS = 32
DENSE = ((12, 1), (24, 2), (16, 2))  # (layers, dilation)
BOTTLENECK = 4  # times the growth
SEGMENT = 100  # frames


class NormRelu(nn.BatchNorm1d):
    """Batch normalisation, ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(x))


class ContextAwareMasking(nn.Module):
    """A convolution whose channels are scaled by what the utterance and the segment around a frame look like."""

    def __init__(self, input_dim: int, output_dim: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.local = nn.Conv1d(input_dim, output_dim, kernel, padding=padding, dilation=dilation, bias=False)
        self.squeeze = nn.Conv1d(input_dim, input_dim // 2, 1)
        self.excite = nn.Conv1d(input_dim // 2, output_dim, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = hide(x, mask)
        context = time_mean(x, mask, keepdim=True) + segment_means(x, mask)
        return self.local(x) * torch.sigmoid(self.excite(torch.relu(self.squeeze(context))))


def segment_means(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The mean of the segment that a frame is in, (batch, channels, frames) as x, which is 0 where the mask is."""
    means = functional.avg_pool1d(x, SEGMENT, SEGMENT, ceil_mode=True)
    if mask is not None:
        counted = functional.avg_pool1d(mask.to(x.dtype), SEGMENT, SEGMENT, ceil_mode=True)
        means = means / counted.clamp(min=1 / SEGMENT)
    return means.repeat_interleave(SEGMENT, dim=2)[:, :, : x.shape[2]]


class DenseLayer(nn.Module):
    """The input with `growth` more channels."""

    def __init__(self, input_dim: int, growth: int, kernel: int, dilation: int) -> None:
        super().__init__()
        hidden = BOTTLENECK * growth
        self.norm1 = NormRelu(input_dim)
        self.linear = nn.Conv1d(input_dim, hidden, 1, bias=False)
        self.norm2 = NormRelu(hidden)
        self.masking = ContextAwareMasking(hidden, growth, kernel, dilation)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.cat([x, self.masking(self.norm2(self.linear(self.norm1(x))), mask)], dim=1)


class Head(nn.Module):
    """(batch, frames, input_dim) -> (batch, 32 * input_dim / 8, frames)."""

    def __init__(self) -> None:
        super().__init__()
        width, halve = HEAD_CHANNELS, (2, 1)
        self.conv1, self.bn1 = conv_norm(1, width, 3)
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(width, width, halve), BasicBlock(width, width, (1, 1))) for _ in range(2)
        )
        self.conv2, self.bn2 = conv_norm(width, width, 3, halve)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x = hide(x.transpose(1, 2), mask).unsqueeze(1)
        x, mask = run_stages(self.stages, torch.relu(self.bn1(self.conv1(x))), mask)
        return torch.relu(self.bn2(self.conv2(hide(x, mask)))).flatten(1, 2)


class CamPlusPlus(nn.Module):
    """(batch, frames, input_dim) -> (batch, embedding_dim), from two frames on.

    Args:
        channels: width behind the first time-delay layer.
        growth: channels that each dense layer adds.
    """

    def __init__(
        self,
        input_dim: int = 80,
        embedding_dim: int = 512,
        channels: int = 128,
        growth: int = 32,
        pooling: str = "statistics",
        pooling_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 2
        self.head = Head()
        width = channels
        self.tdnn = nn.Conv1d(HEAD_CHANNELS * -(-input_dim // 8), width, 5, stride=2, padding=2, bias=False)
        self.tdnn_norm = NormRelu(width)
        self.dense = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for layers, dilation in DENSE:
            self.dense.append(
                nn.Sequential(*[DenseLayer(width + index * growth, growth, 3, dilation) for index in range(layers)])
            )
            width += layers * growth
            self.transitions.append(nn.Sequential(NormRelu(width), nn.Conv1d(width, width // 2, 1, bias=False)))
            width //= 2
        self.last_norm = NormRelu(width)
        if pooling_options is None:
            pooling_options = TSTP if pooling_name(pooling) == "statistics" else {}
        self.pooling = build_pooling(pooling, channels=width, **pooling_options)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim, bias=False)
        self.embedding_norm = nn.BatchNorm1d(embedding_dim, affine=False)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device, self.min_frames)
        x = self.tdnn_norm(self.tdnn(hide(self.head(x, mask), mask)))
        mask = strided(mask, self.tdnn.stride[0])
        for layers, transition in zip(self.dense, self.transitions, strict=True):
            for layer in layers:
                x = layer(x, mask)
            x = transition(x)
        x = self.last_norm(x)
        return self.embedding_norm(self.embedding(self.pooling(x, mask).to(x.dtype)))
