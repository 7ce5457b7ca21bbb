"""Agglomerative clustering of the segments of a recording by their scores (Kaldi's agglomerative-clustering.cc)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

# Kaldi numbers a recording's segments with 16 bits; beyond that it clusters in two passes.
FIRST_PASS_MAX_POINTS = 32767


def agglomerative_clusters(
    costs: ArrayLike,
    threshold: float = math.inf,
    min_clusters: int = 1,
    max_fraction: float = 1.0,
    first_pass_max_points: int = FIRST_PASS_MAX_POINTS,
) -> np.ndarray:
    """Merges the two clusters of the least average cost, again and again (average linkage).

    Args:
        costs: (points, points), small for points that belong together; what lies above the diagonal is used. For
            similarities give their negatives.
        threshold: stop where the least average cost lies above it.
        min_clusters: stop at so many clusters.
        max_fraction: a cluster holds no more than this share of the points, rounded up. It keeps a few outliers from
            being clusters of their own while everybody else is one, when a number of clusters is asked for.
        first_pass_max_points: where there are more points, runs of no more than so many are clustered apart first,
            down to ten times `min_clusters`, and what came out together.

    Returns:
        (points,) int32 labels from 1. As Kaldi numbers them: clusters that were merged earlier come first.

    Raises:
        ValueError: not a square matrix of finite values, no point, or a parameter out of range.
    """
    costs = np.asarray(costs, dtype=np.float64)
    if costs.ndim != 2 or costs.shape[0] != costs.shape[1] or not costs.size:
        raise ValueError(f"clustering takes a square matrix of costs, not one of {' x '.join(map(str, costs.shape))}")
    if not np.isfinite(costs).all():
        raise ValueError("clustering takes finite costs")
    if min_clusters < 1 or first_pass_max_points < 1:
        raise ValueError("the least number of clusters and the most points of the first pass are 1 or more")
    if not 0 < max_fraction <= 1:
        raise ValueError(f"a cluster's share of the points lies between 0 and 1, and {max_fraction:g} does not")
    points = len(costs)
    largest = math.ceil(points * max_fraction)
    costs = np.triu(costs, 1)
    costs += costs.T
    groups = [[point] for point in range(points)]
    if points > first_pass_max_points:
        size = math.ceil(points / math.ceil(points / first_pass_max_points))
        groups = [
            group
            for start in range(0, points, size)
            for group in _merge(costs, groups[start : start + size], threshold, 10 * min_clusters, largest)
        ]
    labels = np.empty(points, dtype=np.int32)
    for label, group in enumerate(_merge(costs, groups, threshold, min_clusters, largest), 1):
        labels[group] = label
    return labels


def _merge(
    costs: np.ndarray, groups: list[list[int]], threshold: float, min_clusters: int, largest: int
) -> list[list[int]]:
    """Clusters groups of points: those that stayed alone in their order, then the merged in the order of merging.

    Time and memory grow with the square of the number of groups: of each group the least average cost to any other is
    kept, and found again only where that other was merged.
    """
    groups = [list(group) for group in groups]
    order = np.concatenate(groups)
    starts = np.cumsum([0] + [len(group) for group in groups[:-1]])
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    sums = costs[np.ix_(order, order)]
    if len(order) > len(groups):
        sums = np.add.reduceat(np.add.reduceat(sums, starts, axis=0), starts, axis=1)
    np.fill_diagonal(sums, np.inf)  # infinite: never to be merged
    ids = np.arange(len(groups))  # order of creation
    least_of = _least(sums, sizes, ids)
    num_alive = next_id = len(groups)
    while num_alive > min_clusters:
        least = least_of.min()
        if least > threshold or least == np.inf:
            break
        # Equal costs: the clusters made first, as Kaldi's queue of (cost, pair) gives them out.
        tied = np.flatnonzero(least_of == least)
        first = tied[np.argmin(ids[tied])]
        partners = np.flatnonzero(sums[first] / (sizes * sizes[first]) == least)
        second = partners[np.argmin(ids[partners])]
        if sizes[first] + sizes[second] > largest:
            sums[first, second] = sums[second, first] = np.inf
            pair = np.array([first, second])
            least_of[pair] = _least(sums, sizes, pair)
            continue
        stale = np.zeros(len(groups), dtype=bool)
        for merged in (first, second):
            stale |= sums[merged] / (sizes * sizes[merged]) == least_of
        sums[first] += sums[second]
        sums[:, first] = sums[first]
        sums[second] = sums[:, second] = np.inf
        sizes[first] += sizes[second]
        groups[first] += groups[second]
        groups[second] = []
        ids[first] = next_id
        next_id += 1
        num_alive -= 1
        averages = sums[first] / (sizes * sizes[first])
        np.minimum(least_of, averages, out=least_of)
        least_of[first], least_of[second] = averages.min(), np.inf
        stale[[first, second]] = False
        rows = np.flatnonzero(stale & (least_of < np.inf))
        least_of[rows] = _least(sums, sizes, rows)
    return [groups[index] for index in np.argsort(ids) if groups[index]]


def _least(sums: np.ndarray, sizes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The least average cost of these rows to any other, (len(rows),)."""
    least = np.empty(len(rows))
    for start in range(0, len(rows), 256):  # in blocks: a whole matrix of averages would double the memory
        block = rows[start : start + 256]
        least[start : start + 256] = (sums[block] / (sizes * sizes[block, None])).min(axis=1)
    return least
