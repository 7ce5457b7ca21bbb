"""Cutting a wave into frames and preparing each for its Fourier transform (Kaldi's feat/feature-window.cc)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np
from numpy.lib.stride_tricks import as_strided

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


def frames_of(wave: Array, options: FrameOptions, start: int = 0, stop: int | None = None) -> Array:
    """View of the frames [start, stop) of `wave`, by default all.

    Only the samples of these frames are looked at, and copied only if some of them must be mirrored: a long recording
    is worked through in little memory.

    Args:
        wave: (..., samples), NumPy or torch.

    Returns:
        (..., stop - start, window_size), overlapping views that must not be written to.
    """
    samples, size, shift = wave.shape[-1], options.window_size, options.window_shift
    stop = num_frames(samples, options) if stop is None else stop
    if stop <= start:
        xp = array_api_compat.array_namespace(wave)
        return xp.zeros((*wave.shape[:-1], 0, size), dtype=wave.dtype, device=array_api_compat.device(wave))
    part = _samples(wave, first_sample(start, options), first_sample(stop - 1, options) + size)
    if array_api_compat.is_torch_array(part):
        return part.unfold(-1, size, shift)
    *leading, step = part.strides
    shape = (*part.shape[:-1], stop - start, size)
    return as_strided(part, shape, (*leading, shift * step, step), writeable=False)


def _samples(wave: Array, begin: int, end: int) -> Array:
    """The samples [begin, end) of `wave`, which is mirrored beyond its ends, as often as needed."""
    samples = wave.shape[-1]
    if begin >= 0 and end <= samples:
        return wave[..., begin:end]
    xp = array_api_compat.array_namespace(wave)
    index = mirrored(begin, end, samples)
    return xp.take(wave, xp.asarray(index, device=array_api_compat.device(wave)), axis=-1)


def mirrored(begin: int, end: int, samples: int) -> np.ndarray:
    """Which samples stand at places begin ... end - 1 of a wave that is mirrored beyond its ends, (end - begin,)."""
    index = np.arange(begin, end) % (2 * samples)
    return np.where(index < samples, index, 2 * samples - 1 - index)


def dither_generator(options: FrameOptions, utterance: str) -> np.random.Generator:
    """Random generator of the dither of one utterance: the same wherever and in whatever order it is computed."""
    digest = hashlib.sha256(f"{options.dither_seed} {utterance}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
