"""The three networks of Deep Speaker: residual CNN, simple CNN and GRU.

Li et al., "Deep Speaker: an end-to-end neural speaker embedding system", 2017, in the sizes of the public Keras code
(Walleclipse/Deep_Speaker-speaker_recognition_system). Input 160 frames x 64 normalised filter banks as a plane
T x F x 1; clipped ReLU min(max(x, 0), 20); every convolution has a constant and is followed by batch normalisation:

    layer      ResCNN                        simple CNN            GRU
    stages     5x5 stride 2 and 3 blocks of  the first three       5x5 stride 2, 64 channels
               two 3x3, of 64, 128, 256,     of them
               512 channels
    sequence   T/16 x 2048                   T/8 x 2048            T/2 x 2048, three GRU layers of 1024
    mean       2048                          2048                  1024
    embedding  affine, 512, length 1         the same              the same

No original is public to compare with: the parameter counts are the proof. ResCNN 24,172,288 (24,185,728 in Keras'
count, which includes the running statistics), simple CNN 6,728,960 (6,735,232), GRU 22,565,120 (Keras has one constant
a gate where PyTorch has two).
"""

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.eres2net import clipped_relu
from spkid.nnet.tdnn import check_frames

NORM_EPSILON = 1.0e-3  # Keras
NORM_MOMENTUM = 0.01
CONVOLUTION_OF_GRU = 64  # channels


def conv_norm(input_dim: int, output_dim: int, kernel: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution with constant that keeps the plane at stride 1, and its batch normalisation."""
    conv = nn.Conv2d(input_dim, output_dim, kernel, stride=stride, padding=kernel // 2)
    return conv, nn.BatchNorm2d(output_dim, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)


class ClippedBlock(nn.Module):
    """Two 3x3 convolutions, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv_norm(channels, channels, 3)
        self.conv2, self.norm2 = conv_norm(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = clipped_relu(self.norm1(self.conv1(x)))
        return clipped_relu(self.norm2(self.conv2(hidden)) + x)


class HalvingStage(nn.Module):
    """5x5 with stride 2, then residual blocks; (batch, channels, frames, dims) halved in both directions."""

    def __init__(self, input_dim: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.conv, self.norm = conv_norm(input_dim, channels, 5, stride=2)
        self.blocks = nn.Sequential(*[ClippedBlock(channels) for _ in range(num_blocks)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(clipped_relu(self.norm(self.conv(x))))


class DeepSpeaker(nn.Module):
    """(batch, frames, input_dim) -> (batch, embedding_dim) of length 1."""

    num_stages = 4
    num_blocks = 3

    def __init__(self, input_dim: int, embedding_dim: int, channels: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 1
        widths = [1, *(channels << stage for stage in range(self.num_stages))]
        self.convolutions = nn.Sequential(
            *[HalvingStage(widths[i], width, self.num_blocks) for i, width in enumerate(widths[1:])]
        )
        dims = input_dim
        for _ in range(self.num_stages):
            dims = (dims + 1) // 2
        self.sequence_dim = dims * widths[-1]
        self.recurrent: nn.GRU | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        x = self.convolutions(x.unsqueeze(1)).transpose(1, 2).flatten(2)
        if self.recurrent is not None:
            x = self.recurrent(x)[0]
        return functional.normalize(self.embedding(x.mean(dim=1)), dim=1)


class DeepSpeakerResCnn(DeepSpeaker):
    """(batch, frames, input_dim) -> (batch, embedding_dim) of length 1; channels: of the first stage, then doubled."""

    def __init__(self, input_dim: int = 64, embedding_dim: int = 512, channels: int = 64) -> None:
        super().__init__(input_dim, embedding_dim, channels)
        self.embedding = nn.Linear(self.sequence_dim, embedding_dim)


class DeepSpeakerSimpleCnn(DeepSpeakerResCnn):
    __doc__ = DeepSpeakerResCnn.__doc__
    num_stages = 3


class DeepSpeakerGru(DeepSpeaker):
    """(batch, frames, input_dim) -> (batch, embedding_dim) of length 1; channels: width of the GRU layers."""

    num_stages = 1
    num_blocks = 0

    def __init__(
        self, input_dim: int = 64, embedding_dim: int = 512, channels: int = 1024, num_layers: int = 3
    ) -> None:
        super().__init__(input_dim, embedding_dim, CONVOLUTION_OF_GRU)
        self.recurrent = nn.GRU(self.sequence_dim, channels, num_layers, batch_first=True)
        self.embedding = nn.Linear(channels, embedding_dim)
