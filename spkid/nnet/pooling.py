"""Pooling over time: (batch, channels, frames) -> (batch, output_dim).

Statistics are taken in float32 and in two passes (mean first, then squared distances from it), so that neither bf16
nor a large mean can turn a variance negative; variances are floored before the root, whose gradient is infinite at 0.
"""

import torch
from torch import nn

VARIANCE_FLOOR = 1.0e-10  # Kaldi: nnet3/nnet-general-component.cc, StatisticsPoolingComponent


class MeanPooling(nn.Module):
    """The mean over time; output_dim = channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_dim = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().mean(dim=2)


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time; output_dim = 2 * channels.

    Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_dim = 2 * channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.float()
        mean = x.mean(dim=2)
        variance = (x - mean.unsqueeze(2)).square().mean(dim=2)
        return torch.cat([mean, variance.clamp(min=VARIANCE_FLOOR).sqrt()], dim=1)


class AttentiveStatisticsPooling(nn.Module):
    """Mean and standard deviation under learned weights; output_dim = 2 * channels.

    Okabe et al., "Attentive statistics pooling for deep speaker embedding", Interspeech 2018: one weight a frame,
    w = softmax over time of v' tanh(W x + b) + k. With `per_channel` every channel has its own weights, and with
    `global_context` the attention also sees the utterance's mean and standard deviation; both together are the
    pooling of ECAPA-TDNN (Desplanques et al., Interspeech 2020).
    """

    def __init__(
        self, channels: int, attention_dim: int = 64, per_channel: bool = False, global_context: bool = False
    ) -> None:
        super().__init__()
        self.output_dim = 2 * channels
        self.statistics = StatisticsPooling(channels) if global_context else None
        self.hidden = nn.Conv1d(channels * 3 if global_context else channels, attention_dim, 1)
        self.score = nn.Conv1d(attention_dim, channels if per_channel else 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x
        if self.statistics is not None:
            context = self.statistics(x).unsqueeze(2).expand(-1, -1, x.shape[2])
            seen = torch.cat([x, context.to(x.dtype)], dim=1)
        weights = torch.softmax(self.score(torch.tanh(self.hidden(seen))).float(), dim=2)
        x = x.float()
        mean = (weights * x).sum(dim=2)
        variance = (weights * (x - mean.unsqueeze(2)).square()).sum(dim=2)
        return torch.cat([mean, variance.clamp(min=VARIANCE_FLOOR).sqrt()], dim=1)
