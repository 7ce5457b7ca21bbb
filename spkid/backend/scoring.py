"""Scores of a list of trials as blocked matrix products: memory is bounded and no trial is visited alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.plda import Plda
from spkid.backend.transforms import length_normalize

BLOCK_BYTES = 64 << 20
GATHERED_BYTES = 1 << 20  # stays in the processor's cache between gathering and multiplying
# A dot product inside a matrix product is about this many times cheaper than one of gathered rows.
PRODUCT_GAIN = 30


def cosine_scores(enroll: ArrayLike, test: ArrayLike) -> np.ndarray:
    """Cosine of every enrolment (models, dims) with every test vector (tests, dims): (models, tests) float64."""
    return length_normalize(enroll, scaleup=False) @ length_normalize(test, scaleup=False).T


def score_trials(
    enroll: ArrayLike,
    test: ArrayLike,
    enroll_rows: ArrayLike,
    test_rows: ArrayLike,
    plda: Plda | None = None,
    num_examples: ArrayLike = 1,
) -> np.ndarray:
    """Scores pairs of rows: with a PLDA model its log-likelihood ratio, without one the cosine.

    Args:
        enroll: (models, dims); for PLDA as `Plda.transform` returns them.
        test: (tests, dims), likewise.
        enroll_rows: (trials,) row of `enroll` of each trial.
        test_rows: (trials,) row of `test`.
        plda: the model, or None.
        num_examples: vectors behind each model, a number or (models,); PLDA only.

    Returns:
        (trials,) float64.
    """
    enroll = np.asarray(enroll, dtype=np.float64)
    test = np.asarray(test, dtype=np.float64)
    enroll_rows = np.asarray(enroll_rows, dtype=np.int64)
    test_rows = np.asarray(test_rows, dtype=np.int64)
    if plda is None:
        enroll, test = length_normalize(enroll, scaleup=False), length_normalize(test, scaleup=False)
        return dot_products(enroll, test, enroll_rows, test_rows)
    counts = np.broadcast_to(np.asarray(num_examples), enroll.shape[:1])
    distinct = np.unique(counts)
    left, left_bias = np.empty_like(enroll), np.empty(len(enroll))
    scores = np.empty(enroll_rows.shape)
    for count in distinct:  # models of the same number of vectors share the weights of a test vector's squares
        models = counts == count
        left[models], left_bias[models], right_bias = plda.bilinear_form(enroll[models], test, count)
        trials = slice(None) if distinct.size == 1 else models[enroll_rows]
        scores[trials] = right_bias[test_rows[trials]]
    scores += left_bias[enroll_rows]
    scores += dot_products(left, test, enroll_rows, test_rows)
    return scores


def dot_products(left: np.ndarray, right: np.ndarray, left_rows: np.ndarray, right_rows: np.ndarray) -> np.ndarray:
    """left[left_rows[k]] . right[right_rows[k]] for every k, in blocks of bounded memory.

    Pairs are visited by left row. Where a block of left rows meets its right rows often enough, their whole matrix
    product is computed and the pairs are picked out of it; otherwise the rows of the pairs are gathered.

    Args:
        left: (rows, dims) float64.
        right: (other rows, dims) float64.
        left_rows: (pairs,) integers.
        right_rows: (pairs,) integers.

    Returns:
        (pairs,) float64.
    """
    products = np.empty(left_rows.shape)
    if not products.size:
        return products
    dims = left.shape[1]
    order = np.argsort(left_rows, kind="stable")
    rows = 512
    bounds = np.searchsorted(left_rows[order], np.arange(0, len(left) + rows, rows))
    gathered = max(1, GATHERED_BYTES // (16 * dims))
    columns = max(1, min(BLOCK_BYTES // (8 * rows), BLOCK_BYTES // (8 * dims)))
    for start, first, last in zip(range(0, len(left), rows), bounds[:-1], bounds[1:], strict=True):
        pairs = order[first:last]
        if not pairs.size:
            continue
        used, positions = np.unique(right_rows[pairs], return_inverse=True)
        block = left[start : start + rows]
        if pairs.size * PRODUCT_GAIN < used.size * len(block):
            for chunk in (pairs[at : at + gathered] for at in range(0, pairs.size, gathered)):
                products[chunk] = np.einsum("ij,ij->i", left[left_rows[chunk]], right[right_rows[chunk]])
            continue
        for at in range(0, used.size, columns):
            table = block @ right[used[at : at + columns]].T
            inside = (positions >= at) & (positions < at + columns)
            chosen = pairs[inside]
            products[chosen] = table[left_rows[chosen] - start, positions[inside] - at]
    return products
