"""Every score here is a dot product: score[i, j] = left[i] . right[j]. These are the two sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spkid.backend.plda import Plda
from spkid.backend.transforms import length_normalize

BLOCK_ROWS = 1 << 14


@dataclass(frozen=True)
class Sides:
    """Two sets of vectors, made ready so that their dot products are scores.

    Attributes:
        left: (models, width) float64.
        right: (tests, width) float64.
        is_distance: the products are negated squared distances, and the scores the negated roots.
    """

    left: np.ndarray
    right: np.ndarray
    is_distance: bool = False


def unit_rows(vectors: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Vectors (vectors, dims) scaled to length 1: the two sides of the cosine. Computed in float64, kept as `dtype`.

    Raises:
        ValueError: a vector of zeros, which has no direction.
    """
    scaled = np.empty(vectors.shape, dtype=dtype)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS]
        zero = np.flatnonzero(~np.any(block, axis=1))
        if zero.size:
            raise ValueError(f"vector {start + zero[0]} is zero and has no cosine")
        scaled[start : start + BLOCK_ROWS] = length_normalize(block, scaleup=False)
    return scaled


def cosine_sides(enroll: np.ndarray, test: np.ndarray) -> Sides:
    """Cosine of enroll (models, dims) and test (tests, dims). Raises ValueError as `unit_rows`."""
    left = unit_rows(enroll)
    return Sides(left, left if test is enroll else unit_rows(test))


def euclidean_sides(enroll: np.ndarray, test: np.ndarray) -> Sides:
    """Negated squared distance: 2 a . b - |a|^2 - |b|^2. Nearly equal vectors keep half of their digits."""
    enroll, test = np.asarray(enroll, dtype=np.float64), np.asarray(test, dtype=np.float64)
    centre = test.mean(axis=0) if len(test) else 0.0  # far from the origin, the subtraction would lose digits
    enroll, test = enroll - centre, test - centre
    left = np.column_stack((2 * enroll, -np.square(enroll).sum(axis=1), np.full(len(enroll), -1.0)))
    right = np.column_stack((test, np.ones(len(test)), np.square(test).sum(axis=1)))
    return Sides(left, right, is_distance=True)


def plda_sides(plda: Plda, enroll: np.ndarray, test: np.ndarray, num_examples: np.ndarray | int = 1) -> Sides:
    """PLDA's log-likelihood ratio of vectors that `Plda.transform` returned.

    Models of the same number of vectors share the weights of a test vector's squares, so a test vector carries one
    more value for each different number, and a model a one at its own.

    Args:
        plda: the model.
        enroll: (models, dims).
        test: (tests, dims).
        num_examples: vectors behind each model, a number or (models,).
    """
    enroll, test = np.asarray(enroll, dtype=np.float64), np.asarray(test, dtype=np.float64)
    counts = np.broadcast_to(np.asarray(num_examples), enroll.shape[:1])
    distinct = np.unique(counts)
    dims = plda.dims
    left = np.zeros((len(enroll), dims + 1 + distinct.size))
    right = np.empty((len(test), dims + 1 + distinct.size))
    right[:, :dims] = test
    right[:, dims] = 1
    for index, count in enumerate(distinct, dims + 1):
        models = counts == count
        left[models, :dims], left[models, dims], right[:, index] = plda.bilinear_form(enroll[models], test, count)
        left[models, index] = 1
    return Sides(left, right)
