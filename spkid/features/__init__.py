"""Acoustic features of speech as Kaldi defines them, on NumPy arrays or torch tensors.

>>> from spkid.features import FbankOptions, fbank
>>> features = fbank(wave, FbankOptions(num_mel_bins=80))  # wave in +-1, 16 kHz -> (frames, 80) float32
"""

from spkid.features.cmvn import apply_cmvn_sliding, cmvn_window
from spkid.features.context import add_deltas, splice
from spkid.features.frames import num_frames
from spkid.features.options import (
    CmvnOptions,
    DeltaOptions,
    FbankOptions,
    FrameOptions,
    MelOptions,
    MfccOptions,
    SpectrogramOptions,
    VadOptions,
)
from spkid.features.spectral import fbank, mfcc, spectrogram
from spkid.features.vad import compute_vad, select_voiced

__all__ = [
    "CmvnOptions",
    "DeltaOptions",
    "FbankOptions",
    "FrameOptions",
    "MelOptions",
    "MfccOptions",
    "SpectrogramOptions",
    "VadOptions",
    "add_deltas",
    "apply_cmvn_sliding",
    "cmvn_window",
    "compute_vad",
    "fbank",
    "mfcc",
    "num_frames",
    "select_voiced",
    "spectrogram",
    "splice",
]
