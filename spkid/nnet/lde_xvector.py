"""A small network in the manner of i-vectors: what is said is told apart first, how it sounds is compared after that.

A TDNN assigns each frame softly to one of some learned classes (sounds). The utterance is then described by where its
cepstra lie inside each class, relative to a learned centre, and over all frames; one affine layer makes the embedding.
The classes come from mean-normalised features, so that they know little of the voice; the cepstra that are averaged
keep their mean. That is the i-vector's view of speech (Dehak et al., "Front-end factor analysis for speaker
verification", IEEE TASLP 2011) as a network: a learnable dictionary encoding (Cai, Chen, Li, "Exploring the encoding
layer and loss function in end-to-end speaker and language recognition system", Odyssey 2018) of the input instead of
hidden layers. With a hundred training speakers that matters: hidden layers soon learn these speakers by heart.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.masking import frame_mask, hide, strided, time_mean
from spkid.nnet.pooling import mean_and_variance
from spkid.nnet.tdnn import check_frames

STRIDE = 2  # frames, of the first layer
WINDOW = 2  # frames to each side of a regression for time derivatives
RELEVANCE = 4.0  # frames that pull a class's mean to its centre, as in the adaptation of Gaussian mixtures
VARIANCE_FLOOR = 1.0e-5  # the root of 0 has no gradient


class LdeXVector(nn.Module):
    """(batch, frames, input_dim) log mel energies without mean normalisation -> (batch, embedding_dim).

    Args:
        num_ceps: cepstra (the first ones of a cosine transform of the mel energies) that are averaged.
        classes: how many sounds are told apart.
        channels: width of the two layers that do it.
        dropout: share of the utterance's description that is hidden from the affine layer in training.

    At least 3 frames are needed (ValueError).
    """

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int = 192,
        num_ceps: int = 24,
        classes: int = 32,
        channels: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if not 0 < num_ceps <= input_dim:
            raise ValueError(f"num_ceps is {num_ceps}: there are as many cepstra as mel energies, {input_dim}, at most")
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.min_frames = 3
        self.level = nn.BatchNorm1d(input_dim, affine=False)
        self.assignment = nn.Sequential(
            nn.Conv1d(input_dim, channels, 5, stride=STRIDE, padding=2),
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 3, dilation=2, padding=2),
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, classes, 1),
        )
        dims = 2 * num_ceps  # cepstra and their derivatives
        self.register_buffer("cosines", _cosine_transform(num_ceps, input_dim))
        self.scale = nn.BatchNorm1d(dims, affine=False)
        self.centres = nn.Parameter(torch.zeros(classes, dims))
        description = classes * dims + 2 * dims
        self.embedding = nn.Sequential(
            nn.BatchNorm1d(description),
            nn.Dropout(dropout),
            nn.Linear(description, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device, self.min_frames)
        x = x.transpose(1, 2)
        levelled = self.level(x - time_mean(x, mask, keepdim=True))
        scores = self.assignment(levelled) if mask is None else self._assign(levelled, mask)
        posteriors = hide(torch.softmax(scores.float(), dim=1), strided(mask, STRIDE))
        with torch.autocast(x.device.type, enabled=False):
            cepstra = self.cosines @ _hold_last(x, mask).float()
            frames = self.scale(torch.cat([cepstra, _derivative(cepstra)], dim=1))[:, :, ::STRIDE]
            description = self.describe(posteriors, frames, strided(mask, STRIDE))
        return self.embedding(description)

    def _assign(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`assignment` of a padded batch."""
        for layer in self.assignment:
            if isinstance(layer, nn.Conv1d):
                x = hide(x, mask)
                mask = strided(mask, layer.stride[0])
            x = layer(x)
        return x

    def describe(
        self, posteriors: torch.Tensor, frames: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, classes, frames) and (batch, dims, frames) -> (batch, classes * dims + 2 * dims), float32.

        Per class the mean distance from its centre, shrunk towards 0 where the class was seldom heard; then the mean
        and the standard deviation over all frames.
        """
        counts = posteriors.sum(dim=2, keepdim=True)
        sums = posteriors @ frames.transpose(1, 2)
        means = (sums - counts * self.centres) / (counts + RELEVANCE)
        average, variance = mean_and_variance(frames, mask, unbiased=False)
        return torch.cat([means.flatten(1), average, (variance + VARIANCE_FLOOR).sqrt()], dim=1)


def _cosine_transform(rows: int, columns: int) -> torch.Tensor:
    """The first `rows` of the orthonormal type-II cosine transform of `columns` values, (rows, columns)."""
    angles = torch.outer(torch.arange(rows), torch.arange(columns) + 0.5) * (math.pi / columns)
    transform = torch.cos(angles) * math.sqrt(2.0 / columns)
    transform[0] /= math.sqrt(2.0)
    return transform


def _hold_last(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The last frame that counts in place of those that do not."""
    if mask is None:
        return x
    held = torch.arange(x.shape[2], device=x.device).minimum(mask.sum(dim=2, keepdim=True) - 1)
    return x.gather(2, held.expand_as(x))


def _derivative(x: torch.Tensor) -> torch.Tensor:
    """Time derivatives by regression over WINDOW frames to each side, (batch, dims, frames) as given."""
    padded = functional.pad(x, (WINDOW, WINDOW), mode="replicate")
    frames = x.shape[2]
    steps = range(1, WINDOW + 1)
    slope = sum(
        step * (padded[:, :, WINDOW + step :][:, :, :frames] - padded[:, :, WINDOW - step :][:, :, :frames])
        for step in steps
    )
    return slope / (2 * sum(step * step for step in steps))
