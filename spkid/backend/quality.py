"""Measures of how far a trial's score is to be trusted, as further columns of a calibration.

Thienpondt, Desplanques, Demuynck, "The IDLab VoxSRC-20 submission" (2021): durations, magnitudes of the embeddings, and
means of the scores against a cohort, each put so that it does not matter which side is the enrolment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from spkid.backend.vectors import first_ids
from spkid.kaldi.errors import InputError

PARTS = ("min", "max", "difference", "ratio")


def symmetric_columns(enroll: ArrayLike, test: ArrayLike) -> np.ndarray:
    """Smaller value, larger, their difference and their ratio (larger by smaller): (trials, 4).

    Args:
        enroll: (trials,) a value of the enrolment of each trial.
        test: (trials,) of its test.

    Raises:
        ValueError: a value is not finite, or a smaller value is zero.
    """
    enroll, test = np.asarray(enroll, dtype=np.float64), np.asarray(test, dtype=np.float64)
    small, large = np.minimum(enroll, test), np.maximum(enroll, test)
    if not (np.isfinite(small).all() and np.isfinite(large).all() and small.all()):
        raise ValueError("measures of quality must be finite and not zero")
    return np.column_stack((small, large, large - small, large / small))


def column_names(measure: str) -> list[str]:
    """Names of the columns of `symmetric_columns`."""
    return [f"{measure}_{part}" for part in PARTS]


def values_of(ids: Sequence[str], given: Mapping[str, str], source: str) -> np.ndarray:
    """The first number that stands behind each id.

    Args:
        ids: utterances or models.
        given: what stands behind an id in a text file.
        source: name of the file, for messages.

    Returns:
        (ids,) float64.

    Raises:
        InputError: an id is missing, or its value is no finite number or zero.
    """
    missing = [key for key in ids if key not in given]
    if missing:
        raise InputError(f"{source}: nothing for {len(missing)} of {len(ids)} ids: {first_ids(missing)}")
    values = np.empty(len(ids))
    for index, key in enumerate(ids):
        try:
            values[index] = float(given[key].split()[0])
        except ValueError:
            values[index] = np.nan
        if not np.isfinite(values[index]) or values[index] == 0:
            raise InputError(f"{source}: {given[key]!r} of {key} is not a number that can measure quality")
    return values


def merged(maps: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Several files' `id value` as one.

    Raises:
        InputError: two files give an id different values.
    """
    together: dict[str, str] = {}
    for source, given in maps:
        for key, value in given.items():
            if together.setdefault(key, value) != value:
                raise InputError(f"{source}: {key} has {value}, and {together[key]} in a file before it")
    return together
