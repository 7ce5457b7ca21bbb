"""Pooling over time with learned weights for the frames: (batch, channels, frames) -> (batch, output_dim).

name                                weights of a frame                            output
self_attentive                      one, or one a channel                         mean
attentive_statistics                one, or one a channel; global context         mean, deviation
multi_head_attentive_statistics     one (or its own channels') a group            mean, deviation of each group
multi_query_attentive_statistics    several of the above side by side             all of them
xi                                  a precision a channel, with a Gaussian prior  posterior mean (and deviation)
"""

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.pooling import VARIANCE_FLOOR, full_precision, mean_and_variance
from spkid.nnet.registry import unknown_name

HIDDEN = ("tanh", "relu", "relu_norm", "relu_norm_tanh")


class FrameAttention(nn.Module):
    """Weights over time, (batch, channels or 1, frames), that sum to 1: softmax of score(hidden(x)).

    Args:
        attention_dim: width of the hidden layer.
        per_channel: every channel has its own weights.
        global_context: the hidden layer also sees the utterance's mean and standard deviation of every channel.
        hidden: what follows the hidden layer's affine part. "tanh": Okabe et al., "Attentive statistics pooling for
            deep speaker embedding", Interspeech 2018; "relu": asv_beginner; "relu_norm": ReLU and batch normalisation
            (VoxCeleb trainer); "relu_norm_tanh": all three (SpeechBrain's ECAPA-TDNN).
        score_bias: a constant added to all scores of a channel changes nothing, but published networks have it.
        bounded_score: tanh of the score, as asv_beginner.
        unbiased_context, context_epsilon, context_floor: how the context's variance is taken, what is added to it and
            its smallest value.
    """

    def __init__(
        self,
        channels: int,
        attention_dim: int,
        per_channel: bool,
        global_context: bool,
        hidden: str,
        score_bias: bool,
        bounded_score: bool,
        unbiased_context: bool,
        context_epsilon: float,
        context_floor: float,
    ) -> None:
        super().__init__()
        if hidden not in HIDDEN:
            raise unknown_name("hidden layer of an attention", hidden, HIDDEN)
        self.kind = hidden
        self.global_context = global_context
        self.bounded_score = bounded_score
        self.unbiased_context = unbiased_context
        self.context_epsilon = context_epsilon
        self.context_floor = context_floor
        self.hidden = nn.Conv1d(channels * 3 if global_context else channels, attention_dim, 1)
        if "norm" in hidden:
            self.norm = nn.BatchNorm1d(attention_dim)
        self.score = nn.Conv1d(attention_dim, channels if per_channel else 1, 1, bias=score_bias)

    def weights(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """mask: (batch, 1, frames), True where a frame counts."""
        hidden = self._hidden_of_context(x, mask) if self.global_context else self.hidden(x)
        if "relu" in self.kind:
            hidden = torch.relu(hidden)
        if "norm" in self.kind:
            hidden = self.norm(hidden)
        if "tanh" in self.kind:
            hidden = torch.tanh(hidden)
        score = full_precision(self.score(hidden))
        if self.bounded_score:
            score = torch.tanh(score)
        if mask is not None:
            score = score.masked_fill(~mask, -torch.inf)
        return torch.softmax(score, dim=2)

    def _hidden_of_context(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The hidden layer's affine part; what it makes of the utterance's statistics is the same for every frame."""
        mean, variance = mean_and_variance(x, mask, self.unbiased_context)
        deviation = (variance + self.context_epsilon).clamp(min=self.context_floor).sqrt()
        of_frame, of_context = self.hidden.weight.squeeze(2).split([x.shape[1], 2 * x.shape[1]], dim=1)
        context = functional.linear(torch.cat([mean, deviation], dim=1).to(x.dtype), of_context, self.hidden.bias)
        return functional.conv1d(x, of_frame.unsqueeze(2), dilation=self.hidden.dilation) + context.unsqueeze(2)


def weighted_statistics(x: torch.Tensor, weights: torch.Tensor, floor: float) -> torch.Tensor:
    """Mean and standard deviation over time under weights that sum to 1, (batch, 2 * channels)."""
    x = full_precision(x)
    mean = (weights * x).sum(dim=2)
    variance = (weights * (x - mean.unsqueeze(2)).square()).sum(dim=2)
    return torch.cat([mean, variance.clamp(min=floor).sqrt()], dim=1)


class SelfAttentivePooling(FrameAttention):
    """The mean under learned weights; output_dim = channels.

    Cai, Chen, Li, "Exploring the encoding layer and loss function in end-to-end speaker and language recognition
    system", Odyssey 2018 (one weight a frame, no constant in its score, attention_dim = channels).
    """

    def __init__(
        self,
        channels: int,
        attention_dim: int = 0,
        per_channel: bool = False,
        hidden: str = "tanh",
        score_bias: bool = False,
    ) -> None:
        dim = attention_dim or channels
        super().__init__(channels, dim, per_channel, False, hidden, score_bias, False, False, 0.0, 0.0)
        self.output_dim = channels

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return (self.weights(x, mask) * full_precision(x)).sum(dim=2)


class AttentiveStatisticsPooling(FrameAttention):
    """Mean and standard deviation under learned weights; output_dim = 2 * channels.

    The pooling of Okabe et al. (Interspeech 2018); `per_channel` and `global_context` together are that of ECAPA-TDNN
    (Desplanques, Thienpondt, Demuynck, Interspeech 2020). Options as `FrameAttention`; variance_floor is the smallest
    variance in the output.
    """

    def __init__(
        self,
        channels: int,
        attention_dim: int = 64,
        per_channel: bool = False,
        global_context: bool = False,
        hidden: str = "tanh",
        variance_floor: float = VARIANCE_FLOOR,
        score_bias: bool = True,
        bounded_score: bool = False,
        unbiased_context: bool = False,
        context_epsilon: float = 0.0,
        context_floor: float = VARIANCE_FLOOR,
    ) -> None:
        super().__init__(
            channels,
            attention_dim,
            per_channel,
            global_context,
            hidden,
            score_bias,
            bounded_score,
            unbiased_context,
            context_epsilon,
            context_floor,
        )
        self.output_dim = 2 * channels
        self.variance_floor = variance_floor

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return weighted_statistics(x, self.weights(x, mask), self.variance_floor)


class MultiHeadAttentiveStatisticsPooling(nn.Module):
    """The channels in `num_heads` groups, each with its own attention: mean and deviation of group 1, of group 2, ...

    output_dim = 2 * channels. India, Safari, Hernando, "Self multi-head attention for speaker recognition",
    Interspeech 2019; with `per_channel` the multi-head factorised attention of Peng et al. (2022).
    """

    def __init__(self, channels: int, num_heads: int = 2, attention_dim: int = 64, per_channel: bool = False) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f"{channels} channels cannot be divided into {num_heads} heads of equal width")
        self.output_dim = 2 * channels
        self.heads = nn.ModuleList(
            AttentiveStatisticsPooling(channels // num_heads, attention_dim, per_channel) for _ in range(num_heads)
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        groups = x.chunk(len(self.heads), dim=1)
        return torch.cat([head(group, mask) for head, group in zip(self.heads, groups, strict=True)], dim=1)


class MultiQueryAttentiveStatisticsPooling(nn.Module):
    """Several multi-head poolings of the same frames side by side; output_dim = 2 * channels * num_queries.

    Zhao et al., "Multi-query multi-head attention pooling and inter-topk penalty for speaker verification",
    ICASSP 2022.
    """

    def __init__(
        self,
        channels: int,
        num_queries: int = 2,
        num_heads: int = 8,
        attention_dim: int = 64,
        per_channel: bool = True,
    ) -> None:
        super().__init__()
        self.output_dim = 2 * channels * num_queries
        self.queries = nn.ModuleList(
            MultiHeadAttentiveStatisticsPooling(channels, num_heads, attention_dim, per_channel)
            for _ in range(num_queries)
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return torch.cat([query(x, mask) for query in self.queries], dim=1)


class XiPooling(nn.Module):
    """The posterior mean of a Gaussian whose observations are the frames, each with a precision that it predicts.

    Lee, Wang, Koshinaka, "Xi-vector embedding for speaker recognition", IEEE Signal Processing Letters 2021. The
    prior counts as one more frame. output_dim = channels, or 2 * channels with `deviation`.
    """

    LOG_PRECISION_LIMIT = 15.0  # beyond it softmax is 0 or 1 to float32

    def __init__(self, channels: int, hidden_dim: int = 256, deviation: bool = False) -> None:
        super().__init__()
        self.output_dim = 2 * channels if deviation else channels
        self.deviation = deviation
        self.prior_mean = nn.Parameter(torch.zeros(1, channels))
        self.prior_log_precision = nn.Parameter(torch.zeros(1, channels))
        self.hidden = nn.Conv1d(channels, hidden_dim, 1)
        self.norm = nn.BatchNorm1d(hidden_dim)
        self.precision = nn.Conv1d(hidden_dim, channels, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        predicted = full_precision(self.precision(self.norm(torch.relu(self.hidden(x)))))
        log_precision = 2.0 * functional.softplus(predicted).clamp(min=torch.finfo(predicted.dtype).tiny).log()
        log_precision = log_precision.clamp(-self.LOG_PRECISION_LIMIT, self.LOG_PRECISION_LIMIT)
        if mask is not None:
            log_precision = log_precision.masked_fill(~mask, -torch.inf)
        x = full_precision(x)
        batch = x.shape[0]
        frames = torch.cat([x, self.prior_mean.to(x.dtype).expand(batch, -1).unsqueeze(2)], dim=2)
        prior = self.prior_log_precision.to(x.dtype).expand(batch, -1).unsqueeze(2)
        weights = torch.softmax(torch.cat([log_precision, prior], dim=2), dim=2)
        if not self.deviation:
            return (weights * frames).sum(dim=2)
        return weighted_statistics(frames, weights, VARIANCE_FLOOR)
