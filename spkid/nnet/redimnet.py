"""ReDimNet: stages that see the utterance as a plane, joined by blocks that see it as a sequence.

Yakovlev, Makarov, Balykin, Malov, Okhotnikov, Torgashov, "Reshape dimensions network for speaker recognition",
Interspeech 2024. C channels times F frequencies are constant through the network, so that a plane (c, f, frames) with
c f = C F and a sequence (C F, frames) are two views of the same numbers:

    stem       3x3 convolution, layer normalisation over channels: C x F x T
    stage      input: the outputs of the stem and of all stages before, mixed by learned weights
               convolution that folds `stride` frequencies into channels, times `widening`; 2-D blocks;
               back to the stage's channels; as a sequence: 1x1 to C F / `reduction`, four convolutions over time,
               self-attention, 1x1 back, plus its input
    mixing     of all outputs
    pooling    attentive statistics over C F channels, with global context
    embedding  affine

1,001,851 parameters for b0 with 60 inputs, 4,888,241 for b2 with 72, both with 192 outputs (WeSpeaker's version).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.registry import build_pooling, pooling_name, unknown_name
from spkid.nnet.tdnn import check_frames

TIME_KERNELS = (7, 19, 31, 59)
NUM_HEADS = 4
EPSILON = 1.0e-6
ATTENTION = {
    "attention_dim": 128,
    "per_channel": True,
    "unbiased_context": True,
    "variance_floor": 1.0e-7,
    "context_epsilon": 1.0e-7,
}


@dataclass(frozen=True)
class Stage:
    """stride: of the frequencies; blocks: their number; reduction: of the sequence's width, 0 for no such block."""

    stride: int
    blocks: int
    widening: int
    reduction: int


@dataclass(frozen=True)
class Variant:
    """One published size. group: channels that a convolution of a block mixes; context: global context in pooling."""

    input_dim: int
    channels: int
    block: str
    group: int
    stages: tuple[Stage, ...]
    context: bool = True


def _stages(*rows: tuple[int, int, int, int]) -> tuple[Stage, ...]:
    return tuple(Stage(*row) for row in rows)


_B4 = _stages((1, 4, 2, 48), (2, 4, 2, 48), (1, 6, 2, 48), (2, 6, 1, 32), (1, 8, 1, 24), (2, 4, 1, 16))
VARIANTS = {
    "b0": Variant(
        60, 10, "basic", 1, _stages((1, 2, 1, 30), (2, 3, 2, 30), (1, 3, 3, 30), (2, 4, 2, 10), (1, 3, 1, 10))
    ),
    "b1": Variant(
        72,
        12,
        "next",
        8,
        _stages((1, 2, 1, 0), (2, 3, 1, 0), (3, 4, 1, 12), (2, 5, 1, 12), (2, 3, 1, 8)),
        context=False,
    ),
    "b2": Variant(
        72,
        16,
        "next",
        4,
        _stages((1, 2, 1, 12), (2, 2, 1, 12), (1, 3, 1, 12), (2, 4, 1, 8), (1, 4, 1, 8), (2, 4, 1, 4)),
    ),
    "b3": Variant(
        72,
        16,
        "excited",
        1,
        _stages((1, 6, 4, 32), (2, 6, 2, 32), (1, 8, 2, 32), (2, 10, 2, 16), (1, 10, 1, 16), (2, 8, 1, 16)),
    ),
    "b4": Variant(72, 32, "excited", 1, _B4),
    "b5": Variant(72, 32, "excited", 16, _B4),
    "b6": Variant(
        72,
        32,
        "basic",
        32,
        _stages((1, 4, 4, 32), (2, 6, 2, 32), (1, 6, 2, 24), (3, 8, 1, 24), (1, 8, 1, 16), (2, 8, 1, 16)),
    ),
}


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over axis 1."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class FrequencyExcitation(nn.Module):
    """Frequencies scaled by a function of their means over channels and time."""

    def __init__(self, frequencies: int, hidden_dim: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(frequencies, hidden_dim)
        self.excite = nn.Linear(hidden_dim, frequencies)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(1, 3))))))
        return x * scale[:, None, :, None]


class PlaneBlock(nn.Module):
    """Two grouped 3x3 convolutions, each followed by a 1x1, plus the input; frequencies may be scaled."""

    def __init__(self, channels: int, frequencies: int, group: int, excited: bool) -> None:
        super().__init__()
        groups = channels // group
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.mix1 = nn.Conv2d(channels, channels, 1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)
        self.mix2 = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels)
        hidden = min(64, max(channels, 32))
        self.excitation = FrequencyExcitation(frequencies, hidden) if excited else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.norm1(torch.relu(self.mix1(self.conv1(x))))
        return torch.relu(self.excitation(self.norm2(self.mix2(self.conv2(hidden)))) + x)


