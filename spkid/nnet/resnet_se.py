"""ResNetSE34L and ResNetSE34V2 of the VoxCeleb trainer.

Chung et al., "In defence of metric learning for speaker recognition", Interspeech 2020 (L); Heo et al., "Clova
baseline system for the VoxCeleb speaker recognition challenge 2020" (V2). F = n_mels, T columns of the spectrogram:

    layer      L                                       V2
    window     Hamming                                 Hamming, pre-emphasis 0.97
    first      7x7, stride (2, 1), norm, ReLU:         3x3 with constant, ReLU, norm:
               16 x F/2 x T                            32 x F x T
    stages     3, 4, 6, 3 blocks of 16, 32, 64, 128    3, 4, 6, 3 blocks of 32, 64, 128, 256
               strides 1, 2, 2, 1                      strides 1, 2, 2, 2
    pooling    of the mean over frequencies (128)      of every channel and frequency (256 F/8)
    embedding  affine, 512                             affine, 512

1,437,078 parameters for L with self-attentive pooling, whatever n_mels; 8,028,492 for V2 with attentive statistics and
64 bands.
"""

from typing import Any

import torch
from torch import nn

from spkid.nnet.ecapa_tdnn import SqueezeExcitation
from spkid.nnet.frontend import LogMelSpectrogram
from spkid.nnet.registry import build_pooling, pooling_name
from spkid.nnet.resnet import conv_norm, shortcut

BLOCKS = (3, 4, 6, 3)
REDUCTION = 8  # of squeeze and excitation


class SeBasicBlock(nn.Module):
    """3x3, ReLU, norm, 3x3, norm, squeeze and excitation, plus the input, ReLU."""

    def __init__(self, input_dim: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_norm(input_dim, channels, 3, stride)
        self.conv2, self.bn2 = conv_norm(channels, channels, 3)
        self.excitation = SqueezeExcitation(channels, channels // REDUCTION)
        self.shortcut = shortcut(input_dim, channels, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.bn2(self.conv2(self.bn1(torch.relu(self.conv1(x)))))
        excited = self.excitation(hidden.flatten(2)).unflatten(2, hidden.shape[2:])
        return torch.relu(excited + self.shortcut(x))


class ResNetSe(nn.Module):
    """(batch, samples) -> (batch, embedding_dim), from 400 samples (25 ms) on.

    Args:
        n_mels: bands of the spectrogram.
        channels: width of the first stage.
        pooling: self_attentive (SAP), attentive_statistics (ASP), mean, ...; its options are the original's unless
            `pooling_options` are given.
        log_input: logarithm of the spectrogram.
        amplitude: "unit" where the network was trained on waveforms in +-1, "int16" where on 16-bit integers; the
            input is in +-1 either way.
    """

    strides: tuple[int, ...] = ()

    def __init__(
        self,
        spectrogram: LogMelSpectrogram,
        embedding_dim: int,
        channels: int,
        pooled_channels: int,
        pooling: str,
        pooling_options: dict[str, Any],
    ) -> None:
        super().__init__()
        self.spectrogram = spectrogram
        self.embedding_dim = embedding_dim
        self.min_samples = spectrogram.min_samples
        self.stages = nn.ModuleList()
        width = channels
        for index, (count, stride) in enumerate(zip(BLOCKS, self.strides, strict=True)):
            blocks = []
            for position in range(count):
                blocks.append(SeBasicBlock(width, channels * 2**index, stride if position == 0 else 1))
                width = channels * 2**index
            self.stages.append(nn.Sequential(*blocks))
        self.pooling = build_pooling(pooling, channels=pooled_channels, **pooling_options)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if hasattr(self.pooling, "score"):
            nn.init.xavier_normal_(self.pooling.score.weight)

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """From the spectrogram (batch, 1, n_mels, columns) to the first stage."""
        raise NotImplementedError

    def sequence(self, x: torch.Tensor) -> torch.Tensor:
        """From the last stage to what is pooled, (batch, channels, columns)."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(self.spectrogram(x).unsqueeze(1))
        for stage in self.stages:
            x = stage(x)
        return self.embedding(self.pooling(self.sequence(x)).to(x.dtype))


class ResNetSe34L(ResNetSe):
    __doc__ = ResNetSe.__doc__
    strides = (1, 2, 2, 1)

    def __init__(
        self,
        embedding_dim: int = 512,
        n_mels: int = 40,
        channels: int = 16,
        pooling: str = "self_attentive",
        pooling_options: dict[str, Any] | None = None,
        log_input: bool = True,
        amplitude: str = "unit",
    ) -> None:
        width = 8 * channels
        if pooling_options is None:
            options = {"attention_dim": width, "score_bias": False, "variance_floor": 1.0e-5}
            pooling_options = options if pooling_name(pooling) == "attentive_statistics" else {}
        spectrogram = LogMelSpectrogram(n_mels, "hamming", log_input=log_input, amplitude=amplitude)
        super().__init__(spectrogram, embedding_dim, channels, width, pooling, pooling_options)
        self.conv1 = nn.Conv2d(1, channels, 7, stride=(2, 1), padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn1(self.conv1(x)))

    def sequence(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=2)


class ResNetSe34V2(ResNetSe):
    __doc__ = ResNetSe.__doc__
    strides = (1, 2, 2, 2)

    def __init__(
        self,
        embedding_dim: int = 512,
        n_mels: int = 64,
        channels: int = 32,
        pooling: str = "attentive_statistics",
        pooling_options: dict[str, Any] | None = None,
        log_input: bool = True,
        amplitude: str = "unit",
    ) -> None:
        width = 8 * channels * -(-n_mels // 8)
        if pooling_options is None:
            options = {"attention_dim": 128, "per_channel": True, "hidden": "relu_norm", "score_bias": True}
            floor = {"variance_floor": 1.0e-5}
            by_name = {"self_attentive": options, "attentive_statistics": {**options, **floor}}
            pooling_options = by_name.get(pooling_name(pooling), {})
        spectrogram = LogMelSpectrogram(n_mels, "hamming", preemphasis=True, log_input=log_input, amplitude=amplitude)
        super().__init__(spectrogram, embedding_dim, channels, width, pooling, pooling_options)
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn1(torch.relu(self.conv1(x)))

    def sequence(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1, 2)
