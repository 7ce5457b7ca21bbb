"""Mel filter banks with vocal tract length normalisation (Kaldi's feat/mel-computations.cc)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spkid.features.options import FbankOptions, MfccOptions, require


def mel_scale(frequency: np.ndarray | float) -> np.ndarray:
    """Hz to mel: 1127 ln(1 + f / 700)."""
    return 1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0)


def inverse_mel_scale(mel: np.ndarray | float) -> np.ndarray:
    """Mel to Hz."""
    return 700.0 * np.expm1(np.asarray(mel, np.float64) / 1127.0)


def vtln_warp_frequency(
    frequency: np.ndarray, warp: float, *, low: float, high: float, vtln_low: float, vtln_high: float
) -> np.ndarray:
    """Warp `frequency` (Hz) by the piecewise linear function that Kaldi uses for VTLN.

    It leaves `low` and `high` (the bounds of the filter bank) and what lies outside them where they are, and is
    f / warp between two inflection points, which `vtln_low` and `vtln_high` fix before or after warping,
    whichever is nearer to the bound.
    """
    frequency = np.asarray(frequency, np.float64)
    lower, upper = vtln_low * max(1.0, warp), vtln_high * min(1.0, warp)
    warped = np.interp(frequency, [low, lower, upper, high], [low, lower / warp, upper / warp, high])
    return np.where((frequency < low) | (frequency > high), frequency, warped)


@lru_cache(maxsize=64)
def mel_bank(options: FbankOptions | MfccOptions, warp: float = 1.0) -> np.ndarray:
    """The filters as a matrix: power spectrum (padded_window_size / 2 bins, without Nyquist) to mel energies.

    Args:
        options: the frame and mel options.
        warp: VTLN warp factor; 1 for none.

    Returns:
        (num_mel_bins, padded_window_size / 2) float32, read-only.

    Raises:
        InputError: if the cutoff frequencies or the number of bins do not fit the sample frequency.
    """
    nyquist = 0.5 * options.sample_frequency
    low = options.low_freq
    high = options.high_freq if options.high_freq > 0 else nyquist + options.high_freq
    bins = options.num_mel_bins
    require(bins >= 3, f"--num-mel-bins must be at least 3, not {bins}")
    require(
        0 <= low < nyquist and 0 < high <= nyquist and low < high,
        f"--low-freq={low:g} and --high-freq={high:g} must be in order between 0 and {nyquist:g} Hz, half the "
        "sample frequency",
    )
    edges = mel_scale(low) + np.arange(bins + 2) * (mel_scale(high) - mel_scale(low)) / (bins + 1)
    if warp != 1.0:
        vtln_high = options.vtln_high if options.vtln_high >= 0 else nyquist + options.vtln_high
        require(
            low < options.vtln_low < vtln_high < high,
            f"--vtln-low={options.vtln_low:g} and --vtln-high={vtln_high:g} must be in order between "
            f"--low-freq={low:g} and --high-freq={high:g} Hz",
        )
        require(
            warp > 0 and options.vtln_low * max(1.0, warp) < vtln_high * min(1.0, warp),
            f"VTLN warp factor {warp:g} is out of range: factors lie near 1, such as 0.8 to 1.25",
        )
        warped = vtln_warp_frequency(
            inverse_mel_scale(edges), warp, low=low, high=high, vtln_low=options.vtln_low, vtln_high=vtln_high
        )
        edges = mel_scale(warped)
    left, center, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    fft_bins = options.padded_window_size // 2
    mel = mel_scale(options.sample_frequency / options.padded_window_size * np.arange(fft_bins))[None]
    weights = np.minimum((mel - left) / (center - left), (right - mel) / (right - center))
    bank = np.maximum(weights, 0).astype(np.float32)
    empty = np.flatnonzero(~bank.any(axis=1))
    require(
        not len(empty),
        f"mel filters {empty.tolist()} lie between two bins of the {options.padded_window_size}-point Fourier "
        "transform: use fewer --num-mel-bins or a longer --frame-length",
    )
    bank.flags.writeable = False
    return bank
