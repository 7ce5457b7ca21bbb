"""Change of sampling rate."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Resamples by a polyphase filter (scipy.signal.resample_poly, linear phase, Kaiser window).

    Args:
        samples: (samples, ...) float32.
        rate, new_rate: in samples per second.

    Returns:
        (ceil(samples * new_rate / rate), ...) float32.
    """
    ratio = _ratio(rate, new_rate)
    if ratio == 1:
        return samples
    from scipy.signal import resample_poly  # most runs never resample, and scipy.signal takes a second to import

    return resample_poly(samples, ratio.numerator, ratio.denominator, axis=0).astype(np.float32, copy=False)


def resampled_length(num_samples: int, rate: float, new_rate: float) -> int:
    """How many samples `resample` makes of so many."""
    ratio = _ratio(rate, new_rate)
    return -(-num_samples * ratio.numerator // ratio.denominator)


def resample_part(
    read: Callable[[int, int], np.ndarray], num_samples: int, rate: float, new_rate: float, start: int, stop: int
) -> np.ndarray:
    """Samples [start, stop) of a resampled recording, from the part of the recording that they depend on.

    Args:
        read: gives samples [first, last) of the recording, (samples, ...) float32.
        num_samples: length of the recording.
        rate, new_rate: in samples per second.
        start, stop: within `resampled_length`.

    Returns:
        (stop - start, ...) float32: what `resample` of the whole has there, but for rounding.
    """
    ratio = _ratio(rate, new_rate)
    up, down = ratio.numerator, ratio.denominator
    reach = 10 * max(up, down) // up + 1  # half the length of resample_poly's filter, in samples of the recording
    first = max(start * down // up - reach, 0) // down * down  # where both rates have a sample
    last = min(-(-stop * down // up) + reach + 1, num_samples)
    offset = first // down * up
    return resample(read(first, last), rate, new_rate)[start - offset : stop - offset]


def _ratio(rate: float, new_rate: float) -> Fraction:
    return Fraction(new_rate).limit_denominator(1000000) / Fraction(rate).limit_denominator(1000000)
