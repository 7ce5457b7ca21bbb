"""Reading audio: whatever a line of wav.scp may hold, whole or in segments, as float32 samples in +-1."""

from spkid.audio.recording import Recording
from spkid.audio.resampling import resample
from spkid.audio.wave import WAVE, Wave, write_wav
from spkid.audio.waves import ALL_CHANNELS, SegmentLimits, WaveOptions, read_audio, read_waves

__all__ = [
    "ALL_CHANNELS",
    "WAVE",
    "Recording",
    "SegmentLimits",
    "Wave",
    "WaveOptions",
    "read_audio",
    "read_waves",
    "resample",
    "write_wav",
]
