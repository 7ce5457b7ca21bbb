"""Losses over frames; they act on probabilities, in float32 (float64 stays float64) whatever autocast says."""

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.pooling import full_precision


class FrameLoss(nn.Module):
    """`loss_and_correct` also tells for each decision whether it is right."""

    def set_progress(self, done: float) -> None:
        """Tells the loss which fraction of training is behind it; it does not care."""

    def loss_and_correct(self, output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss, and whether each decision is right."""
        raise NotImplementedError

    def forward(self, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.loss_and_correct(output, labels)[0]


class BinaryCrossEntropy(FrameLoss):
    """Probabilities of speech and labels 0 or 1 of the same shape, (batch, frames): decisions at 0.5."""

    def loss_and_correct(self, output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if output.shape != labels.shape:
            raise ValueError(f"bce compares {tuple(output.shape)} probabilities with {tuple(labels.shape)} labels")
        with torch.autocast(output.device.type, enabled=False):
            probability = full_precision(output)
            loss = functional.binary_cross_entropy(probability, labels.to(probability.dtype))
        return loss, (probability.detach() > 0.5) == (labels > 0.5)


class NegativeLogLikelihood(FrameLoss):
    """Log-probabilities (batch, classes) and labels (batch,)."""

    def loss_and_correct(self, output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(output.device.type, enabled=False):
            loss = functional.nll_loss(full_precision(output), labels)
        return loss, output.detach().argmax(dim=1) == labels
