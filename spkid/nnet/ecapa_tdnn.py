"""ECAPA-TDNN.

Desplanques, Thienpondt, Demuynck, "ECAPA-TDNN: emphasized channel attention, propagation and aggregation in TDNN based
speaker verification", Interspeech 2020. C = channels, M = pooled_channels:

    layer          kernel  dilation  output
    first          5       1         C x T      convolution, ReLU, batch normalisation (as everywhere below)
    block 1, 2, 3  3       2, 3, 4   C x T      1x1, Res2Net (scale 8), 1x1, squeeze and excitation, + input
    aggregation    1       1         M x T      of the three blocks' outputs side by side
    pooling                          2M         attentive statistics, a weight a channel, with global context
    embedding                        D          batch normalisation, affine

Two published layouts: "speechbrain" mirrors the frames at the ends, normalises the aggregation and the attention's
hidden layer; "wespeaker" pads with zeros and does neither. 6,194,048 parameters in SpeechBrain's layout with C 512, M
1536, 80 inputs and 192 outputs; 6,190,720 in WeSpeaker's.
"""

import torch
from torch import nn

from spkid.nnet.attention import AttentiveStatisticsPooling
from spkid.nnet.masking import TimeConv1d, frame_mask, time_mean
from spkid.nnet.registry import unknown_name
from spkid.nnet.res2net import Res2Conv1d
from spkid.nnet.tdnn import check_frames

DILATIONS = (2, 3, 4)
LAYOUTS = ("speechbrain", "wespeaker")


class ConvReluNorm(nn.Module):
    """Convolution that keeps the number of frames, ReLU, batch normalisation."""

    def __init__(self, input_dim: int, output_dim: int, kernel: int = 1, padding_mode: str = "zeros") -> None:
        super().__init__()
        self.conv = TimeConv1d(input_dim, output_dim, kernel, padding_mode=padding_mode)
        self.norm = nn.BatchNorm1d(output_dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.norm(torch.relu(self.conv(x, mask)))


class SqueezeExcitation(nn.Module):
    """Channels scaled by a function of their means over time. Hu et al., "Squeeze-and-excitation networks", 2018."""

    def __init__(self, channels: int, hidden_dim: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden_dim)
        self.excite = nn.Linear(hidden_dim, channels)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        mean = time_mean(x, mask)
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(mean)))).unsqueeze(2)


class SeRes2Block(nn.Module):
    """1x1 convolution, Res2Net convolution, 1x1 convolution, squeeze and excitation, plus the input."""

    def __init__(self, channels: int, dilation: int, scale: int, se_dim: int, speechbrain: bool) -> None:
        super().__init__()
        self.first = ConvReluNorm(channels, channels)
        self.res2 = Res2Conv1d(
            channels, 3, dilation, scale, speechbrain, padding_mode="reflect" if speechbrain else "zeros"
        )
        self.last = ConvReluNorm(channels, channels)
        self.excitation = SqueezeExcitation(channels, se_dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return x + self.excitation(self.last(self.res2(self.first(x), mask)), mask)


class EcapaTdnn(nn.Module):
    """(batch, frames, input_dim) -> (batch, embedding_dim); at least 5 frames (ValueError).

    Args:
        channels: width of the blocks, C.
        pooled_channels: width of the aggregated layer, M.
        attention_dim, se_dim: widths of the hidden layers of the pooling and of squeeze and excitation.
        scale: number of groups of the Res2Net convolutions.
        global_context: the pooling's attention sees the utterance's statistics.
        layout: "speechbrain" or "wespeaker".
    """

    def __init__(
        self,
        input_dim: int = 80,
        embedding_dim: int = 192,
        channels: int = 512,
        pooled_channels: int = 1536,
        attention_dim: int = 128,
        se_dim: int = 128,
        scale: int = 8,
        global_context: bool = True,
        layout: str = "speechbrain",
    ) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise unknown_name("layout of ecapa_tdnn", layout, LAYOUTS)
        speechbrain = layout == "speechbrain"
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = max(DILATIONS) + 1  # a mirror image needs more frames than it adds
        self.first = ConvReluNorm(input_dim, channels, 5, "reflect" if speechbrain else "zeros")
        self.blocks = nn.ModuleList(
            SeRes2Block(channels, dilation, scale, se_dim, speechbrain) for dilation in DILATIONS
        )
        self.aggregation = nn.Conv1d(len(DILATIONS) * channels, pooled_channels, 1)
        self.aggregation_norm = nn.BatchNorm1d(pooled_channels) if speechbrain else nn.Identity()
        self.pooling = AttentiveStatisticsPooling(
            pooled_channels,
            attention_dim,
            per_channel=True,
            global_context=global_context,
            hidden="relu_norm_tanh" if speechbrain else "tanh",
            variance_floor=1.0e-12 if speechbrain else 1.0e-7,
            unbiased_context=not speechbrain,
            context_epsilon=0.0 if speechbrain else 1.0e-7,
            context_floor=1.0e-12,
        )
        self.pooling_norm = nn.BatchNorm1d(self.pooling.output_dim)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device, self.min_frames)
        x = self.first(x.transpose(1, 2), mask)
        outputs = []
        for block in self.blocks:
            x = block(x, mask)
            outputs.append(x)
        x = self.aggregation_norm(torch.relu(self.aggregation(torch.cat(outputs, dim=1))))
        return self.embedding(self.pooling_norm(self.pooling(x, mask).to(x.dtype)))
