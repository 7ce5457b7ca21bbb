"""What LDA and PLDA need to know of labelled vectors: means of the speakers and the scatter around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BLOCK_ROWS = 1 << 15


@dataclass(frozen=True)
class SpeakerStatistics:
    """Sufficient statistics of vectors grouped by speaker, all float64.

    Attributes:
        mean: (dims,) mean of all vectors.
        counts: (speakers,) vectors of each speaker.
        speaker_means: (speakers, dims), relative to `mean`.
        within_scatter: (dims, dims) sum over all vectors of d d' with d = vector minus its speaker's mean.
    """

    mean: np.ndarray
    counts: np.ndarray
    speaker_means: np.ndarray
    within_scatter: np.ndarray

    @property
    def num_vectors(self) -> int:
        """Vectors of all speakers together."""
        return int(self.counts.sum())

    @property
    def num_speakers(self) -> int:
        """Different labels."""
        return self.counts.size

    @property
    def between_scatter(self) -> np.ndarray:
        """(dims, dims) sum over speakers of count m m' with m = the speaker's mean relative to the mean of all."""
        return (self.speaker_means * self.counts[:, None]).T @ self.speaker_means


def speaker_statistics(vectors: ArrayLike, speakers: ArrayLike) -> SpeakerStatistics:
    """Means and scatter of labelled vectors, accumulated block by block: no float64 copy of the whole is made.

    Args:
        vectors: (vectors, dims), any float type.
        speakers: (vectors,) label of each row, strings or numbers.

    Raises:
        ValueError: the shapes disagree, there is no vector, or one is not finite.
    """
    vectors = np.asarray(vectors)
    labels = np.asarray(speakers)
    if vectors.ndim != 2 or labels.shape != vectors.shape[:1]:
        raise ValueError(
            f"training takes vectors (vectors, dims) and one speaker label for each: the shapes are {vectors.shape} "
            f"and {labels.shape}"
        )
    if vectors.size == 0:
        raise ValueError("there is no vector to train on")
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    blocks = [slice(start, start + BLOCK_ROWS) for start in range(0, len(vectors), BLOCK_ROWS)]

    sums = np.zeros((counts.size, vectors.shape[1]))
    for block in blocks:
        rows = vectors[block].astype(np.float64)
        if not np.isfinite(rows).all():
            row = block.start + int(np.argmax(~np.isfinite(rows).all(axis=1)))
            raise ValueError(f"vector {row} (speaker {labels[row]}) is not finite: leave it out or extract it again")
        order = np.argsort(codes[block], kind="stable")
        present, starts = np.unique(codes[block][order], return_index=True)
        sums[present] += np.add.reduceat(rows[order], starts, axis=0)
    mean = sums.sum(axis=0) / len(vectors)
    speaker_means = sums / counts[:, None] - mean

    scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in blocks:  # a second pass: subtracting large products afterwards would lose the small directions
        deviations = vectors[block] - mean - speaker_means[codes[block]]
        scatter += deviations.T @ deviations
    return SpeakerStatistics(mean, counts, speaker_means, scatter)
