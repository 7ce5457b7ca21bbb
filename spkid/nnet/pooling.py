"""Pooling over time: (batch, channels, frames) -> (batch, output_dim).

Statistics are taken in float32 (float64 stays float64) and in two passes (mean first, then squared distances from it),
so that neither bf16 nor a large mean can turn a variance negative; variances are floored before the root, whose
gradient is infinite at 0. Poolings with weights of their own for every frame are in `attention.py`. All are called with
the mask of a padded batch where there is one (`masking.py`).
"""

import torch
from torch import nn

from spkid.nnet.masking import hide, time_mean

VARIANCE_FLOOR = 1.0e-10  # Kaldi: nnet3/nnet-general-component.cc, StatisticsPoolingComponent


def full_precision(x: torch.Tensor) -> torch.Tensor:
    """The tensor in float32, or as it is when it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def mean_and_variance(x: torch.Tensor, mask: torch.Tensor | None, unbiased: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Over the frames that count, (batch, channels, frames) -> (batch, channels) twice, in full precision.

    unbiased: divide by frames - 1; one frame has no such variance, but 0, its biased one, is what is wanted of it.
    """
    x = full_precision(x)
    mean = time_mean(x, mask)
    squares = hide((x - mean.unsqueeze(2)).square(), mask).sum(dim=2)
    if mask is None:
        return mean, squares / max(x.shape[2] - int(unbiased), 1)
    return mean, squares / (mask.sum(dim=2) - int(unbiased)).clamp(min=1)


class MeanPooling(nn.Module):
    """The mean over time; output_dim = channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_dim = channels

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return time_mean(full_precision(x), mask)


class MaxPooling(nn.Module):
    """The largest value over time; output_dim = channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.output_dim = channels

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = full_precision(x)
        return (x if mask is None else x.masked_fill(~mask, -torch.inf)).amax(dim=2)


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

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.mean_and_deviation(x, mask)[1]

    def mean_and_deviation(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both statistics, (batch, channels) each."""
        mean, variance = mean_and_variance(x, mask, self.unbiased)
        return mean, (variance + self.epsilon).clamp(min=self.floor).sqrt()


class StatisticsPooling(DeviationPooling):
    """Mean and standard deviation over time; output_dim = 2 * channels; options as `DeviationPooling`.

    Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018.
    """

    def __init__(
        self, channels: int, unbiased: bool = False, epsilon: float = 0.0, floor: float = VARIANCE_FLOOR
    ) -> None:
        super().__init__(channels, unbiased, epsilon, floor)
        self.output_dim = 2 * channels

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return torch.cat(self.mean_and_deviation(x, mask), dim=1)
