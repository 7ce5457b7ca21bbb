"""The multi-scale convolution that ECAPA-TDNN and RawNet3 share.

Gao et al., "Res2Net: a new multi-scale backbone architecture", IEEE TPAMI 2021, over time instead of over an image.
"""

import torch
from torch import nn

from spkid.nnet.masking import TimeConv1d


class Res2Conv1d(nn.Module):
    """`scale` groups of channels; all but one are convolved in turn, each with the previous result added to it.

    (batch, channels, frames) -> the same. Convolution, ReLU, batch normalisation. The group that passes unchanged is
    the first one in SpeechBrain's layout (`identity_first`), the last one in WeSpeaker's and RawNet3's.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilation: int,
        scale: int,
        identity_first: bool = False,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"{channels} channels cannot be divided into {scale} groups of equal width")
        self.scale = scale
        self.identity_first = identity_first
        width = channels // scale
        self.convs = nn.ModuleList(TimeConv1d(width, width, kernel, dilation, padding_mode) for _ in range(scale - 1))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(scale - 1))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        groups = list(x.chunk(self.scale, dim=1))
        identity = groups.pop(0 if self.identity_first else -1)
        outputs: list[torch.Tensor] = []
        for conv, norm, group in zip(self.convs, self.norms, groups, strict=True):
            seen = group + outputs[-1] if outputs else group
            outputs.append(norm(torch.relu(conv(seen, mask))))
        return torch.cat([identity, *outputs] if self.identity_first else [*outputs, identity], dim=1)
