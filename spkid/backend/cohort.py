"""Score normalisation: what the scores of a vector against a cohort look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import array_api_compat
import numpy as np

from spkid.backend.products import Array, each_chunk, product_blocks, to_numpy

CHUNK_ROWS = 32  # of a block of cohort scores: what the processor's cache holds while the best are found
SAMPLE_STEP = 8
MIN_SAMPLED_COHORT = 2000  # below, a sample of every eighth says too little to save anything


@dataclass(frozen=True)
class CohortStatistics:
    """Mean and (population) standard deviation of each vector's scores against the cohort, or the best of them.

    Attributes:
        mean: (vectors,) float64.
        std: (vectors,) float64, above zero.
    """

    mean: np.ndarray
    std: np.ndarray

    def check(self, name: Callable[[int], str]) -> None:
        """Raises ValueError where a vector's cohort scores are all the same, or not finite; `name` names a row."""
        wrong = ~((self.std > 0) & np.isfinite(self.mean) & np.isfinite(self.std))
        if wrong.any():
            raise ValueError(
                f"the cohort scores of {name(int(np.argmax(wrong)))} are all equal or not finite, so they cannot "
                "normalise a score: the cohort needs different vectors, at least two of them"
            )


def cohort_statistics(
    vectors: Array, cohort: Array, top_n: int | None, is_distance: bool = False, max_memory: int = 1 << 30
) -> CohortStatistics:
    """Statistics of the scores of vectors against a cohort, a block of vectors after the other.

    Args:
        vectors: (vectors, width), one side of a score that is a dot product.
        cohort: (cohort, width), the other side, of the same library and type.
        top_n: keep the so many highest scores of each vector (adaptive S-norm); None for all of them (S-norm).
        is_distance: the product is a negated squared distance, and the score its root (see `sides`).
        max_memory: bytes for blocks of scores.

    Raises:
        ValueError: an empty cohort, or one of a single vector; `top_n` below 2; too little memory.
    """
    if len(cohort) < 2:
        raise ValueError(f"score normalisation needs a cohort of two vectors or more, and there are {len(cohort)}")
    if top_n is not None and top_n < 2:
        raise ValueError("the standard deviation of the best cohort scores needs at least the best 2 (top-n)")
    kept = len(cohort) if top_n is None else min(top_n, len(cohort))
    mean, std = np.empty(len(vectors)), np.empty(len(vectors))
    for rows, block in product_blocks(vectors, cohort, max_memory):
        if array_api_compat.is_numpy_array(block):
            _host_statistics(block, kept, is_distance, mean[rows], std[rows])
        else:
            mean[rows], std[rows] = _device_statistics(block, kept, is_distance)
    # Equal scores leave a deviation of rounding errors.
    noise = 8 * np.finfo(_numpy_type(vectors)).eps * np.maximum(np.abs(mean), np.finfo(float).tiny)
    return CohortStatistics(mean, np.where(std > noise, std, 0.0))


def overlap(
    ids: Iterable[str], cohort_ids: Collection[str], cohort_speakers: Collection[str]
) -> tuple[list[str], list[str]]:
    """The ids that are in the cohort themselves, and those whose speaker is.

    Args:
        ids: enrolment and test ids.
        cohort_ids: utterances of the cohort.
        cohort_speakers: their speakers where they are known. A speaker is a prefix of his utterances, up to a `-` or
            `_`, or is enrolled under his own name.
    """
    same, same_speaker = [], []
    for key in ids:
        if key in cohort_ids:
            same.append(key)
        elif any(key[: match.start()] in cohort_speakers for match in re.finditer(r"[-_]|$", key)):
            same_speaker.append(key)
    return same, same_speaker


def negated_root(scores: Array) -> Array:
    """Negated distances from negated squared ones; rounding may have made a zero positive."""
    xp = array_api_compat.array_namespace(scores)
    return -xp.sqrt(xp.clip(-scores, 0, None))


def best_scores(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest of each row of (rows, columns), in any order: (rows, count).

    Partitioning whole rows costs about half of what computing them did. So a sample of the columns gives a value that
    a few more than `count` scores exceed; those are taken out with one comparison and partitioned alone. Rows whose
    sample misled (about one in a thousand) are partitioned whole.
    """
    rows, columns = scores.shape
    if count >= columns:
        return scores
    expected = count / SAMPLE_STEP
    rank = int(expected + 3 * np.sqrt(expected)) + 2
    sample = scores[:, ::SAMPLE_STEP]
    if columns < MIN_SAMPLED_COHORT or 2 * rank * SAMPLE_STEP > columns:
        return np.partition(scores, columns - count, axis=1)[:, columns - count :]
    threshold = np.partition(sample, sample.shape[1] - rank, axis=1)[:, sample.shape[1] - rank]
    above = scores > threshold[:, None]
    counts = np.count_nonzero(above, axis=1)
    width = int(counts.max())
    candidates = np.full((rows, max(width, count)), -np.inf, dtype=scores.dtype)
    candidates[np.arange(width) < counts[:, None]] = scores[above]
    best = np.partition(candidates, candidates.shape[1] - count, axis=1)[:, candidates.shape[1] - count :]
    short = counts < count
    if short.any():
        best[short] = np.partition(scores[short], columns - count, axis=1)[:, columns - count :]
    return best


def _host_statistics(block: np.ndarray, kept: int, is_distance: bool, mean: np.ndarray, std: np.ndarray) -> None:
    def work(rows: slice) -> None:
        best = best_scores(block[rows], kept)  # the root keeps the order
        best = (negated_root(best) if is_distance else best).astype(np.float64)
        mean[rows] = best.mean(axis=1)
        std[rows] = best.std(axis=1)

    each_chunk(work, len(block), CHUNK_ROWS)


def _device_statistics(block: Array, kept: int, is_distance: bool) -> tuple[np.ndarray, np.ndarray]:
    xp = array_api_compat.array_namespace(block)
    best = xp.sort(block, axis=1)[:, block.shape[1] - kept :] if kept < block.shape[1] else block
    best = xp.astype(negated_root(best) if is_distance else best, xp.float64)
    mean = xp.mean(best, axis=1)
    return to_numpy(mean), to_numpy(xp.std(best, axis=1))


def _numpy_type(array: Array) -> np.dtype:
    return np.dtype(f"f{array.dtype.itemsize}")
