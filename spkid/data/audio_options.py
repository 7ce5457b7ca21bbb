"""The kinds of features that can be computed from audio on the fly, their options, and their frames."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spkid.audio import WaveOptions
from spkid.data.sections import fill_options
from spkid.features import (
    FbankOptions,
    FrameOptions,
    MfccOptions,
    SpectrogramOptions,
    fbank,
    mfcc,
    num_frames,
    spectrogram,
)
from spkid.features.deep_speaker import deep_speaker_fbank, deep_speaker_frames
from spkid.kaldi import InputError

if TYPE_CHECKING:  # a configuration is checked without torch, which takes seconds to start
    import torch

    from spkid.nnet.frontend import SpeechBrainFbank


@dataclass(frozen=True)
class WaveformOptions:
    """Samples as they are, for networks with a front end of their own."""

    sample_frequency: float = 16000.0
    allow_downsample: bool = False
    allow_upsample: bool = False


@dataclass(frozen=True)
class SpeechBrainFbankOptions(WaveformOptions):
    """SpeechBrain's filter banks (`spkid.nnet.frontend.SpeechBrainFbank`), which are defined at 16 kHz."""

    n_mels: int = 80


@dataclass(frozen=True)
class DeepSpeakerFbankOptions(WaveformOptions):
    """Deep Speaker's filter banks (`spkid.features.deep_speaker`): linear energies, at 16 kHz; `cmn: frame` goes on."""

    n_mels: int = 64


AudioOptions = FbankOptions | MfccOptions | SpectrogramOptions | WaveformOptions

AUDIO_FEATURES: dict[str, type] = {
    "fbank": FbankOptions,
    "mfcc": MfccOptions,
    "spectrogram": SpectrogramOptions,
    "speechbrain_fbank": SpeechBrainFbankOptions,
    "deep_speaker_fbank": DeepSpeakerFbankOptions,
    "waveform": WaveformOptions,
}

# Options of compute-*-feats that feats.json records beside those of the features: of no consequence for features, ...
TABLE_OPTIONS = ("output_format", "min_duration", "write_utt2dur", "utt2spk")
# ... and those that are, as training on audio has them.
TOOL_DEFAULTS = {"subtract_mean": False, "channel": -1, "vtln_warp": 1.0, "vtln_map": ""}


def audio_options(kind: str, values: dict[str, Any] | None, source: str = "features.options") -> AudioOptions:
    """The options of a kind of features from a section of a configuration or a front end, checked.

    Raises InputError for a kind that cannot be computed here, an unknown option (named with the nearest known one), a
    value of the wrong type or out of range, and dither.
    """
    if kind not in AUDIO_FEATURES:
        raise InputError(f"features of type {kind} cannot be computed from audio; known: {', '.join(AUDIO_FEATURES)}")
    names = {field.name for field in dataclasses.fields(AUDIO_FEATURES[kind])}
    own = {}
    for key, value in (values or {}).items():
        if key in names or key not in (*TABLE_OPTIONS, *TOOL_DEFAULTS):
            own[key] = value
        elif TOOL_DEFAULTS.get(key, value) != value:
            raise InputError(f"{source}: features with {key}={value} cannot be computed from audio on the fly")
    options = fill_options(AUDIO_FEATURES[kind], own, source, kind)
    if getattr(options, "dither", 0.0):
        raise InputError(f"{source}.dither: must be 0; data.augmentation adds noise while training")
    if not 0 < options.sample_frequency < math.inf:
        raise InputError(f"{source}.sample_frequency: must be positive, not {options.sample_frequency:g}")
    if isinstance(options, (SpeechBrainFbankOptions, DeepSpeakerFbankOptions)) and options.sample_frequency != 16000:
        raise InputError(f"{source}.sample_frequency: {kind} is defined at 16000 Hz alone")
    return options


def recorded_options(options: AudioOptions) -> dict[str, Any]:
    """What `feats.json` would say of these options."""
    return dataclasses.asdict(options)


def feature_dims(options: AudioOptions) -> int:
    """Columns of the features; 1 of waveforms."""
    match options:
        case FbankOptions():
            return options.num_mel_bins + options.use_energy
        case MfccOptions():
            return options.num_ceps
        case SpectrogramOptions():
            size = options.padded_window_size
            return size if options.return_raw_fft else size // 2 + 1
        case SpeechBrainFbankOptions() | DeepSpeakerFbankOptions():
            return options.n_mels
        case _:
            return 1


def wave_options(options: AudioOptions) -> WaveOptions:
    """What the audio must be like."""
    return WaveOptions(
        rate=options.sample_frequency,
        allow_downsample=options.allow_downsample,
        allow_upsample=options.allow_upsample,
    )


def frame_options(options: AudioOptions) -> FrameOptions:
    """How decisions on speech (vad.scp) divide a wave into frames: the features' own frames, else Kaldi's 25/10 ms."""
    return options if isinstance(options, FrameOptions) else FrameOptions(sample_frequency=options.sample_frequency)


def crop_samples(options: AudioOptions, frames: int) -> int:
    """Samples of a crop of so many frames, for kinds whose frames do not lie inside the wave.

    A waveform crop is frames * 160 + 240 samples at 16 kHz, as in the VoxCeleb trainer; SpeechBrain's filter banks have
    a frame every 160 samples and one more; Deep Speaker's crop is (frames + 1) * 160 samples (25,760 for 160), of which
    the last frame sees half.
    """
    shift, size = frame_options(options).window_shift, frame_options(options).window_size
    if isinstance(options, SpeechBrainFbankOptions):
        return (frames - 1) * shift
    if isinstance(options, DeepSpeakerFbankOptions):
        return (frames + 1) * shift
    return frames * shift + size - shift


def count_frames(options: AudioOptions, samples: int) -> int:
    """Frames of the features of so many samples; of waveforms the samples themselves."""
    if isinstance(options, FrameOptions):
        return num_frames(samples, options)
    if isinstance(options, DeepSpeakerFbankOptions):
        return deep_speaker_frames(samples)
    return (
        1 + samples // frame_options(options).window_shift if isinstance(options, SpeechBrainFbankOptions) else samples
    )


def compute_features(waves: np.ndarray | torch.Tensor, options: AudioOptions) -> np.ndarray | torch.Tensor:
    """Features (..., frames, dims) of waves (..., samples) in +-1, NumPy or torch, of the kind the options are of."""
    if isinstance(options, SpeechBrainFbankOptions):
        return _speechbrain_features(waves, options)
    if isinstance(options, DeepSpeakerFbankOptions):
        return deep_speaker_fbank(waves, options.n_mels)
    kinds = {FbankOptions: fbank, MfccOptions: mfcc, SpectrogramOptions: spectrogram}
    return kinds[type(options)](waves, options)


def _speechbrain_features(
    waves: np.ndarray | torch.Tensor, options: SpeechBrainFbankOptions
) -> np.ndarray | torch.Tensor:
    import torch

    if isinstance(waves, np.ndarray):
        return _speechbrain_features(torch.from_numpy(np.atleast_2d(waves)), options).numpy().reshape(
            *waves.shape[:-1], -1, options.n_mels
        )  # fmt: skip
    return _speechbrain_module(options.n_mels, waves.device)(waves)


@lru_cache(maxsize=4)
def _speechbrain_module(n_mels: int, device: torch.device) -> SpeechBrainFbank:
    from spkid.nnet.frontend import SpeechBrainFbank

    return SpeechBrainFbank(n_mels).to(device)
