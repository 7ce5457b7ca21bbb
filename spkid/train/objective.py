"""The loss as the loop calls it: with a micro-batch's outputs and labels, whatever kind of loss it is."""

import torch

from spkid.nnet import LOSSES


class Objective:
    """A loss of `spkid.nnet` over the rows of a micro-batch.

    Args:
        criterion: a classification loss, a loss over frames, or a metric loss.
        compares: it is a metric loss, to which rows that lie together (`group_size`, K, of a speaker) are shown as
            (speakers, K, dims).
    """

    def __init__(self, criterion: torch.nn.Module, compares: bool, group_size: int) -> None:
        self.criterion, self.compares, self.group_size = criterion, compares, group_size

    def __call__(self, output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss (a scalar), and of each decision whether it is right (bool: a row's, a speaker's, a frame's).

        output: (rows, dims), or what the loss over frames takes; labels: (rows,) or (rows, frames).
        """
        if self.compares:
            output, labels = output.unflatten(0, (-1, self.group_size)), labels[:: self.group_size]
        return self.criterion.loss_and_correct(output, labels)


def compares(loss: str) -> bool:
    """Whether the loss of this name is one between utterances."""
    return LOSSES[loss].startswith("spkid.nnet.metric_losses:")
