"""Mean and variance normalisation by statistics gathered beforehand, per utterance, per speaker or over a whole set.

The statistics are Kaldi's (transform/cmvn.cc): a (2, dims + 1) float64 matrix of the sums of the features and, in its
last column, the number of frames; under them the sums of the squares.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import BinaryIO

import numpy as np

from spkid.kaldi.matrix import load_matrix, read_matrix, write_matrix

VARIANCE_FLOOR = 1e-20


def cmvn_statistics(features: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The statistics of one utterance; those of several are their sum.

    Args:
        features: (frames, dims).
        weights: (frames,) how much each frame counts; by default 1.

    Returns:
        (2, dims + 1) float64.

    Raises:
        ValueError: there is no frame, or not one weight for each.
    """
    features = np.asarray(features, dtype=np.float64)
    frames, dims = features.shape
    if not frames or not dims:
        raise ValueError("the feature matrix is empty")
    weights = np.ones(frames) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (frames,):
        raise ValueError(f"there are {weights.size} weights for {frames} frames")
    statistics = np.zeros((2, dims + 1))
    statistics[0, :dims] = weights @ features
    statistics[1, :dims] = weights @ np.square(features)
    statistics[0, dims] = weights.sum()
    return statistics


def apply_cmvn(
    features: np.ndarray,
    statistics: np.ndarray,
    norm_vars: bool = False,
    reverse: bool = False,
    skip_dims: Collection[int] = (),
) -> np.ndarray:
    """Subtracts the mean and, with `norm_vars`, divides by the standard deviation.

    Args:
        features: (frames, dims).
        statistics: (2, dims + 1); or (1, dims + 1), which is enough for the mean.
        norm_vars: make the variances 1 as well.
        reverse: the other way: give features of mean 0 (and variance 1) this mean (and variance).
        skip_dims: dimensions that stay as they are.

    Returns:
        (frames, dims) float32.

    Raises:
        ValueError: the shapes disagree, there are statistics of less than one frame, or none of the variance.
    """
    features = np.asarray(features, dtype=np.float64)
    dims = features.shape[1]
    if statistics.shape not in ((2, dims + 1), (1, dims + 1)):
        raise ValueError(
            f"features of {dims} dimensions need statistics of 2 x {dims + 1}, these are "
            f"{' x '.join(map(str, statistics.shape))}"
        )
    count = statistics[0, dims]
    if not count >= 1:  # NaN as well
        raise ValueError(f"the statistics are of {count:g} frames, which is too few to normalise by")
    if norm_vars and len(statistics) == 1:
        raise ValueError("the statistics hold no variances to normalise")
    outside = [dim for dim in skip_dims if not 0 <= dim < dims]
    if outside:
        raise ValueError(f"there is no dimension {outside[0]} to skip: they count from 0 to {dims - 1}")
    mean = statistics[0, :dims] / count
    deviation = np.ones(dims)
    if norm_vars:
        deviation = np.sqrt(np.maximum(statistics[1, :dims] / count - np.square(mean), VARIANCE_FLOOR))
    mean[list(skip_dims)] = 0
    deviation[list(skip_dims)] = 1
    normalized = features * deviation + mean if reverse else (features - mean) / deviation
    return normalized.astype(np.float32)


class _Statistics:
    """Statistics as table values: matrices that keep their double precision."""

    def read(self, stream: BinaryIO) -> np.ndarray:
        return read_matrix(stream).astype(np.float64)

    def load(self, rxfilename: str) -> np.ndarray:
        return load_matrix(rxfilename).astype(np.float64)

    def write(self, stream: BinaryIO, value: np.ndarray, binary: bool) -> None:
        write_matrix(stream, value, binary)


CMVN_STATISTICS = _Statistics()
