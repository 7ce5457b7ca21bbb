"""Options of feature extraction: Kaldi's names, Kaldi's defaults (but for dither), checked when they are made.

Each class is frozen, so an options object can be a key of a cache and can be stored beside a model. Sources:
feat/feature-window.h, feat/mel-computations.h, feat/feature-{fbank,mfcc,spectrogram}.h, feat/feature-functions.h and
ivector/voice-activity-detection.h of Kaldi.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spkid.kaldi import InputError
from spkid.kaldi.options import option

WINDOW_TYPES = ("hamming", "hanning", "povey", "rectangular", "sine", "blackman")


def require(condition: bool, message: str) -> None:
    """Raise InputError with the sentence `message` unless `condition` holds."""
    if not condition:
        raise InputError(message)


@dataclass(frozen=True)
class FrameOptions:
    """How a wave is cut into frames and what happens to a frame before its Fourier transform."""

    sample_frequency: float = option(16000.0, "Sample frequency of the waveform in Hz (must match the file)")
    frame_length: float = option(25.0, "Frame length in milliseconds")
    frame_shift: float = option(10.0, "Frame shift in milliseconds")
    preemphasis_coefficient: float = option(0.97, "Coefficient of pre-emphasis, 0 to 1")
    remove_dc_offset: bool = option(True, "Subtract the mean of each frame from it")
    dither: float = option(
        0.0,
        "Standard deviation of the Gaussian noise added to each frame, on the scale of 16-bit samples. Kaldi's default "
        "is 1.0; here it is 0.0, so that the same audio always gives the same features; digital silence is floored",
    )
    dither_seed: int = option(
        0, "Seed of the dither; the noise of an utterance depends on this and its id, not on its place in the list"
    )
    window_type: str = option("povey", f"Type of window ({'|'.join(WINDOW_TYPES)})")
    blackman_coeff: float = option(0.42, "Constant coefficient of the generalised Blackman window")
    round_to_power_of_two: bool = option(True, "Zero-pad the frame to a power of two before the Fourier transform")
    snip_edges: bool = option(
        True,
        "If true, output only frames that fit completely in the file; if false, the number of frames depends on the "
        "frame shift alone and the wave is reflected at its ends",
    )
    allow_downsample: bool = option(False, "Accept a higher sample frequency in the file and resample it")
    allow_upsample: bool = option(False, "Accept a lower sample frequency in the file and resample it")
    max_feature_vectors: int = option(
        -1, "Accepted for Kaldi's configuration files; it bounds the memory of on-line extraction, which this is not"
    )

    def __post_init__(self) -> None:
        require(
            0 < self.sample_frequency < math.inf, f"--sample-frequency must be positive, not {self.sample_frequency:g}"
        )
        require(
            self.window_type in WINDOW_TYPES,
            f"--window-type must be one of {', '.join(WINDOW_TYPES)}, not '{self.window_type}'",
        )
        require(
            self.window_shift >= 1,
            f"--frame-shift={self.frame_shift:g} ms is less than one sample at {self.sample_frequency:g} Hz",
        )
        require(
            self.window_size >= 2,
            f"--frame-length={self.frame_length:g} ms is less than two samples at {self.sample_frequency:g} Hz",
        )
        require(
            self.padded_window_size % 2 == 0,
            f"a frame of {self.window_size} samples is odd: use --round-to-power-of-two=true or another --frame-length",
        )
        require(
            0 <= self.preemphasis_coefficient <= 1,
            f"--preemphasis-coefficient must lie in 0 to 1, not {self.preemphasis_coefficient:g}",
        )
        require(self.dither >= 0, f"--dither must not be negative, not {self.dither:g}")

    @property
    def window_shift(self) -> int:
        """Samples from one frame to the next."""
        return _samples(self.sample_frequency, self.frame_shift)

    @property
    def window_size(self) -> int:
        """Samples in a frame."""
        return _samples(self.sample_frequency, self.frame_length)

    @property
    def padded_window_size(self) -> int:
        """Samples in a frame as the Fourier transform sees it."""
        size = self.window_size
        return 1 << (size - 1).bit_length() if self.round_to_power_of_two else size


@dataclass(frozen=True)
class MelOptions:
    """The triangular mel filters."""

    num_mel_bins: int = option(23, "Number of triangular mel-frequency bins")
    low_freq: float = option(20.0, "Low cutoff frequency for mel bins in Hz")
    high_freq: float = option(0.0, "High cutoff frequency for mel bins in Hz (if <= 0, offset from Nyquist)")
    vtln_low: float = option(100.0, "Low inflection point in the piecewise linear VTLN warping function")
    vtln_high: float = option(
        -500.0, "High inflection point in the piecewise linear VTLN warping function (if negative, offset from Nyquist)"
    )
    debug_mel: bool = option(False, "Print the mel bins' offsets and weights")


@dataclass(frozen=True)
class SpectrogramOptions(FrameOptions):
    """Log power spectrum, the zeroth column replaced by the log energy."""

    energy_floor: float = option(0.0, "Floor on energy (absolute, not relative)")
    raw_energy: bool = option(True, "Compute energy before pre-emphasis and windowing")
    return_raw_fft: bool = option(
        False, "Return the complex spectrum instead, as Kaldi packs it: re 0, re N/2, re 1, im 1, re 2, im 2, ..."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_energy_floor(self.energy_floor)


@dataclass(frozen=True)
class FbankOptions(MelOptions, FrameOptions):
    """Log mel filter-bank energies."""

    use_energy: bool = option(False, "Add an extra column with the log energy, in front")
    energy_floor: float = option(0.0, "Floor on energy (absolute, not relative)")
    raw_energy: bool = option(True, "Compute energy before pre-emphasis and windowing")
    htk_compat: bool = option(
        False, "Put the energy last. Not enough to get features as HTK's: other parameters differ too"
    )
    use_log_fbank: bool = option(True, "Output log filter-bank energies; if false, linear ones")
    use_power: bool = option(True, "Use the power spectrum; if false, the magnitude spectrum")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_energy_floor(self.energy_floor)


@dataclass(frozen=True)
class MfccOptions(MelOptions, FrameOptions):
    """Mel-frequency cepstral coefficients."""

    num_ceps: int = option(13, "Number of cepstra (including C0)")
    use_energy: bool = option(True, "Use the log energy instead of C0")
    energy_floor: float = option(0.0, "Floor on energy (absolute, not relative)")
    raw_energy: bool = option(True, "Compute energy before pre-emphasis and windowing")
    cepstral_lifter: float = option(22.0, "Constant that controls the scaling of the cepstra; 0 for none")
    htk_compat: bool = option(
        False,
        "Put energy or C0 last, C0 times sqrt(2). Not enough to get features as HTK's: other parameters differ too",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_energy_floor(self.energy_floor)
        require(
            1 <= self.num_ceps <= self.num_mel_bins,
            f"--num-ceps={self.num_ceps} must lie in 1 to --num-mel-bins={self.num_mel_bins}",
        )


@dataclass(frozen=True)
class CmvnOptions:
    """Sliding-window cepstral mean (and variance) normalisation."""

    cmn_window: int = option(600, "Window in frames for the running mean")
    min_cmn_window: int = option(
        100, "Least window at the start of an utterance; used only if --center=false (a decoder's latency)"
    )
    norm_vars: bool = option(False, "Normalise the variance to one")
    center: bool = option(
        False, "Use a window centred on the current frame, as far as its ends allow; if false, a window to the left"
    )

    def __post_init__(self) -> None:
        require(self.cmn_window > 0, f"--cmn-window must be positive, not {self.cmn_window}")
        require(self.center or self.min_cmn_window > 0, f"--min-cmn-window must be positive, not {self.min_cmn_window}")


@dataclass(frozen=True)
class DeltaOptions:
    """Time derivatives by regression."""

    delta_order: int = option(2, "Order of delta computation")
    delta_window: int = option(2, "Half width of the regression: each order looks at 1 + 2 * this many frames")

    def __post_init__(self) -> None:
        require(0 <= self.delta_order < 1000, f"--delta-order must lie in 0 to 999, not {self.delta_order}")
        require(0 < self.delta_window < 1000, f"--delta-window must lie in 1 to 999, not {self.delta_window}")


@dataclass(frozen=True)
class VadOptions:
    """Energy-based voice activity decisions."""

    vad_energy_threshold: float = option(5.0, "Constant term of the threshold on the log energy (column 0)")
    vad_energy_mean_scale: float = option(
        0.5, "If this is s, and m the mean log energy of the utterance, the threshold is s*m + vad-energy-threshold"
    )
    vad_frames_context: int = option(0, "Frames of context on each side of the frame that is judged")
    vad_proportion_threshold: float = option(
        0.6, "Proportion of the frames in the context that must have more energy than the threshold"
    )

    def __post_init__(self) -> None:
        require(
            self.vad_energy_mean_scale >= 0,
            f"--vad-energy-mean-scale must not be negative, not {self.vad_energy_mean_scale:g}",
        )
        require(
            self.vad_frames_context >= 0,
            f"--vad-frames-context must not be negative, not {self.vad_frames_context}",
        )
        require(
            0 < self.vad_proportion_threshold < 1,
            f"--vad-proportion-threshold must lie between 0 and 1, not {self.vad_proportion_threshold:g}",
        )


def _samples(rate: float, milliseconds: float) -> int:
    # Kaldi holds both in float32 and multiplies in float64: 8.7 ms at 10 kHz are 86 samples, not 87.
    return int(float(np.float32(rate)) * 0.001 * float(np.float32(milliseconds)))


def _check_energy_floor(energy_floor: float) -> None:
    require(energy_floor >= 0, f"--energy-floor must not be negative, not {energy_floor:g}")
