"""Recordings compared crop by crop, as the VoxCeleb trainer does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.cohort import negated_root
from spkid.backend.transforms import length_normalize

BLOCK_BYTES = 16 << 20


def crop_pair_scores(
    enroll: ArrayLike,
    test: ArrayLike,
    enroll_rows: ArrayLike,
    test_rows: ArrayLike,
    normalize: bool = True,
    max_memory: int = 1 << 30,
) -> np.ndarray:
    """Negated mean of the Euclidean distances between every crop of one recording and every crop of the other.

    (clovaai/voxceleb_trainer, SpeakerNet.evaluateFromList; its first releases added 1e-6 to every difference.) Equal
    crops come out about 1e-8 apart: the distances are taken from dot products.

    Args:
        enroll: (recordings, crops, dims), embeddings of the crops.
        test: (other recordings, crops of theirs, dims).
        enroll_rows: (trials,) recording of each trial.
        test_rows: (trials,) of `test`.
        normalize: scale each crop's embedding to length 1; not after training with the prototypical loss.
        max_memory: bytes for gathered crops and their distances, besides the embeddings.

    Returns:
        (trials,) float64.

    Raises:
        ValueError: not three axes, or the dimensions differ.
    """
    enroll, test = (np.asarray(crops, dtype=np.float64) for crops in (enroll, test))
    if enroll.ndim != 3 or test.ndim != 3 or enroll.shape[2] != test.shape[2]:
        raise ValueError(
            "crops to compare must be (recordings, crops, dims) with equal dims: their shapes are "
            f"{enroll.shape} and {test.shape}"
        )
    if normalize:
        enroll, test = length_normalize(enroll, scaleup=False), length_normalize(test, scaleup=False)
    enroll_rows, test_rows = np.asarray(enroll_rows, dtype=np.int64), np.asarray(test_rows, dtype=np.int64)
    squares, test_squares = np.square(enroll).sum(axis=2), np.square(test).sum(axis=2)
    crops, other_crops, dims = enroll.shape[1], test.shape[1], enroll.shape[2]
    trial_bytes = 8 * ((crops + other_crops) * dims + 4 * crops * other_crops)
    step = max(1, min(max_memory, BLOCK_BYTES) // trial_bytes)
    scores = np.empty(enroll_rows.size)
    for start in range(0, scores.size, step):
        block = slice(start, start + step)
        left, right = enroll_rows[block], test_rows[block]
        squared = 2 * (enroll[left] @ test[right].transpose(0, 2, 1))
        squared -= squares[left][:, :, None]
        squared -= test_squares[right][:, None, :]
        scores[block] = negated_root(squared).mean(axis=(1, 2))
    return scores
