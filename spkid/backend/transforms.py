"""Transforms of vectors before scoring: length normalisation, affine matrices, linear discriminant analysis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.statistics import speaker_statistics


def length_normalize(vectors: ArrayLike, scaleup: bool = True) -> np.ndarray:
    """Scales each vector to the length sqrt(dims), or to length 1.

    Args:
        vectors: (..., dims).
        scaleup: True for sqrt(dims), about the length of a standard normal vector, as Kaldi's ivector-normalize-length;
            False for length 1, what the cosine needs.

    Returns:
        float64, same shape. A vector of zeros has no direction and stays as it is.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    target = np.sqrt(vectors.shape[-1]) if scaleup else 1.0
    return vectors * np.divide(target, norms, out=np.ones_like(norms), where=norms > 0)


def apply_transform(matrix: ArrayLike, vectors: ArrayLike) -> np.ndarray:
    """Multiplies each vector by a matrix, as Kaldi's transform-vec.

    Args:
        matrix: (new dims, dims), or (new dims, dims + 1) for an affine transform whose last column is added.
        vectors: (..., dims).

    Returns:
        (..., new dims) float64.

    Raises:
        ValueError: the sizes do not fit.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    vectors = np.asarray(vectors, dtype=np.float64)
    dims = vectors.shape[-1]
    if matrix.ndim != 2 or matrix.shape[1] not in (dims, dims + 1):
        raise ValueError(
            f"a transform of shape {'x'.join(map(str, matrix.shape))} does not fit vectors of {dims} dimensions: it "
            f"needs {dims} columns, or {dims + 1} with an offset"
        )
    transformed = vectors @ matrix[:, :dims].T
    return transformed + matrix[:, dims] if matrix.shape[1] > dims else transformed


class Lda:
    """Linear discriminant analysis with the estimates of Kaldi's ivector-compute-lda.cc.

    Args:
        dim: dimensions to keep, at most one less than there are speakers.
        total_covariance_factor: the covariance made unit is this much of the total covariance and the rest of the
            within-speaker covariance.
        covariance_floor: eigenvalues of that covariance are raised to this fraction of the largest.

    Attributes:
        matrix_: (dim, dims + 1) float64 affine transform; its last column moves the training mean to zero.
        ratios_: (dim,) between-speaker variance in the directions kept, descending.
    """

    def __init__(self, dim: int = 100, total_covariance_factor: float = 0.0, covariance_floor: float = 1e-6) -> None:
        self.dim = dim
        self.total_covariance_factor = total_covariance_factor
        self.covariance_floor = covariance_floor

    def fit(self, vectors: ArrayLike, speakers: ArrayLike) -> Lda:
        """Estimates the transform from vectors (vectors, dims) and their speakers (vectors,).

        Raises:
            ValueError: not finite, too few vectors for the dimensions, too few speakers for `dim`, no speaker with two
                vectors, or no variance at all.
        """
        statistics = speaker_statistics(vectors, speakers)
        dims = statistics.mean.size
        if not 0 < self.dim <= dims:
            raise ValueError(f"LDA cannot make {self.dim} dimensions of {dims}: choose between 1 and {dims}")
        if self.dim >= statistics.num_speakers:
            raise ValueError(
                f"LDA to {self.dim} dimensions needs more than {self.dim} speakers and there are "
                f"{statistics.num_speakers}: choose {max(statistics.num_speakers - 1, 1)} dimensions or fewer"
            )
        if statistics.num_vectors == statistics.num_speakers:
            raise ValueError("every speaker has one vector, so LDA cannot tell how much one speaker varies")
        if statistics.num_vectors < dims:
            raise ValueError(
                f"LDA of {dims}-dimensional vectors needs at least {dims} of them and there are "
                f"{statistics.num_vectors}: take more data or a smaller embedding"
            )
        within = statistics.within_scatter / statistics.num_vectors
        between = statistics.between_scatter / statistics.num_vectors
        # total = within + between
        normalized = within + self.total_covariance_factor * between
        eigenvalues, directions = np.linalg.eigh(normalized)
        if eigenvalues[-1] <= 0:
            raise ValueError("the vectors of each speaker are all equal, so LDA has no within-speaker covariance")
        eigenvalues = np.maximum(eigenvalues, self.covariance_floor * eigenvalues[-1])
        if eigenvalues[0] <= 0:
            raise ValueError("the covariance of the vectors is singular: give LDA a covariance floor above 0")
        whitening = (directions / np.sqrt(eigenvalues)).T
        ratios, rotation = np.linalg.eigh(whitening @ between @ whitening.T)
        linear = rotation[:, ::-1][:, : self.dim].T @ whitening
        self.ratios_ = ratios[::-1][: self.dim]
        self.matrix_ = np.column_stack((linear, -linear @ statistics.mean))
        return self

    def transform(self, vectors: ArrayLike) -> np.ndarray:
        """Projects vectors (..., dims) to (..., dim), float64.

        Raises:
            ValueError: the dimensions differ from those in training.
        """
        return apply_transform(self.matrix_, vectors)
