"""Frame by frame: how well speech was told from the rest (voice activity detection)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class FrameErrors:
    """Counts of frames; those of several recordings add up with `+`.

    Attributes:
        speech: frames of speech taken for speech.
        missed: frames of speech taken for non-speech.
        false_alarms: frames of non-speech taken for speech.
        nonspeech: frames of non-speech taken for non-speech.
    """

    speech: int
    missed: int
    false_alarms: int
    nonspeech: int

    def __add__(self, other: FrameErrors) -> FrameErrors:
        return FrameErrors(
            *(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    @property
    def num_frames(self) -> int:
        """All frames."""
        return self.speech + self.missed + self.false_alarms + self.nonspeech

    @property
    def confusion(self) -> np.ndarray:
        """(2, 2) counts: rows are the truth, columns what was decided; non-speech first."""
        return np.array([[self.nonspeech, self.false_alarms], [self.missed, self.speech]])

    @property
    def accuracy(self) -> float:
        """Fraction of frames decided rightly; NaN where there are no frames."""
        return _ratio(self.speech + self.nonspeech, self.num_frames)

    @property
    def miss_rate(self) -> float:
        """Missed frames among those of speech; NaN where there is no speech."""
        return _ratio(self.missed, self.speech + self.missed)

    @property
    def false_alarm_rate(self) -> float:
        """False alarms among the frames of non-speech; NaN where there are none."""
        return _ratio(self.false_alarms, self.false_alarms + self.nonspeech)

    @property
    def detection_error_rate(self) -> float:
        """(missed + false alarms) / frames of speech: may exceed 1; NaN where there is no speech."""
        return _ratio(self.missed + self.false_alarms, self.speech + self.missed)


def frame_errors(truth: ArrayLike, decided: ArrayLike) -> FrameErrors:
    """Counts right and wrong frames of a recording.

    Args:
        truth: (frames,) 0 and 1, or bool: whether a frame is speech.
        decided: (frames,) the same of a detector.

    Raises:
        ValueError: the lengths differ, or a value is neither 0 nor 1.
    """
    truth, decided = np.asarray(truth).ravel(), np.asarray(decided).ravel()
    if truth.size != decided.size:
        raise ValueError(f"{truth.size} frames are labelled and {decided.size} are decided")
    for name, values in (("label", truth), ("decision", decided)):
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"a {name} is {values[~np.isin(values, (0, 1))][0]:g}, but frames are 0 or 1")
    counts = np.bincount(2 * truth.astype(np.int64) + decided.astype(np.int64), minlength=4)
    nonspeech, false_alarms, missed, speech = (int(count) for count in counts)
    return FrameErrors(speech, missed, false_alarms, nonspeech)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
