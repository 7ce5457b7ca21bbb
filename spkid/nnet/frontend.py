"""Front ends inside networks that take waveforms (batch, samples) of 16 kHz, float in +-1.

The spectrogram of the VoxCeleb trainer, RawNet3's learned band passes, and SpeechBrain's filter banks, which imported
ECAPA-TDNNs expect. They compute in float32 (float64 stays float64) whatever autocast says.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.pooling import full_precision
from spkid.nnet.registry import unknown_name

SAMPLE_RATE = 16000
AMPLITUDES = {"unit": 1.0, "int16": 32768.0}  # what a network was trained on: values in +-1 or of 16-bit integers
WINDOWS = ("hamming", "hann")
PREEMPHASIS = 0.97
LOG_FLOOR = 1.0e-6


def check_samples(x: torch.Tensor, min_samples: int) -> None:
    """Refuse waveforms that a network cannot take, (batch, samples): ValueError with both numbers."""
    if x.dim() != 2:
        raise ValueError(f"the network expects waveforms (batch, samples) but was given {tuple(x.shape)}")
    if x.shape[1] < min_samples:
        raise ValueError(f"the network needs at least {min_samples} samples but was given {x.shape[1]}")


def amplitude_factor(amplitude: str) -> float:
    """By what waveforms in +-1 are multiplied."""
    if amplitude not in AMPLITUDES:
        raise unknown_name("amplitude", amplitude, AMPLITUDES)
    return AMPLITUDES[amplitude]


def preemphasize(x: torch.Tensor) -> torch.Tensor:
    """x[n] - 0.97 x[n-1], (batch, samples) -> the same; before the first sample the second one is assumed."""
    return x - PREEMPHASIS * torch.cat([x[:, 1:2], x[:, :-1]], dim=1)


class LogMelSpectrogram(nn.Module):
    """(batch, samples) -> (batch, n_mels, 1 + samples // 160), each band normalised over time; without gradient.

    512-point power spectra of windows of 400 samples every 160, centred and mirrored at the ends; triangles on HTK's
    mel scale from 0 to 8000 Hz, not normalised; natural logarithm of (. + 1e-6) if `log_input`; then mean 0 and
    variance 1 (biased, + 1e-5) in each band. `window` and `filter_bank` are kept with the weights, because published
    files bring their own.
    """

    min_samples = 400

    def __init__(
        self, n_mels: int, window: str, preemphasis: bool = False, log_input: bool = True, amplitude: str = "unit"
    ) -> None:
        from torchaudio.functional import melscale_fbanks

        super().__init__()
        if window not in WINDOWS:
            raise unknown_name("window", window, WINDOWS)
        self.preemphasis = preemphasis
        self.log_input = log_input
        self.factor = amplitude_factor(amplitude)
        samples = torch.hamming_window(400) if window == "hamming" else torch.hann_window(400)
        self.register_buffer("window", samples)
        self.register_buffer("filter_bank", melscale_fbanks(257, 0.0, SAMPLE_RATE / 2, n_mels, SAMPLE_RATE))

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            bands = self.bands(x)
            variance, mean = torch.var_mean(bands, dim=2, unbiased=False, keepdim=True)
            return (bands - mean) / (variance + 1.0e-5).sqrt()

    def bands(self, x: torch.Tensor) -> torch.Tensor:
        """Before the normalisation of each band."""
        check_samples(x, self.min_samples)
        x = full_precision(x) * self.factor
        if self.preemphasis:
            x = preemphasize(x)
        spectrum = torch.stft(x, 512, 160, 400, self.window, center=True, pad_mode="reflect", return_complex=True)
        bands = (spectrum.abs().square().mT @ self.filter_bank).mT + LOG_FLOOR
        return bands.log() if self.log_input else bands


class SincFilterBank(nn.Module):
    """Band passes with learned limits as cosine and sine pairs: (batch, samples) -> (batch, num_filters, frames).

    Pariente, Cornell, Deleforge, Vincent, "Filterbank design for end-to-end speech separation", ICASSP 2020, after
    Ravanelli, Bengio, "Speaker recognition from raw waveform with SincNet", SLT 2018. frames = 1 + (samples - kernel)
    // stride. low_hz and band_hz (num_filters / 2, 1) are offsets to 50 Hz, their signs do not count.
    """

    MIN_LOW = 50.0  # Hz
    MIN_BAND = 50.0
    FIRST = 30.0  # the lowest limit at the start of training, before MIN_LOW is added

    def __init__(self, num_filters: int = 256, kernel: int = 251, stride: int = 10) -> None:
        super().__init__()
        self.stride = stride
        half = kernel // 2
        last = SAMPLE_RATE / 2 - (self.MIN_LOW + self.MIN_BAND)
        mel = torch.linspace(hertz_to_mel(self.FIRST), hertz_to_mel(last), num_filters // 2 + 1, dtype=torch.float64)
        limits = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
        self.low_hz = nn.Parameter(limits[:-1].float().unsqueeze(1))
        self.band_hz = nn.Parameter(limits.diff().float().unsqueeze(1))
        window = torch.hamming_window(kernel, periodic=False, dtype=torch.float64)[:half]
        phase = 2.0 * math.pi * torch.arange(-half, 0, dtype=torch.float64) / SAMPLE_RATE
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("phase", phase.float().unsqueeze(0), persistent=False)

    def filters(self) -> torch.Tensor:
        """The cosine filters, then the sine filters, (num_filters, 1, kernel)."""
        low = self.MIN_LOW + self.low_hz.abs()
        high = (low + self.MIN_BAND + self.band_hz.abs()).clamp(self.MIN_LOW, SAMPLE_RATE / 2)
        band = high - low
        scale = self.window / (self.phase / 2.0)
        even = ((high @ self.phase).sin() - (low @ self.phase).sin()) * scale
        odd = ((low @ self.phase).cos() - (high @ self.phase).cos()) * scale
        cosine = torch.cat([even, 2.0 * band, even.flip(1)], dim=1)
        sine = torch.cat([odd, torch.zeros_like(band), -odd.flip(1)], dim=1)
        return (torch.cat([cosine, sine]) / (2.0 * torch.cat([band, band]))).unsqueeze(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv1d(x.unsqueeze(1), self.filters(), stride=self.stride)


def hertz_to_mel(hertz: float) -> float:
    """HTK's mel scale."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


class SpeechBrainFbank(nn.Module):
    """SpeechBrain's filter banks in dB, (batch, samples) -> (batch, frames, n_mels), frames = 1 + samples // 160.

    400-point power spectra of Hamming windows of 400 samples every 160, centred, zeros beyond the ends; triangles that
    are symmetric in Hz (the distance of two neighbouring limits on the mel scale to both sides); 10 log10 of at least
    1e-10, at most 80 dB below the utterance's maximum.
    """

    TOP_DB = 80.0

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        mel = torch.linspace(0.0, hertz_to_mel(SAMPLE_RATE / 2), n_mels + 2)
        hertz = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
        centre, width = hertz[1:-1], hertz.diff()[:-1]
        slope = (torch.linspace(0.0, SAMPLE_RATE / 2, 201).unsqueeze(1) - centre) / width
        self.register_buffer("window", torch.hamming_window(400), persistent=False)
        self.register_buffer("filter_bank", torch.minimum(slope + 1.0, 1.0 - slope).clamp(min=0.0), persistent=False)

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_samples(x, 1)
        with torch.autocast(x.device.type, enabled=False):
            x = full_precision(x)
            spectrum = torch.stft(x, 400, 160, 400, self.window, center=True, pad_mode="constant", return_complex=True)
            decibels = 10.0 * (spectrum.abs().square().mT @ self.filter_bank).clamp(min=1.0e-10).log10()
            return torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - self.TOP_DB)
