"""Padded batches: utterances of several lengths in one tensor, each with the embedding that it has alone.

A network of `TAKING_LENGTHS` (`registry.py`) is called with `lengths`, (batch,) the numbers of frames that count. It
turns them into a mask, (batch, 1, frames), True where a frame counts; layers that look to the sides or over time are
given it. None stands for a batch without padding, and costs nothing. All of it is meant for eval mode: the statistics
that batch normalisation takes in training count every frame.
"""

import torch
from torch import nn
from torch.nn import functional


def frame_mask(
    lengths: torch.Tensor | None, frames: int, device: torch.device, shortest: int = 1
) -> torch.Tensor | None:
    """(batch, 1, frames), True for the first `lengths` frames of each row; None for None.

    Raises ValueError where a length does not lie between `shortest` and `frames`.
    """
    if lengths is None:
        return None
    if int(lengths.min()) < shortest or int(lengths.max()) > frames:
        raise ValueError(f"lengths must lie between {shortest} and {frames} frames but are {lengths.tolist()}")
    return (torch.arange(frames, device=device) < lengths.to(device).unsqueeze(1)).unsqueeze(1)


def strided(mask: torch.Tensor | None, stride: int) -> torch.Tensor | None:
    """The mask of what a convolution of odd kernel with that stride gives: T frames become ceil(T / stride)."""
    return mask if mask is None else mask[:, :, ::stride]


def complete(mask: torch.Tensor | None, context: int) -> torch.Tensor | None:
    """The mask behind layers that give a frame only where all `context` frames that it sees are there."""
    return mask if mask is None else mask[:, :, context - 1 :]


def hide(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Zeros where a frame does not count: what a convolution sees beyond an utterance that stands alone.

    x: a sequence (batch, channels, frames) or a plane (batch, channels, frequencies, frames).
    """
    if mask is None:
        return x
    return x * (mask if x.dim() == 3 else mask.unsqueeze(1)).to(x.dtype)


def time_mean(x: torch.Tensor, mask: torch.Tensor | None, keepdim: bool = False) -> torch.Tensor:
    """The mean over the frames that count, (batch, channels, frames) -> (batch, channels)."""
    if mask is None:
        return x.mean(dim=2, keepdim=keepdim)
    return hide(x, mask).sum(dim=2, keepdim=keepdim) / mask.sum(dim=2, keepdim=keepdim)


class TimeConv1d(nn.Conv1d):
    """A convolution that keeps the number of frames and ends every row of a padded batch as it ends the batch.

    padding_mode "zeros", or "reflect": frames are mirrored at the last one that counts.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel: int = 1, dilation: int = 1, padding_mode: str = "zeros"
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            input_dim,
            output_dim,
            kernel,
            dilation=dilation,
            padding=padding,
            padding_mode=padding_mode if padding else "zeros",
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        width = self.padding[0]
        if mask is None or not width:
            return super().forward(x)
        if self.padding_mode == "zeros":
            return super().forward(hide(x, mask))
        return functional.conv1d(mirror(x, width, mask), self.weight, self.bias, dilation=self.dilation)


def mirror(x: torch.Tensor, width: int, mask: torch.Tensor) -> torch.Tensor:
    """`width` more frames at each end, mirrored at the first and the last frame that counts in each row."""
    padded = functional.pad(x, (width, width), mode="reflect")
    last = mask.sum(dim=2, keepdim=True) - 1
    steps = torch.arange(1, width + 1, device=x.device)
    shape = (-1, x.shape[1], -1)
    return padded.scatter(2, (last + width + steps).expand(shape), x.gather(2, (last - steps).expand(shape)))
