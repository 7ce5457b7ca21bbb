"""Adaptation to unlabelled vectors of another domain by correlation alignment. Kaldi's own way is `Plda.adapt`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.plda import Plda
from spkid.backend.transforms import apply_transform
from spkid.backend.whitening import eigen, mean_and_covariance


class Coral:
    """Gives training vectors the mean and covariance of another domain, so that a model trained on them fits there.

    Sun, Feng, Saenko, "Return of frustratingly easy domain adaptation" (2016); for embeddings: Alam, Bhattacharya,
    Kenny, "Speaker verification in mismatched conditions with frustratingly easy domain adaptation" (2018).

    Attributes:
        matrix_: (dims, dims + 1) float64 affine transform.
    """

    def fit(self, vectors: ArrayLike, target: ArrayLike) -> Coral:
        """Estimates the transform from training vectors (vectors, dims) and vectors of the target domain.

        Raises:
            ValueError: not finite, the dimensions differ, or the covariance of the training vectors is singular.
        """
        mean, covariance = mean_and_covariance(vectors)
        target_mean, target_covariance = mean_and_covariance(target)
        if mean.shape != target_mean.shape:
            raise ValueError(f"the training vectors have {mean.size} dimensions, those to adapt to {target_mean.size}")
        linear = _alignment(covariance, target_covariance, "the covariance of the training vectors")
        self.matrix_ = np.column_stack((linear, target_mean - linear @ mean))
        return self

    def transform(self, vectors: ArrayLike) -> np.ndarray:
        """Moves vectors (..., dims) into the target domain, (..., dims) float64."""
        return apply_transform(self.matrix_, vectors)


def coral_plda(plda: Plda, vectors: ArrayLike) -> Plda:
    """CORAL of the model in place of its training vectors: both covariances pass through the alignment.

    Args:
        plda: the model; it stays as it is.
        vectors: (vectors, dims) of the target domain.

    Raises:
        ValueError: not finite, the dimensions differ, or the vectors do not vary in every direction.
    """
    mean, within, between = _aligned(plda, vectors)
    return Plda.from_covariances(mean, within, between)


def coral_plus_plda(
    plda: Plda, vectors: ArrayLike, within_covar_scale: float = 0.8, between_covar_scale: float = 0.8
) -> Plda:
    """CORAL+: both covariances grow where alignment would have them grow, by a share of it, and shrink nowhere.

    Lee, Wang, Koshinaka, "The CORAL+ algorithm for unsupervised domain adaptation of PLDA" (2019).

    Args:
        plda: the model; it stays as it is.
        vectors: (vectors, dims) of the target domain.
        within_covar_scale: share, 0 to 1, of the growth of the within-speaker covariance.
        between_covar_scale: of the between-speaker covariance.

    Raises:
        ValueError: as for `coral_plda`, or a scale is out of range.
    """
    if not (0 <= within_covar_scale <= 1 and 0 <= between_covar_scale <= 1):
        raise ValueError("the scales of CORAL+ lie between 0 and 1")
    mean, within, between = _aligned(plda, vectors)
    return Plda.from_covariances(
        mean,
        _grown(plda.within_covariance, within, within_covar_scale),
        _grown(plda.between_covariance, between, between_covar_scale),
    )


def _aligned(plda: Plda, vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The target's mean, and the model's within and between covariances after alignment."""
    mean, covariance = mean_and_covariance(vectors)
    if mean.shape != plda.mean_.shape:
        raise ValueError(f"adaptation takes vectors of {plda.dims} dimensions, not of {mean.size}")
    eigen(covariance, "the covariance of the vectors to adapt to")  # else a model without variance in some direction
    within, between = plda.within_covariance, plda.between_covariance
    linear = _alignment(within + between, covariance, "the covariance of the model")
    return mean, linear @ within @ linear.T, linear @ between @ linear.T


def _alignment(covariance: np.ndarray, target: np.ndarray, what: str) -> np.ndarray:
    """target^(1/2) covariance^(-1/2) with symmetric roots."""
    variances, directions = eigen(covariance, what)
    whiten = (directions / np.sqrt(variances)) @ directions.T
    variances, directions = np.linalg.eigh(target)
    return (directions * np.sqrt(np.maximum(variances, 0))) @ directions.T @ whiten


def _grown(before: np.ndarray, aligned: np.ndarray, scale: float) -> np.ndarray:
    """`before` plus `scale` times what `aligned` has more, in the directions that diagonalise both.

    Where `before` has no variance (directions in which speakers do not differ) there is nothing to compare with, and
    nothing is added.
    """
    variances, directions = np.linalg.eigh(before)
    kept = variances > 1e-10 * variances[-1]
    root = directions[:, kept] * np.sqrt(variances[kept])
    whiten = (directions[:, kept] / np.sqrt(variances[kept])).T
    ratios, rotation = np.linalg.eigh(whiten @ aligned @ whiten.T)
    back = root @ rotation
    return before + scale * (back * np.maximum(ratios - 1, 0)) @ back.T
