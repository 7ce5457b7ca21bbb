"""The loss as the loop calls it: with a micro-batch's outputs and labels, whatever kind of loss it is."""

import torch

from spkid.kaldi import InputError
from spkid.nnet import build_loss
from spkid.nnet.metric_losses import MetricLoss


class Objective:
    """A loss of `spkid.nnet` over the rows of a micro-batch.

    Args:
        criterion: a classification loss, a loss over frames, or a metric loss. The latter `compares` the utterances of
            a batch: its rows lie speaker by speaker, `utterances` (K) of each.
    """

    def __init__(self, criterion: torch.nn.Module, utterances: int) -> None:
        self.criterion = criterion
        self.compares = isinstance(criterion, MetricLoss)
        self.utterances = utterances

    def __call__(self, output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss (a scalar), and of each decision whether it is right (bool: a row's, a speaker's, a frame's).

        output: (rows, dims), or what the loss over frames takes; labels: (rows,) or (rows, frames).
        """
        if self.compares:
            output, labels = output.unflatten(0, (-1, self.utterances)), labels[:: self.utterances]
        return self.criterion.loss_and_correct(output, labels)


def build_objective(section: dict, embedding_dim: int, num_classes: int, utterances: int) -> Objective:
    """The objective of a configuration's section `loss`. Raises InputError where its values do not fit."""
    options = {"embedding_dim": embedding_dim, "num_classes": num_classes, **section}
    try:
        return Objective(build_loss(options.pop("name"), **options), utterances)
    except (ValueError, TypeError) as error:
        raise InputError(f"the loss cannot be built: {error}") from None
