"""Sliding-window cepstral mean and variance normalisation (SlidingWindowCmn in Kaldi's feat/feature-functions.cc)."""

from __future__ import annotations

import numpy as np

from spkid.features.options import CmvnOptions

VARIANCE_FLOOR = 1e-10
EXACT_SUMS = 2.0**24


def cmvn_window(row: int | np.ndarray, total: int, options: CmvnOptions) -> tuple[int | np.ndarray, int | np.ndarray]:
    """The rows [begin, end) whose statistics normalise row `row` of an utterance of `total` frames.

    Neither bound ever decreases from one row to the next, so the rows [begin of start, end of stop - 1) are what
    normalising rows [start, stop) needs. `row` is an integer or an array of them, and the bounds are the same.
    """
    if options.center:
        begin = row - options.cmn_window // 2
        end = begin + options.cmn_window
    else:
        begin = row - options.cmn_window
        end = np.maximum(row + 1, options.min_cmn_window)
    if options.center:
        end = end + np.maximum(-begin, 0)
    begin = np.maximum(begin - np.maximum(end - total, 0), 0)
    end = np.minimum(end, total)
    return (int(begin), int(end)) if np.ndim(row) == 0 else (begin, end)


def apply_cmvn_sliding(
    features: np.ndarray,
    options: CmvnOptions | None = None,
    *,
    first: int = 0,
    total: int | None = None,
    start: int | None = None,
    stop: int | None = None,
) -> np.ndarray:
    """Normalise features by the mean (and variance) of a window that moves with the frame.

    With the defaults the whole utterance is normalised. A chunk [start, stop) of a longer utterance gets the same
    values from part of its rows: those from `cmvn_window(start, ...)[0]` to `cmvn_window(stop - 1, ...)[1]`.

    Args:
        features: (frames, dims): rows `first`, `first` + 1, ... of the utterance.
        options: Kaldi's `apply-cmvn-sliding` options.
        first: index in the utterance of the first row given.
        total: frames in the whole utterance; by default it ends with the last row given.
        start, stop: the rows of the utterance wanted; by default all that are given.

    Returns:
        (stop - start, dims) float32.

    Raises:
        ValueError: if the rows given do not cover the windows of the rows wanted.
    """
    options = options or CmvnOptions()
    last = first + len(features)
    total = last if total is None else total
    start = first if start is None else start
    stop = last if stop is None else stop
    if start >= stop:
        return np.zeros((0, features.shape[1]), np.float32)
    rows = np.arange(start, stop)
    begin, end = cmvn_window(rows, total, options)
    if begin[0] < first or end[-1] > last or start < first or stop > last:
        raise ValueError(
            f"rows {min(begin[0], start)} to {max(end[-1], stop)} are needed to normalise rows {start} to {stop} of "
            f"{total}, but rows {first} to {last} were given"
        )
    exact = np.asarray(features, np.float64)
    count = (end - begin)[:, None]
    mean = _window_sums(exact, begin - first, end - first) / count
    normalized = exact[start - first : stop - first] - mean
    if options.norm_vars:
        variance = _window_sums(exact * exact, begin - first, end - first) / count - mean * mean
        normalized /= np.sqrt(np.maximum(variance, VARIANCE_FLOOR))
        normalized[count[:, 0] == 1] = 0.0
    return normalized.astype(np.float32)


def _window_sums(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sums of the rows [begin, end) of `values`, by differences of running sums: (windows, dims) float64.

    Multiples of 2^-24 add up in float64 without rounding, so they are summed apart from the tiny rest: a chunk, whose
    running sums begin at another row, gets the very same digits as the whole utterance.
    """
    coarse = np.rint(values * EXACT_SUMS) / EXACT_SUMS
    return _differences(coarse, begin, end) + _differences(values - coarse, begin, end)


def _differences(values: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    running = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=running[1:])
    return running[end] - running[begin]
