"""Whitening: vectors made of unit covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.transforms import apply_transform

SINGULAR = 1e-12  # of the largest eigenvalue: what is below is rounding


class Whitening:
    """Subtracts the mean and gives the vectors the covariance I.

    Args:
        kind: `zca` changes the vectors as little as whitening can (Bell and Sejnowski, "The independent components of
            natural scenes are edge filters", 1997); `pca` puts the directions of the largest variance first.

    Attributes:
        matrix_: (dims, dims + 1) float64 affine transform, which Kaldi's transform-vec takes.
    """

    def __init__(self, kind: str = "zca") -> None:
        if kind not in ("zca", "pca"):
            raise ValueError(f"whitening is zca or pca, not {kind!r}")
        self.kind = kind

    def fit(self, vectors: ArrayLike) -> Whitening:
        """Estimates mean and covariance of vectors (vectors, dims).

        Raises:
            ValueError: not finite, or the covariance is singular.
        """
        mean, covariance = mean_and_covariance(vectors)
        variances, directions = eigen(covariance, "the covariance of the vectors to whiten")
        linear = (directions / np.sqrt(variances)).T[::-1]
        if self.kind == "zca":
            linear = directions[:, ::-1] @ linear
        self.matrix_ = np.column_stack((linear, -linear @ mean))
        return self

    def transform(self, vectors: ArrayLike) -> np.ndarray:
        """Whitens vectors (..., dims): (..., dims) float64.

        Raises:
            ValueError: the dimensions differ from those in training.
        """
        return apply_transform(self.matrix_, vectors)


def mean_and_covariance(vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean (dims,) and covariance (dims, dims), by the number of vectors, of vectors (vectors, dims).

    Raises:
        ValueError: another shape, no vector, or one that is not finite.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"a covariance is estimated from vectors (vectors, dims), not from the shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.argmax(~np.isfinite(vectors).all(axis=1)))
        raise ValueError(f"vector {row} is not finite: leave it out or extract it again")
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    return mean, centred.T @ centred / len(vectors)


def eigen(covariance: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending, and eigenvectors in columns.

    Raises:
        ValueError: `what` is singular.
    """
    variances, directions = np.linalg.eigh(covariance)
    if variances[0] <= SINGULAR * max(variances[-1], np.finfo(float).tiny):
        raise ValueError(
            f"{what} is singular: take more vectors than the {variances.size} dimensions, or reduce them with LDA first"
        )
    return variances, directions
