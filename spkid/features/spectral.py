"""Spectrogram, filter-bank and cepstral features of whole utterances, for NumPy and torch arrays alike.

The definitions are Kaldi's (feat/feature-{spectrogram,fbank,mfcc}.cc); the arithmetic is float32 on blocks of frames that
stay in the processor's cache. torch itself is not imported: a tensor brings its own namespace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import array_api_compat
import numpy as np

from spkid.features.frames import (
    AMPLITUDE,
    ENERGY_FLOOR,
    Array,
    dither_generator,
    frames_of,
    window_function,
)
from spkid.features.mel import mel_bank
from spkid.features.options import FbankOptions, FrameOptions, MfccOptions, SpectrogramOptions

# Frames worked on at once: with NumPy few enough that they stay in a 1 MB second-level cache; a GPU wants them all.
_NUMPY_BLOCK_FRAMES = 128
_TORCH_BLOCK_FRAMES = 1 << 16


def spectrogram(wave: Array, options: SpectrogramOptions | None = None, *, utterance: str = "") -> Array:
    """Log power spectrum; column 0 holds the log energy of the frame instead of the power at 0 Hz.

    Args:
        wave: (samples,) or (batch, samples) NumPy or torch array, amplitude within +-1.
        options: as Kaldi's `compute-spectrogram-feats`.
        utterance: id that the dither depends on, if there is any.

    Returns:
        ([batch,] frames, padded_window_size / 2 + 1) float32; with return_raw_fft (..., padded_window_size).
    """
    options = options or SpectrogramOptions()
    columns = options.padded_window_size if options.return_raw_fft else options.padded_window_size // 2 + 1
    return _blockwise(wave, options, options.raw_energy, columns, partial(_spectrogram_block, options), utterance)


def fbank(wave: Array, options: FbankOptions | None = None, vtln_warp: float = 1.0, *, utterance: str = "") -> Array:
    """Log mel filter-bank energies.

    Args:
        wave: (samples,) or (batch, samples) NumPy or torch array, amplitude within +-1.
        options: as Kaldi's `compute-fbank-feats`.
        vtln_warp: warp factor of the speaker's vocal tract length; 1 for none.
        utterance: id that the dither depends on, if there is any.

    Returns:
        ([batch,] frames, num_mel_bins (+ 1 if use_energy)) float32.

    Raises:
        InputError: if the cutoff frequencies, the number of bins or the warp factor cannot be.
    """
    options = options or FbankOptions()
    columns = options.num_mel_bins + options.use_energy
    raw_energy = options.use_energy and options.raw_energy
    block = partial(_fbank_block, options, vtln_warp)
    return _blockwise(wave, options, raw_energy, columns, block, utterance)


def mfcc(wave: Array, options: MfccOptions | None = None, vtln_warp: float = 1.0, *, utterance: str = "") -> Array:
    """Mel-frequency cepstral coefficients; column 0 holds the log energy if use_energy.

    Args, Raises: as `fbank`, with the options of Kaldi's `compute-mfcc-feats`.

    Returns:
        ([batch,] frames, num_ceps) float32.
    """
    options = options or MfccOptions()
    raw_energy = options.use_energy and options.raw_energy
    block = partial(_mfcc_block, options, vtln_warp)
    return _blockwise(wave, options, raw_energy, options.num_ceps, block, utterance)


# A block function turns (windowed and padded frames, raw log energy or None) into features.
BlockFunction = Callable[[Array, Array | None], Array]


def _blockwise(
    wave: Array, options: FrameOptions, raw_energy: bool, columns: int, block: BlockFunction, utterance: str
) -> Array:
    """Cut `wave` into frames, prepare them and apply `block`, some frames at a time."""
    xp = array_api_compat.array_namespace(wave)
    device = array_api_compat.device(wave)
    wave = xp.astype(wave, xp.float32, copy=False)
    frames = frames_of(wave, options)
    count = frames.shape[-2]
    step = _NUMPY_BLOCK_FRAMES if array_api_compat.is_numpy_namespace(xp) else _TORCH_BLOCK_FRAMES
    generator = dither_generator(options, utterance) if options.dither else None
    window = _on_device(xp, device, _window, options)
    parts = []
    for start in range(0, count, step):
        prepared, energy = _prepare(xp, frames[..., start : start + step, :], window, options, raw_energy, generator)
        parts.append(block(prepared, energy))
    if not parts:
        return xp.zeros((*wave.shape[:-1], 0, columns), dtype=xp.float32, device=device)
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-2)


def _prepare(
    xp: Array,
    frames: Array,
    window: Array,
    options: FrameOptions,
    raw_energy: bool,
    generator: np.random.Generator | None,
) -> tuple[Array, Array | None]:
    """Scale, dither, centre, pre-emphasise, window and pad frames (..., frames, window_size); also their log energy."""
    frames = frames * AMPLITUDE
    if generator is not None:
        noise = generator.standard_normal(frames.shape, dtype=np.float32) * np.float32(options.dither)
        frames = frames + xp.asarray(noise, device=array_api_compat.device(frames))
    if options.remove_dc_offset:
        frames -= xp.mean(frames, axis=-1, keepdims=True)
    energy = _log_energy(xp, frames) if raw_energy else None
    if options.preemphasis_coefficient:
        coefficient = options.preemphasis_coefficient
        first = frames[..., :1] * (1.0 - coefficient)
        frames = xp.concat((first, frames[..., 1:] - coefficient * frames[..., :-1]), axis=-1)
    return frames * window, energy


def _log_energy(xp: Array, frames: Array) -> Array:
    """Natural logarithm of the sum of squares of each frame, floored: (..., frames, 1)."""
    return xp.log(xp.clip(xp.linalg.vecdot(frames, frames)[..., None], ENERGY_FLOOR, None))


def _spectrum(xp: Array, frames: Array, size: int) -> Array:
    """Fourier transform of real frames zero-padded to `size`: (..., frames, size / 2 + 1) complex64."""
    if array_api_compat.is_numpy_namespace(xp):
        # scipy transforms several frames at once in float32, numpy one by one.
        import scipy.fft

        return scipy.fft.rfft(frames, size, axis=-1)
    return xp.fft.rfft(frames, n=size, axis=-1)


def _power(xp: Array, frames: Array, size: int) -> Array:
    """Power spectrum of frames: (..., frames, size / 2 + 1)."""
    spectrum = _spectrum(xp, frames, size)
    real, imaginary = xp.real(spectrum), xp.imag(spectrum)
    return real * real + imaginary * imaginary


def _floored_energy(xp: Array, frames: Array, raw: Array | None, energy_floor: float) -> Array:
    """The log energy to put out: that before windowing if it was computed, floored as the user wants."""
    energy = _log_energy(xp, frames) if raw is None else raw
    return xp.clip(energy, math.log(energy_floor), None) if energy_floor > 0 else energy


def _spectrogram_block(options: SpectrogramOptions, frames: Array, raw: Array | None) -> Array:
    xp = array_api_compat.array_namespace(frames)
    size = options.padded_window_size
    if options.return_raw_fft:
        spectrum = _spectrum(xp, frames, size)
        pairs = xp.stack((xp.real(spectrum), xp.imag(spectrum)), axis=-1)
        ends = xp.stack((pairs[..., 0, 0], pairs[..., -1, 0]), axis=-1)
        inner = xp.reshape(pairs[..., 1:-1, :], (*frames.shape[:-1], size - 2))
        return xp.concat((ends, inner), axis=-1)
    logarithm = xp.log(xp.clip(_power(xp, frames, size), ENERGY_FLOOR, None))
    energy = _floored_energy(xp, frames, raw, options.energy_floor)
    return xp.concat((energy, logarithm[..., 1:]), axis=-1)


def _mel_energies(options: FbankOptions | MfccOptions, vtln_warp: float, xp: Array, power: Array) -> Array:
    """Filter-bank energies of a power or magnitude spectrum (the filters never use the Nyquist bin)."""
    bank = _on_device(xp, array_api_compat.device(power), mel_bank, options, vtln_warp)
    return power[..., :-1] @ xp.matrix_transpose(bank)


def _fbank_block(options: FbankOptions, vtln_warp: float, frames: Array, raw: Array | None) -> Array:
    xp = array_api_compat.array_namespace(frames)
    power = _power(xp, frames, options.padded_window_size)
    energies = _mel_energies(options, vtln_warp, xp, power if options.use_power else xp.sqrt(power))
    if options.use_log_fbank:
        energies = xp.log(xp.clip(energies, ENERGY_FLOOR, None))
    if not options.use_energy:
        return energies
    energy = _floored_energy(xp, frames, raw, options.energy_floor)
    return xp.concat((energies, energy) if options.htk_compat else (energy, energies), axis=-1)


def _mfcc_block(options: MfccOptions, vtln_warp: float, frames: Array, raw: Array | None) -> Array:
    xp = array_api_compat.array_namespace(frames)
    energies = _mel_energies(options, vtln_warp, xp, _power(xp, frames, options.padded_window_size))
    transform = _on_device(xp, array_api_compat.device(frames), _cepstral_transform, options)
    cepstra = xp.log(xp.clip(energies, ENERGY_FLOOR, None)) @ transform
    if options.use_energy:
        zeroth = _floored_energy(xp, frames, raw, options.energy_floor)
    else:
        zeroth = cepstra[..., :1] * (math.sqrt(2.0) if options.htk_compat else 1.0)
    return xp.concat((cepstra[..., 1:], zeroth) if options.htk_compat else (zeroth, cepstra[..., 1:]), axis=-1)


def _window(options: FrameOptions) -> np.ndarray:
    return window_function(options.window_type, options.window_size, options.blackman_coeff).astype(np.float32)


@lru_cache(maxsize=32)
def _cepstral_transform(options: MfccOptions) -> np.ndarray:
    """Orthonormal DCT-II of log mel energies times the lifter: (num_mel_bins, num_ceps) float32."""
    bins = options.num_mel_bins
    order = np.arange(options.num_ceps)
    transform = np.sqrt(2.0 / bins) * np.cos(np.pi / bins * (np.arange(bins)[:, None] + 0.5) * order)
    transform[:, 0] = np.sqrt(1.0 / bins)
    if options.cepstral_lifter:
        transform *= 1.0 + 0.5 * options.cepstral_lifter * np.sin(np.pi * order / options.cepstral_lifter)
    return transform.astype(np.float32)


def _on_device(xp: Array, device: Array, make: Callable[..., np.ndarray], *arguments: object) -> Array:
    """The constant `make(*arguments)` as an array of the namespace `xp`."""
    constant = make(*arguments)
    return constant if array_api_compat.is_numpy_namespace(xp) else xp.asarray(constant, device=device)
