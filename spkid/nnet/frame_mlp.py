"""The frame-level speaker classifier of the PAV laboratory (santi-pdp/pav_spkid_pytorch).

    layer      output
    input      F frames of C coefficients, stacked
    hidden     H, three times: affine, ReLU
    output     S: affine, logarithm of softmax

(FC + 1) H + 2 (H + 1) H + (H + 1) S parameters: 69,858 for F 21, C 16, H 100, S 158. No golden exists: the count is
the proof.
"""

import torch
from torch import nn


class FrameMlp(nn.Module):
    """(batch, frames, input_dim), or stacked (batch, frames * input_dim) -> log-probabilities (batch, num_classes).

    Args:
        input_dim: coefficients a frame, C.
        num_classes: speakers, S.
        frames: stacked frames, F; the frame in question is the middle one.
        channels: width of the hidden layers, H.
        num_layers: their number.
    """

    def __init__(
        self, input_dim: int = 16, num_classes: int = 157, frames: int = 21, channels: int = 100, num_layers: int = 3
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.embedding_dim = num_classes
        self.frames = frames
        self.min_frames = frames
        widths = [frames * input_dim, *[channels] * num_layers]
        hidden: list[nn.Module] = []
        for index in range(num_layers):
            hidden += [nn.Linear(widths[index], widths[index + 1]), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(channels, num_classes), nn.LogSoftmax(dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() < 2 or x[0].numel() != self.frames * self.input_dim:
            wanted = f"(batch, {self.frames}, {self.input_dim})"
            raise ValueError(f"the network expects stacked frames {wanted} but was given {tuple(x.shape)}")
        return self.layers(x.flatten(1))
