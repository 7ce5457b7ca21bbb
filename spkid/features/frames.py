"""Cutting a wave into frames and preparing each for its Fourier transform (Kaldi's feat/feature-window.cc)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from spkid.features.options import FrameOptions

# Audio is in +-1 everywhere in this package; Kaldi's features are defined on 16-bit integers.
AMPLITUDE = 32768.0
# The least energy whose logarithm is taken: Kaldi uses FLT_EPSILON, not the least float.
ENERGY_FLOOR = float(np.finfo(np.float32).eps)

Array = Any  # a NumPy or torch array


def num_frames(num_samples: int, options: FrameOptions) -> int:
    """Number of frames that a wave of `num_samples` samples gives (Kaldi's NumFrames)."""
    shift, size = options.window_shift, options.window_size
    if options.snip_edges:
        return 0 if num_samples < size else 1 + (num_samples - size) // shift
    return (num_samples + shift // 2) // shift


def first_sample(frame: int, options: FrameOptions) -> int:
    """Index in the wave of the first sample of frame `frame`; negative near the start if snip_edges is false."""
    start = frame * options.window_shift
    return start if options.snip_edges else start + options.window_shift // 2 - options.window_size // 2


@lru_cache(maxsize=32)
def window_function(window_type: str, size: int, blackman_coeff: float = 0.42) -> np.ndarray:
    """The window `window_type` of `size` samples, float64 (size,), read-only; symmetric, unlike scipy's default."""
    angle = 2 * np.pi / (size - 1) * np.arange(size)
    if window_type == "hanning":
        window = 0.5 - 0.5 * np.cos(angle)
    elif window_type == "sine":
        window = np.sin(0.5 * angle)
    elif window_type == "hamming":
        window = 0.54 - 0.46 * np.cos(angle)
    elif window_type == "povey":
        window = (0.5 - 0.5 * np.cos(angle)) ** 0.85
    elif window_type == "rectangular":
        window = np.ones(size)
    elif window_type == "blackman":
        window = blackman_coeff - 0.5 * np.cos(angle) + (0.5 - blackman_coeff) * np.cos(2 * angle)
    else:
        raise ValueError(f"unknown window type '{window_type}'")
    window.flags.writeable = False
    return window


def frames_of(wave: Array, options: FrameOptions) -> Array:
    """View of the frames of `wave`.

    Args:
        wave: (..., samples), NumPy or torch.

    Returns:
        (..., frames, window_size), overlapping views that must not be written to.
    """
    count = num_frames(wave.shape[-1], options)
    size, shift = options.window_size, options.window_shift
    if count and not options.snip_edges:
        wave = _reflect(wave, -first_sample(0, options), first_sample(count - 1, options) + size - wave.shape[-1])
    if not count:
        return array_api_compat.array_namespace(wave).zeros(
            (*wave.shape[:-1], 0, size), dtype=wave.dtype, device=array_api_compat.device(wave)
        )
    if array_api_compat.is_torch_array(wave):
        return wave.unfold(-1, size, shift)[..., :count, :]
    return sliding_window_view(wave, size, axis=-1)[..., ::shift, :][..., :count, :]


def _reflect(wave: Array, left: int, right: int) -> Array:
    """`wave` with `left` and `right` more samples (negative: fewer, on the right), mirrored as often as needed."""
    xp = array_api_compat.array_namespace(wave)
    samples = wave.shape[-1]

    def mirrored(first: int, last: int) -> Array:
        index = np.arange(first, last) % (2 * samples)
        index = np.where(index < samples, index, 2 * samples - 1 - index)
        return xp.take(wave, xp.asarray(index, device=array_api_compat.device(wave)), axis=-1)

    parts = [mirrored(-left, 0)] if left > 0 else []
    parts.append(wave if left >= 0 else wave[..., -left:])
    if right > 0:
        parts.append(mirrored(samples, samples + right))
    return xp.concat(parts, axis=-1) if len(parts) > 1 else wave


def dither_generator(options: FrameOptions, utterance: str) -> np.random.Generator:
    """Random generator of the dither of one utterance: the same wherever and in whatever order it is computed."""
    digest = hashlib.sha256(f"{options.dither_seed} {utterance}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
