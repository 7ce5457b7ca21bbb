"""Audio files for tests: sound ones and broken ones."""

import io
import struct
from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float = 1.0, rate: int = 16000, channels: int = 1, amplitude: int = 8000) -> np.ndarray:
    """(samples, channels) int16: another frequency in each channel."""
    times = np.arange(round(seconds * rate)) / rate
    waves = [amplitude * np.sin(2 * np.pi * 220 * (channel + 1) * times + 0.3) for channel in range(channels)]
    return np.stack(waves, axis=1).astype(np.int16)


def wav_bytes(samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> bytes:
    """A WAV file in memory."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV", subtype=subtype)
    return stream.getvalue()


def streamed(data: bytes, riff: int, length: int) -> bytes:
    """A WAV as a program writes it into a pipe: with sizes that say nothing."""
    assert data[36:40] == b"data"
    return data[:4] + struct.pack("<I", riff) + data[8:40] + struct.pack("<I", length) + data[44:]


def write(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str | None = None) -> str:
    """Writes in the format of the suffix; returns the path as text."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return str(path)


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Kind -> a file that no program may accept, and words that must be in what is said about it."""
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal(48000) * 3000).astype(np.int16)
    flac = folder / "noise.flac"
    soundfile.write(flac, noise, 16000)
    flac_bytes = flac.read_bytes()
    damaged = bytearray(flac_bytes)
    damaged[len(damaged) // 2] ^= 0xFF
    not_a_number = noise / np.float32(32768)
    not_a_number[1234] = np.nan
    infinite = noise / np.float32(32768)
    infinite[7] = np.inf
    wav = wav_bytes(noise)
    contents = {
        "empty.wav": (b"", "is empty"),
        "truncated.wav": (wav[:20001], "truncated"),
        "headless.wav": (wav[:30], "breaks off before the first sample"),
        "streamed.wav": (streamed(wav, 0x7FFFF024, 0x7FFFF000), "does not say how long it is"),
        "truncated.flac": (flac_bytes[: len(flac_bytes) // 2], "truncated or corrupt"),
        "damaged.flac": (bytes(damaged), "truncated or corrupt"),
        "headless.flac": (flac_bytes[:50], "corrupt"),
        "text.wav": (b"this is no audio\n" * 10, "cannot be read as audio"),
        "sphere.sph": (b"NIST_1A\n   1024\n" + bytes(2000), "sph2pipe -f wav"),
        "nan.wav": (wav_bytes(not_a_number, subtype="FLOAT"), "sample 1234 is NaN"),
        "infinite.wav": (wav_bytes(infinite, subtype="FLOAT"), "sample 7 is NaN or infinite"),
        "no_samples.wav": (wav_bytes(noise[:0]), "holds no samples"),
    }
    broken = {}
    for name, (data, words) in contents.items():
        path = folder / name
        path.write_bytes(data)
        broken[name] = path, words
    broken["missing.wav"] = folder / "missing.wav", "No such file"
    return broken


BROKEN = (
    "empty.wav",
    "truncated.wav",
    "headless.wav",
    "streamed.wav",
    "truncated.flac",
    "damaged.flac",
    "headless.flac",
    "text.wav",
    "sphere.sph",
    "nan.wav",
    "infinite.wav",
    "no_samples.wav",
    "missing.wav",
)
