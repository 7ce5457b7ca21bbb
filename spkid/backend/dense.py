"""PLDA scores of all pairs of the segments of a recording, for clustering (Kaldi's ivector-plda-scoring-dense.cc)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.plda import Plda


def principal_directions(vectors: ArrayLike, target_energy: float) -> np.ndarray:
    """The directions in which vectors vary most, as many as hold more than a share of their variance, and one more.

    Args:
        vectors: (vectors, dims).
        target_energy: the share, 0 to 1.

    Returns:
        (kept, dims) float64, orthonormal rows; all of them where the vectors do not vary.

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 <= target_energy <= 1:
        raise ValueError(f"the share of the variance to keep lies between 0 and 1, and {target_energy:g} does not")
    vectors = np.asarray(vectors, dtype=np.float64)
    dims = vectors.shape[1]
    centred = vectors - vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / len(vectors))
    variances, directions = np.maximum(variances[::-1], 0), directions.T[::-1]
    # What is left of equal vectors is rounding.
    if variances.sum() <= 1e-12 * np.square(vectors).sum(axis=1).mean():
        return np.eye(dims)
    shares = np.cumsum(variances) / variances.sum()
    kept = int(np.searchsorted(shares, target_energy, side="right")) + 2  # and one more, as Kaldi
    return directions[:kept]


def dense_plda_scores(
    vectors: ArrayLike,
    plda: Plda,
    target_energy: float = 0.5,
    normalize_length: bool = True,
    simple_length_normalization: bool = False,
) -> np.ndarray:
    """Scores every pair of a recording's vectors, after a PCA of that recording which the model goes through as well.

    Args:
        vectors: (vectors, dims).
        plda: the model of such vectors; it stays as it is.
        target_energy: share of the recording's variance that the PCA keeps.
        normalize_length, simple_length_normalization: as for `Plda.transform`.

    Returns:
        (vectors, vectors) natural-log likelihood ratios, symmetric up to rounding.

    Raises:
        ValueError: the dimensions differ from the model's, or the share is out of range.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.shape[1] != plda.dims:
        raise ValueError(f"the PLDA model takes vectors of {plda.dims} dimensions, not of {vectors.shape[1]}")
    project = principal_directions(vectors, target_energy)
    covariances = (plda.within_covariance, plda.between_covariance)
    within, between = (project @ covariance @ project.T for covariance in covariances)
    reduced = Plda.from_covariances(project @ plda.mean_, within, between)
    transformed = reduced.transform(vectors @ project.T, 1, normalize_length, simple_length_normalization)
    return reduced.log_likelihood_ratio(transformed, transformed)
