"""Stretch by stretch: how well the beginnings and ends of speech were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LONGEST_SHARE = 0.5  # of a stretch's length by which its end may be off, where that is more than the collar


@dataclass(frozen=True)
class SegmentErrors:
    """Counts of stretches of speech; those of several recordings add up with `+`.

    Attributes:
        labelled: stretches in the truth.
        decided: stretches of the detector.
        matched: pairs of the two, one to one, of about the same beginning and end.

    Reference: event-based measures with collars (Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event
    detection", 2016).
    """

    labelled: int
    decided: int
    matched: int

    def __add__(self, other: SegmentErrors) -> SegmentErrors:
        return SegmentErrors(
            self.labelled + other.labelled, self.decided + other.decided, self.matched + other.matched
        )

    @property
    def recall(self) -> float:
        """Fraction of the stretches in the truth that were found; NaN where there are none."""
        return self.matched / self.labelled if self.labelled else float("nan")

    @property
    def precision(self) -> float:
        """Fraction of the stretches decided that are in the truth; NaN where there are none."""
        return self.matched / self.decided if self.decided else float("nan")

    @property
    def f_measure(self) -> float:
        """Harmonic mean of the two, 2 matched / (labelled + decided); NaN where there is no stretch at all."""
        total = self.labelled + self.decided
        return 2 * self.matched / total if total else float("nan")


def segment_errors(truth: ArrayLike, decided: ArrayLike, collar: int) -> SegmentErrors:
    """Compares the stretches of speech of a recording.

    Args:
        truth: (frames,) 0 and 1, or bool: whether a frame is speech.
        decided: (frames,) the same of a detector.
        collar: by so many frames beginnings may differ, and ends too; these also by half the length of the truth.

    Raises:
        ValueError: a negative collar.
    """
    if collar < 0:
        raise ValueError(f"the collar is a number of frames from 0 on, not {collar}")
    ours, theirs = _stretches(truth), _stretches(decided)
    matched, first = 0, 0
    for start, end in ours:
        most = max(collar, LONGEST_SHARE * (end - start))
        while first < len(theirs) and theirs[first, 0] < start - collar:
            first += 1
        for number in range(first, len(theirs)):
            if theirs[number, 0] > start + collar:
                break
            if abs(theirs[number, 1] - end) <= most:
                matched, first = matched + 1, number + 1
                break
    return SegmentErrors(len(ours), len(theirs), matched)


def _stretches(frames: ArrayLike) -> np.ndarray:
    """First frame of each run of ones and the frame behind it, (stretches, 2)."""
    padded = np.concatenate([[0], np.asarray(frames).ravel() != 0, [0]]).astype(np.int8)
    return np.flatnonzero(np.diff(padded)).reshape(-1, 2)
