"""Features by their definitions, frame by frame in float64: slow, and written to be checked by eye."""

import math

import numpy as np

from spkid.features import FbankOptions, FrameOptions, MfccOptions, SpectrogramOptions

EPSILON = 2.0**-23


def speech_like(samples: int, seed: int = 0) -> np.ndarray:
    """Noise with a slope and an envelope, a hum and an offset, float32 in +-1: energy in every bin."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.standard_normal(samples + 7), 0.6 ** np.arange(8), "valid")
    time = np.arange(samples)
    wave = 0.05 * noise * (1.2 + np.sin(time / 900)) + 0.02 * np.sin(time / 30) + 0.01
    return wave.astype(np.float32)


def frame_starts(samples: int, options: FrameOptions) -> list[int]:
    size, shift = options.window_size, options.window_shift
    if options.snip_edges:
        return [start for start in range(0, samples, shift) if start + size <= samples]
    return [frame * shift + shift // 2 - size // 2 for frame in range((samples + shift // 2) // shift)]


def frame_samples(wave: np.ndarray, start: int, size: int) -> np.ndarray:
    values = []
    for index in range(start, start + size):
        while not 0 <= index < len(wave):
            index = -1 - index if index < 0 else 2 * len(wave) - 1 - index
        values.append(float(wave[index]) * 32768.0)
    return np.array(values)


def window_value(kind: str, i: int, size: int, blackman: float) -> float:
    angle = 2 * math.pi * i / (size - 1)
    return {
        "hamming": 0.54 - 0.46 * math.cos(angle),
        "hanning": 0.5 - 0.5 * math.cos(angle),
        "povey": (0.5 - 0.5 * math.cos(angle)) ** 0.85,
        "rectangular": 1.0,
        "sine": math.sin(angle / 2),
        "blackman": blackman - 0.5 * math.cos(angle) + (0.5 - blackman) * math.cos(2 * angle),
    }[kind]


def spectrum_and_energy(wave: np.ndarray, start: int, options: FrameOptions, raw: bool) -> tuple[np.ndarray, float]:
    size = options.window_size
    frame = frame_samples(wave, start, size)
    if options.remove_dc_offset:
        frame = frame - sum(frame) / size
    energy = sum(frame * frame)
    previous = np.concatenate((frame[:1], frame[:-1]))
    frame = frame - options.preemphasis_coefficient * previous
    frame = frame * [window_value(options.window_type, i, size, options.blackman_coeff) for i in range(size)]
    if not raw:
        energy = sum(frame * frame)
    padded = size
    if options.round_to_power_of_two:
        padded = 1
        while padded < size:
            padded *= 2
    return np.fft.rfft(frame, padded), math.log(max(energy, EPSILON))


def mel(frequency: float) -> float:
    return 1127.0 * math.log(1 + frequency / 700.0)


def warp_frequency(frequency: float, warp: float, low: float, high: float, inner: tuple[float, float]) -> float:
    """Kaldi's VtlnWarpFreq: three straight lines from (low, low) to (high, high), the middle one f / warp."""
    if not low <= frequency <= high:
        return frequency
    left, right = inner[0] * max(1.0, warp), inner[1] * min(1.0, warp)
    if frequency < left:
        return low + (left / warp - low) / (left - low) * (frequency - low)
    if frequency < right:
        return frequency / warp
    return high + (high - right / warp) / (high - right) * (frequency - high)


def mel_energies(power: np.ndarray, options: FbankOptions | MfccOptions, warp: float) -> list[float]:
    rate, bins = options.sample_frequency, options.num_mel_bins
    low = options.low_freq
    high = options.high_freq if options.high_freq > 0 else rate / 2 + options.high_freq
    inner = options.vtln_low, options.vtln_high if options.vtln_high > 0 else rate / 2 + options.vtln_high
    energies = []
    for number in range(bins):
        edges = []
        for step in range(3):
            edge = mel(low) + (number + step) * (mel(high) - mel(low)) / (bins + 1)
            frequency = 700.0 * (math.exp(edge / 1127.0) - 1)
            edges.append(mel(frequency if warp == 1.0 else warp_frequency(frequency, warp, low, high, inner)))
        left, center, right = edges
        energy = 0.0
        for i in range(len(power) - 1):
            position = mel(i * rate / 2 / (len(power) - 1))
            if left < position <= center:
                energy += (position - left) / (center - left) * power[i]
            elif center < position < right:
                energy += (right - position) / (right - center) * power[i]
        energies.append(energy)
    return energies


def floored(energy: float, energy_floor: float) -> float:
    return max(energy, math.log(energy_floor)) if energy_floor > 0 else energy


def spectrogram(wave: np.ndarray, options: SpectrogramOptions) -> np.ndarray:
    rows = []
    for start in frame_starts(len(wave), options):
        spectrum, energy = spectrum_and_energy(wave, start, options, options.raw_energy)
        if options.return_raw_fft:
            row = [spectrum[0].real, spectrum[-1].real]
            for value in spectrum[1:-1]:
                row += [value.real, value.imag]
        else:
            row = [math.log(max(abs(value) ** 2, EPSILON)) for value in spectrum]
            row[0] = floored(energy, options.energy_floor)
        rows.append(row)
    return np.array(rows)


def fbank(wave: np.ndarray, options: FbankOptions, warp: float = 1.0) -> np.ndarray:
    rows = []
    for start in frame_starts(len(wave), options):
        spectrum, energy = spectrum_and_energy(wave, start, options, options.raw_energy)
        row = mel_energies(abs(spectrum) ** (2 if options.use_power else 1), options, warp)
        if options.use_log_fbank:
            row = [math.log(max(value, EPSILON)) for value in row]
        if options.use_energy:
            energy = floored(energy, options.energy_floor)
            row = [*row, energy] if options.htk_compat else [energy, *row]
        rows.append(row)
    return np.array(rows)


def mfcc(wave: np.ndarray, options: MfccOptions, warp: float = 1.0) -> np.ndarray:
    rows, bins = [], options.num_mel_bins
    for start in frame_starts(len(wave), options):
        spectrum, energy = spectrum_and_energy(wave, start, options, options.raw_energy)
        logs = [math.log(max(value, EPSILON)) for value in mel_energies(abs(spectrum) ** 2, options, warp)]
        row = []
        for k in range(options.num_ceps):
            scale = math.sqrt((1 if k == 0 else 2) / bins)
            value = scale * sum(logs[n] * math.cos(math.pi * k * (n + 0.5) / bins) for n in range(bins))
            if options.cepstral_lifter:
                value *= 1 + options.cepstral_lifter / 2 * math.sin(math.pi * k / options.cepstral_lifter)
            row.append(value)
        if options.use_energy:
            row[0] = floored(energy, options.energy_floor)
        if options.htk_compat:
            row = [*row[1:], row[0] if options.use_energy else row[0] * math.sqrt(2)]
        rows.append(row)
    return np.array(rows)
