"""Spectrogram, filter-bank and cepstral features of whole utterances, for NumPy and torch arrays alike.

The definitions are Kaldi's (feat/feature-{spectrogram,fbank,mfcc}.cc); the arithmetic is float32 on blocks of frames
that stay in the processor's cache. torch itself is not imported: a tensor brings its own namespace. Under torch's
autocast its matrix products would lose digits: call these functions outside of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import array_api_compat
import numpy as np

from spkid.features.frames import (
    AMPLITUDE,
    ENERGY_FLOOR,
    Array,
    dither_generator,
    frames_of,
    num_frames,
    window_function,
)
from spkid.features.mel import mel_bank
from spkid.features.options import FbankOptions, FrameOptions, MfccOptions, SpectrogramOptions

# Frames worked on at once: on a processor few enough that they stay in a second-level cache (torch needs more of them,
# because each of its operations costs microseconds); a GPU wants them all.
_NUMPY_BLOCK_FRAMES = 192
_TORCH_BLOCK_FRAMES = 1024
_GPU_BLOCK_FRAMES = 1 << 16
# Neighbouring filters see few bins of the spectrum: a matrix product for each so many filters skips most zeros.
_NUMPY_BAND_FILTERS = 16

# Turns windowed, padded frames and their log energy before windowing, if that was asked for, into features.
_Block = Callable[[Array, "Array | None"], Array]


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
    xp = array_api_compat.array_namespace(wave)

    def block(frames: Array, raw: Array | None) -> Array:
        spectrum = _spectrum(xp, frames)
        if options.return_raw_fft:
            return _packed(xp, spectrum)
        logarithm = xp.log(_floored(xp, _power(xp, spectrum), ENERGY_FLOOR))
        return xp.concat((_energy(xp, frames, raw, options.energy_floor), logarithm[..., 1:]), axis=-1)

    columns = options.padded_window_size if options.return_raw_fft else options.padded_window_size // 2 + 1
    return _blockwise(xp, wave, options, options.raw_energy, columns, block, utterance)


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
    xp = array_api_compat.array_namespace(wave)
    bands = _mel_bands(xp, wave, options, vtln_warp)

    def block(frames: Array, raw: Array | None) -> Array:
        power = _power(xp, _spectrum(xp, frames))
        energies = _mel_energies(xp, power if options.use_power else xp.sqrt(power), bands)
        if options.use_log_fbank:
            energies = xp.log(_floored(xp, energies, ENERGY_FLOOR))
        if not options.use_energy:
            return energies
        energy = _energy(xp, frames, raw, options.energy_floor)
        return xp.concat((energies, energy) if options.htk_compat else (energy, energies), axis=-1)

    columns = options.num_mel_bins + options.use_energy
    return _blockwise(xp, wave, options, options.use_energy and options.raw_energy, columns, block, utterance)


def mfcc(wave: Array, options: MfccOptions | None = None, vtln_warp: float = 1.0, *, utterance: str = "") -> Array:
    """Mel-frequency cepstral coefficients; column 0 holds the log energy if use_energy.

    Args, Raises: as `fbank`, with the options of Kaldi's `compute-mfcc-feats`.

    Returns:
        ([batch,] frames, num_ceps) float32.
    """
    options = options or MfccOptions()
    xp = array_api_compat.array_namespace(wave)
    bands = _mel_bands(xp, wave, options, vtln_warp)
    transform = _constant(xp, wave, _cepstral_transform(options))

    def block(frames: Array, raw: Array | None) -> Array:
        energies = _mel_energies(xp, _power(xp, _spectrum(xp, frames)), bands)
        cepstra = xp.log(_floored(xp, energies, ENERGY_FLOOR)) @ transform
        if options.use_energy:
            zeroth = _energy(xp, frames, raw, options.energy_floor)
        else:
            zeroth = cepstra[..., :1] * (math.sqrt(2.0) if options.htk_compat else 1.0)
        others = cepstra[..., 1:]
        return xp.concat((others, zeroth) if options.htk_compat else (zeroth, others), axis=-1)

    raw_energy = options.use_energy and options.raw_energy
    return _blockwise(xp, wave, options, raw_energy, options.num_ceps, block, utterance)


def _blockwise(
    xp: Array, wave: Array, options: FrameOptions, raw_energy: bool, columns: int, block: _Block, utterance: str
) -> Array:
    """Cut `wave` into frames, prepare them and apply `block`, some frames at a time."""
    wave = xp.astype(wave, xp.float32, copy=False)
    count = num_frames(wave.shape[-1], options)
    output = xp.empty((*wave.shape[:-1], count, columns), dtype=xp.float32, device=array_api_compat.device(wave))
    prepare = _preparation(xp, wave, options, raw_energy, utterance)
    block_frames = _NUMPY_BLOCK_FRAMES
    if not array_api_compat.is_numpy_namespace(xp):
        block_frames = _TORCH_BLOCK_FRAMES if wave.device.type == "cpu" else _GPU_BLOCK_FRAMES
    step = max(block_frames // max(math.prod(wave.shape[:-1]), 1), 1)
    for start in range(0, count, step):
        stop = min(start + step, count)
        output[..., start:stop, :] = block(*prepare(frames_of(wave, options, start, stop)))
    return output


def _preparation(
    xp: Array, wave: Array, options: FrameOptions, raw_energy: bool, utterance: str
) -> Callable[[Array], tuple[Array, Array | None]]:
    """What is done to frames (..., frames, window_size) before their Fourier transform.

    They are scaled, dithered, centred, pre-emphasised, windowed and zero-padded, in this order; the log energy is
    taken after centring.
    """
    size, coefficient = options.window_size, options.preemphasis_coefficient
    window = window_function(options.window_type, size, options.blackman_coeff).astype(np.float32)
    padding = options.padded_window_size - size
    # Pre-emphasis takes the sample before the first to be like the first.
    head = float(window[0]) * (1.0 - coefficient)
    body = _constant(xp, wave, window[1:])
    ones = _constant(xp, wave, np.ones(size, np.float32))
    generator = dither_generator(options, utterance) if options.dither else None

    def prepare(frames: Array) -> tuple[Array, Array | None]:
        frames = frames * AMPLITUDE
        if generator is not None:
            noise = generator.standard_normal(frames.shape, dtype=np.float32) * np.float32(options.dither)
            frames = frames + _constant(xp, wave, noise)
        if options.remove_dc_offset:
            # Divided after summing: the mean of equal samples is then exactly their value, and nothing is left of them.
            frames = frames - (frames @ ones / size)[..., None]
        energy = _log_energy(xp, frames) if raw_energy else None
        rest = frames[..., 1:]
        if coefficient:
            rest = rest - coefficient * frames[..., :-1]
        parts = [frames[..., :1] * head, rest * body]
        if padding:
            parts.append(
                xp.zeros((*frames.shape[:-1], padding), dtype=xp.float32, device=array_api_compat.device(wave))
            )
        return xp.concat(parts, axis=-1), energy

    return prepare


def _spectrum(xp: Array, frames: Array) -> Array:
    """Fourier transform of real frames (..., size): (..., size / 2 + 1) complex64."""
    if array_api_compat.is_numpy_namespace(xp):
        # scipy transforms several frames at once, numpy one by one.
        import scipy.fft

        return scipy.fft.rfft(frames, axis=-1, overwrite_x=True)
    return xp.fft.rfft(frames, axis=-1)


def _power(xp: Array, spectrum: Array) -> Array:
    real, imaginary = xp.real(spectrum), xp.imag(spectrum)
    return real * real + imaginary * imaginary


def _packed(xp: Array, spectrum: Array) -> Array:
    """A spectrum as Kaldi packs it into as many real numbers as the frame had: re 0, re N/2, re 1, im 1, ..."""
    real, imaginary = xp.real(spectrum), xp.imag(spectrum)
    even = real[..., :-1]
    odd = xp.concat((real[..., -1:], imaginary[..., 1:-1]), axis=-1)
    return xp.reshape(xp.stack((even, odd), axis=-1), (*even.shape[:-1], 2 * even.shape[-1]))


def _floored(xp: Array, values: Array, floor: float) -> Array:
    # clip() would do, but in NumPy it takes longer than all else that is done to a short utterance.
    return xp.maximum(values, xp.asarray(floor, dtype=xp.float32, device=array_api_compat.device(values)))


def _log_energy(xp: Array, frames: Array) -> Array:
    """Natural logarithm of the sum of squares of each frame, floored: (..., frames, 1)."""
    return xp.log(_floored(xp, xp.linalg.vecdot(frames, frames)[..., None], ENERGY_FLOOR))


def _energy(xp: Array, frames: Array, raw: Array | None, energy_floor: float) -> Array:
    """The log energy to put out: that before windowing if it was computed, floored as the user wants."""
    energy = _log_energy(xp, frames) if raw is None else raw
    return _floored(xp, energy, math.log(energy_floor)) if energy_floor > 0 else energy


def _mel_bands(
    xp: Array, wave: Array, options: FbankOptions | MfccOptions, vtln_warp: float
) -> list[tuple[int, int, Array]]:
    """The mel filters in groups: (first bin, end bin, weights (bins, filters)) of the spectrum that each group sees."""
    width = _NUMPY_BAND_FILTERS if array_api_compat.is_numpy_namespace(xp) else options.num_mel_bins
    return [(first, end, _constant(xp, wave, weights)) for first, end, weights in _bands(options, vtln_warp, width)]


@lru_cache(maxsize=64)
def _bands(
    options: FbankOptions | MfccOptions, vtln_warp: float, width: int
) -> tuple[tuple[int, int, np.ndarray], ...]:
    bank = mel_bank(options, vtln_warp)
    bands = []
    for start in range(0, len(bank), width):
        group = bank[start : start + width]
        used = np.flatnonzero(group.any(axis=0))
        first, end = int(used[0]), int(used[-1]) + 1
        bands.append((first, end, np.ascontiguousarray(group[:, first:end].T)))
    return tuple(bands)


def _mel_energies(xp: Array, power: Array, bands: list[tuple[int, int, Array]]) -> Array:
    return xp.concat([power[..., first:end] @ weights for first, end, weights in bands], axis=-1)


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


def _constant(xp: Array, wave: Array, constant: np.ndarray) -> Array:
    """`constant` as an array of the kind, and on the device, of `wave`."""
    return constant if array_api_compat.is_numpy_namespace(xp) else xp.asarray(constant, device=wave.device)
