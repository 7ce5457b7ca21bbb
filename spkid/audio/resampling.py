"""Change of sampling rate."""

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
    ratio = Fraction(new_rate).limit_denominator(1000000) / Fraction(rate).limit_denominator(1000000)
    if ratio == 1:
        return samples
    from scipy.signal import resample_poly  # most runs never resample, and scipy.signal takes a second to import

    return resample_poly(samples, ratio.numerator, ratio.denominator, axis=0).astype(np.float32, copy=False)
