"""Pooling over time: (batch, channels, frames) -> (batch, output_dim).

Statistics are taken in float32 (float64 stays float64) and in two passes (mean first, then squared distances from it),
so that neither bf16 nor a large mean can turn a variance negative; variances are floored before the root, whose
gradient is infinite at 0. Poolings with weights of their own for every frame are in `attention.py`.
"""

import torch
from torch import nn

VARIANCE_FLOOR = 1.0e-10  # Kaldi: nnet3/nnet-general-component.cc, StatisticsPoolingComponent


def full_precision(x: torch.Tensor) -> torch.Tensor:
    """The tensor in float32, or as it is when it is float64."""
    return x if x.dtype == torch.float64 else x.float()


class MeanPooling(nn.Module):
    """The mean over time; output_dim = channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_dim = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return full_precision(x).mean(dim=2)


class MaxPooling(nn.Module):
    """The largest value over time; output_dim = channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_dim = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return full_precision(x).amax(dim=2)


class DeviationPooling(nn.Module):
    """The standard deviation over time; output_dim = channels.

    Args:
        unbiased: divide by frames - 1 instead of frames.
        epsilon: is added to the variance before the root (WeSpeaker: 1e-7, 3D-Speaker: 1e-8).
        floor: the smallest variance; below it there is no gradient.
    """

    def __init__(
        self, channels: int, unbiased: bool = False, epsilon: float = 0.0, floor: float = VARIANCE_FLOOR
    ) -> None:
        super().__init__()
        self.output_dim = channels
        self.unbiased = unbiased
        self.epsilon = epsilon
        self.floor = floor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mean_and_deviation(x)[1]

    def mean_and_deviation(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both statistics, (batch, channels) each."""
        x = full_precision(x)
        mean = x.mean(dim=2)
        squares = (x - mean.unsqueeze(2)).square()
        # One frame has no unbiased variance; its biased one, 0, is what is wanted of it.
        divisor = max(x.shape[2] - 1, 1) if self.unbiased else x.shape[2]
        variance = squares.sum(dim=2) / divisor + self.epsilon
        return mean, variance.clamp(min=self.floor).sqrt()


class StatisticsPooling(DeviationPooling):
    """Mean and standard deviation over time; output_dim = 2 * channels; options as `DeviationPooling`.

    Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018.
    """

    def __init__(
        self, channels: int, unbiased: bool = False, epsilon: float = 0.0, floor: float = VARIANCE_FLOOR
    ) -> None:
        super().__init__(channels, unbiased, epsilon, floor)
        self.output_dim = 2 * channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.mean_and_deviation(x), dim=1)
