"""What embeddings say about labels: utterances that fit another speaker better, the same recording twice, one speaker
under two names.

All comparisons are cosines of vectors without their common mean, in bounded memory. Nothing here decides: the pairs are
ranked for a person to listen to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spkid.backend.products import product_blocks
from spkid.backend.transforms import length_normalize

MAX_MEMORY = 256 << 20  # bytes of scores at a time
MAX_PAIRS = 1_000_000


@dataclass(frozen=True)
class Fit:
    """How each vector fits its own speaker and the best other one.

    Attributes:
        own: cosine with the mean of the speaker's other vectors, (vectors,); NaN where there is no other.
        other: cosine with the mean of the best other speaker, (vectors,).
        other_speaker: which one that is, (vectors,) indices of speakers.
    """

    own: np.ndarray
    other: np.ndarray
    other_speaker: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """By how much the other speaker fits better, (vectors,); positive is suspicious."""
        return self.other - self.own


def directions(*tables: np.ndarray) -> list[np.ndarray]:
    """Vectors (rows, dims) of each table without the mean of all tables, of length 1, float32."""
    mean = np.concatenate(tables).mean(axis=0, dtype=np.float64)
    return [length_normalize(table - mean, scaleup=False).astype(np.float32) for table in tables]


def speaker_sums(unit: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Sums of the vectors of each speaker, (speakers, dims) float64; `speakers` (rows,) holds indices from 0 on."""
    sums = np.zeros((int(speakers.max()) + 1, unit.shape[1]))
    np.add.at(sums, speakers, unit)
    return sums


def fit_to_speakers(unit: np.ndarray, speakers: np.ndarray) -> Fit:
    """How the vectors (rows, dims) of length 1 fit the speakers they are said to be of, (rows,) indices from 0 on.

    Raises ValueError where there are fewer than two speakers.
    """
    sums = speaker_sums(unit, speakers)
    if len(sums) < 2:
        raise ValueError("labels can be doubted only where there are at least two speakers")
    means = length_normalize(sums, scaleup=False).astype(np.float32)
    others = sums[speakers] - unit
    own = np.einsum("nd,nd->n", unit, length_normalize(others, scaleup=False))
    own[np.bincount(speakers)[speakers] < 2] = np.nan
    other, other_speaker = np.empty(len(unit), np.float32), np.empty(len(unit), np.int64)
    for rows, scores in product_blocks(unit, means, MAX_MEMORY):
        block = np.arange(len(scores))
        scores[block, speakers[rows]] = -np.inf
        other_speaker[rows] = scores.argmax(axis=1)
        other[rows] = scores[block, other_speaker[rows]]
    return Fit(own, other, other_speaker)


def similar_pairs(left: np.ndarray, right: np.ndarray | None, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows with a cosine of at least `least`, the most similar first.

    Args:
        left, right: (rows, dims) of length 1; without `right` all pairs of different rows of `left`, each once.

    Returns:
        (pairs, 2) indices and (pairs,) cosines; at most a million pairs, the most similar ones.
    """
    found: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for rows, scores in product_blocks(left, left if right is None else right, MAX_MEMORY):
        first, second = np.nonzero(scores >= least)
        keep = np.ones(len(first), bool) if right is not None else second > first + rows.start
        found.append(np.stack([first[keep] + rows.start, second[keep]], axis=1))
        values.append(scores[first[keep], second[keep]])
    pairs, cosines = np.concatenate(found), np.concatenate(values)
    order = np.argsort(-cosines, kind="stable")[:MAX_PAIRS]
    return pairs[order], cosines[order]


def indices_of(names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The different names, sorted, and the index of each name among them."""
    unique = sorted(set(names))
    index = {name: number for number, name in enumerate(unique)}
    return unique, np.array([index[name] for name in names], np.int64)