class NextBlock(nn.Module):
    """A grouped convolution, batch normalisation, GELU, 1x1, plus the input. Liu et al., "ConvNeXt", 2022."""

    def __init__(self, channels: int, group: int, kernel: int, dimensions: int) -> None:
        super().__init__()
        conv, norm = (nn.Conv1d, nn.BatchNorm1d) if dimensions == 1 else (nn.Conv2d, nn.BatchNorm2d)
        self.conv = conv(channels, channels, kernel, padding=kernel // 2, groups=channels // group)
        self.norm = norm(channels)
        self.mix = conv(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(functional.gelu(self.norm(self.conv(x))))


class SelfAttention(nn.Module):
    """A transformer layer that normalises behind each of its two sums, (batch, channels, frames) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % NUM_HEADS:
            raise ValueError(f"{channels} channels cannot be divided into {NUM_HEADS} heads of equal width")
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.norm1 = nn.LayerNorm(channels, eps=EPSILON)
        self.feed1 = nn.Linear(channels, channels)
        self.feed2 = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2)
        heads = [layer(x).unflatten(2, (NUM_HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)]
        attended = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.output(attended))
        x = self.norm2(x + self.feed2(functional.gelu(self.feed1(x), approximate="tanh")))
        return x.transpose(1, 2)


class TimeContext(nn.Module):
    """What a frame's neighbourhood and the whole utterance add to it, (batch, channels, frames) -> the same."""

    def __init__(self, channels: int, hidden_dim: int) -> None:
        super().__init__()
        self.reduce = nn.Conv1d(channels, hidden_dim, 1)
        self.norm = ChannelNorm(hidden_dim)
        self.convs = nn.Sequential(*[NextBlock(hidden_dim, 1, kernel, dimensions=1) for kernel in TIME_KERNELS])
        self.attention = SelfAttention(hidden_dim)
        self.expand = nn.Conv1d(hidden_dim, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.expand(self.attention(self.convs(self.norm(self.reduce(x)))))


class StageLayers(nn.Module):
    """One stage, (batch, channels, frequencies, frames) -> (batch, channels * frequencies, frames)."""

    def __init__(self, stage: Stage, channels: int, frequencies: int, variant: Variant) -> None:
        super().__init__()
        inner, frequencies_out = channels * stage.stride, frequencies // stage.stride
        wide = inner * stage.widening
        self.expand = nn.Conv2d(channels, wide, (stage.stride, 1), stride=(stage.stride, 1))
        if variant.block == "next":
            blocks: list[nn.Module] = [NextBlock(wide, variant.group, 3, dimensions=2) for _ in range(stage.blocks)]
        else:
            excited = variant.block == "excited"
            blocks = [PlaneBlock(wide, frequencies_out, variant.group, excited) for _ in range(stage.blocks)]
        self.blocks = nn.Sequential(*blocks)
        self.squeeze: nn.Module = nn.Identity()
        if stage.widening != 1:
            self.squeeze = nn.Sequential(
                nn.Conv2d(wide, inner, 3, padding=1, groups=inner // variant.group),
                nn.BatchNorm2d(inner, eps=EPSILON),
                nn.GELU(),
                nn.Conv2d(inner, inner, 1),
            )
        width = channels * frequencies
        self.context = TimeContext(width, width // stage.reduction) if stage.reduction else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.context(as_sequence(self.squeeze(self.blocks(self.expand(x)))))


def as_sequence(x: torch.Tensor) -> torch.Tensor:
    """(batch, channels, frequencies, frames) -> (batch, frequencies * channels, frames)."""
    return x.transpose(1, 2).flatten(1, 2)


class ReDimNet(nn.Module):
    """(batch, frames, input_dim) -> (batch, embedding_dim), from one frame on.

    Args:
        variant: b0 ... b6.
        input_dim: 0: the variant's own, 60 or 72; a multiple of the product of its strides.
    """

    def __init__(
        self,
        input_dim: int = 0,
        embedding_dim: int = 192,
        variant: str = "b2",
        pooling: str = "attentive_statistics",
        pooling_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown_name("variant of redimnet", variant, VARIANTS)
        layout = VARIANTS[variant]
        self.input_dim = input_dim = input_dim or layout.input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 1
        width = layout.channels * input_dim
        self.stem = nn.Conv2d(1, layout.channels, 3, padding=1)
        self.stem_norm = ChannelNorm(layout.channels)
        # The stem's output is all that the first stage has to choose from.
        self.mixing = nn.ParameterList([nn.Parameter(torch.ones(1, 1, 1, 1), requires_grad=False)])
        self.stages = nn.ModuleList()
        self.planes = []
        channels, frequencies = layout.channels, input_dim
        for index, stage in enumerate(layout.stages):
            if frequencies % stage.stride:
                raise ValueError(f"redimnet {variant} cannot divide {input_dim} dimensions by its strides")
            self.planes.append((frequencies, channels))
            self.stages.append(StageLayers(stage, channels, frequencies, layout))
            self.mixing.append(nn.Parameter(torch.zeros(1, index + 2, width, 1)))
            channels, frequencies = channels * stage.stride, frequencies // stage.stride
        if pooling_options is None:
            options = {**ATTENTION, "global_context": layout.context}
            pooling_options = options if pooling_name(pooling) == "attentive_statistics" else {}
        self.pooling = build_pooling(pooling, channels=width, **pooling_options)
        self.embedding = nn.Linear(self.pooling.output_dim, embedding_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        outputs = [as_sequence(self.stem_norm(self.stem(x.transpose(1, 2).unsqueeze(1))))]
        for stage, plane, weights in zip(self.stages, self.planes, self.mixing, strict=False):
            outputs.append(stage(mix(outputs, weights).unflatten(1, plane).transpose(1, 2)))
        return self.embedding(self.pooling(mix(outputs, self.mixing[-1])).to(x.dtype))


def mix(outputs: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """The sum of the outputs under softmax weights (1, outputs, channels, 1)."""
    return (torch.softmax(weights, dim=1) * torch.stack(outputs, dim=1)).sum(dim=1)
