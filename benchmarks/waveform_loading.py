"""Crops of audio with reverberation and noise: spkid against a plain loop, and against what a training step consumes.

    python benchmarks/waveform_loading.py

Every crop of 2 s is convolved with a room's response and gets noise. Two reading processes each; the plain loop is
what a first data set would be: soundfile reads the whole file, scipy.signal convolves, NumPy scales and adds. Then the
features of these crops, computed as a batch, against torchaudio.compliance.kaldi.fbank crop by crop; and the step of an
ECAPA-TDNN of 512 channels on 32 crops on one core. Goal: two processes give more crops than one core trains on.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import torch

from spkid.data.audio_batches import AudioBatches
from spkid.data.audio_options import audio_options, recorded_options, wave_options
from spkid.data.audio_source import AudioSource
from spkid.data.augment_room import simulate_response
from spkid.data.augmentation import build_augmentation
from spkid.data.batches import SpecAugment, iterate
from spkid.data.crops import Cropper
from spkid.data.device_features import DeviceFeatures
from spkid.data.front_end import FrontEnd
from spkid.data.plan import EpochPlan
from spkid.kaldi.tables import write_id_map
from spkid.nnet import build_loss, build_model

RATE, FRAMES, BATCH, BATCHES, WORKERS, ROUNDS = 16000, 200, 32, 24, 2, 3
UTTERANCES, NOISES, ROOMS = 200, 40, 60
OPTIONS = audio_options("fbank", {"num_mel_bins": 80})


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'crops with room and noise':<28} {'spkid':>12} {'plain loop':>12} {'ratio':>7}")
    for suffix in ("wav", "flac"):
        with tempfile.TemporaryDirectory() as folder:
            files = make_audio(Path(folder), suffix)
            ours, plain = measure(Path(folder), files)
        print(f"{suffix + ', 2 processes':<28} {ours:>10.0f}/s {plain:>10.0f}/s {ours / plain:>6.1f}x", flush=True)
    ours, theirs = measure_features()
    print(f"{'features, 1 core':<28} {ours:>10.0f}/s {theirs:>10.0f}/s {ours / theirs:>6.1f}x", flush=True)
    step = measure_step()
    print(f"ECAPA-TDNN C512 trains on {step:.1f} crops/s on one core", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        files = make_audio(Path(folder), "flac")
        loaded = measure(Path(folder), files)[0]
    print(f"two processes load {loaded / step:.0f} times that (FLAC)")


def make_audio(folder: Path, suffix: str) -> dict[str, list[str]]:
    """Data directories train, noise and rooms; returns their files."""
    rng = np.random.default_rng(0)
    kinds = {"train": (UTTERANCES, (3.0, 15.0)), "noise": (NOISES, (20.0, 60.0)), "rooms": (ROOMS, (0.0, 0.0))}
    files: dict[str, list[str]] = {}
    for kind, (count, seconds) in kinds.items():
        (folder / kind).mkdir()
        scripts = {}
        for number in range(count):
            if kind == "rooms":
                wave = 0.5 * simulate_response(rng, RATE, rng.uniform(0.3, 0.8), 3.0)
            else:
                wave = scipy.signal.lfilter([0.05], [1, -0.9], rng.normal(size=int(rng.uniform(*seconds) * RATE)))
            scripts[f"{kind}{number:03}"] = str(folder / kind / f"{number:03}.{suffix}")
            soundfile.write(scripts[f"{kind}{number:03}"], np.clip(wave, -1, 1), RATE)
        write_id_map(folder / kind / "wav.scp", scripts)
        files[kind] = list(scripts.values())
    return files


def measure(folder: Path, files: dict[str, list[str]]) -> tuple[float, float]:
    """Crops a second of ours and of the plain loop, each the best of its rounds."""
    cropper = Cropper(AudioSource(folder / "train", wave_options(OPTIONS)), OPTIONS)
    chain = build_augmentation(
        [{"name": "reverberation", "dir": str(folder / "rooms")}, {"name": "noise", "dir": str(folder / "noise")}], RATE
    )
    order = np.arange(BATCHES * BATCH).reshape(BATCHES, BATCH) % UTTERANCES
    plan = EpochPlan(order, np.arange(BATCHES * BATCH).reshape(BATCHES, BATCH), np.full(BATCHES, FRAMES))
    labels = np.zeros(UTTERANCES, int)
    ours = AudioBatches(cropper, labels, 1, plan, 0, 0, chain, SpecAugment(), 80)
    loader = torch.utils.data.DataLoader(PlainCrops(files), BATCH, num_workers=WORKERS)
    ways = [lambda: iterate(ours, range(BATCHES), WORKERS), lambda: loader]
    best = [0.0, 0.0]
    for _ in range(ROUNDS):
        for place, way in enumerate(ways):
            batches = iter(way())
            next(batches)  # the processes have started
            begin, count = time.perf_counter(), 0
            for _ in batches:
                count += BATCH
            best[place] = max(best[place], count / (time.perf_counter() - begin))
    return best[0], best[1]


class PlainCrops(torch.utils.data.Dataset):
    """The plain loop, a crop an item."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self.files = files

    def __len__(self) -> int:
        return BATCHES * BATCH

    def __getitem__(self, number: int) -> torch.Tensor:
        rng = np.random.default_rng(number)
        wave = self._crop(self.files["train"][number % UTTERANCES], rng)
        response = soundfile.read(self.files["rooms"][rng.integers(ROOMS)])[0]
        wave = scipy.signal.convolve(wave, response / np.sqrt(np.sum(response**2)))[: len(wave)]
        noise = self._crop(self.files["noise"][rng.integers(NOISES)], rng)
        ratio = 10 * np.log10(np.mean(wave**2) / np.mean(noise**2)) - rng.uniform(0, 15)
        return torch.from_numpy(wave + 10 ** (ratio / 20) * noise).float()

    @staticmethod
    def _crop(path: str, rng: np.random.Generator) -> np.ndarray:
        wave, samples = soundfile.read(path)[0], FRAMES * 160 + 240
        start = rng.integers(0, len(wave) - samples)
        return wave[start : start + samples]


def measure_features() -> tuple[float, float]:
    """Crops a second of processor time, fbank less its mean: a batch at once, and torchaudio crop by crop."""
    from torchaudio.compliance.kaldi import fbank

    waves = 0.1 * torch.randn(BATCH, FRAMES * 160 + 240)
    features = DeviceFeatures(FrontEnd("fbank", recorded_options(OPTIONS), ["cmn_utterance"], 80))

    def one_by_one() -> torch.Tensor:
        made = [fbank(wave[None] * 32768, num_mel_bins=80, dither=0.0, sample_frequency=RATE) for wave in waves]
        return torch.stack([one - one.mean(dim=0) for one in made])

    torch.testing.assert_close(features(waves), one_by_one(), atol=0.02, rtol=1e-3)
    best = [0.0, 0.0]
    for _ in range(3 * ROUNDS):
        for place, way in enumerate((lambda: features(waves), one_by_one)):
            begin = time.process_time()
            way()
            best[place] = max(best[place], BATCH / (time.process_time() - begin))
    return best[0], best[1]


def measure_step() -> float:
    """Crops a second of processor time in a training step: features, network, loss, gradients, update."""
    network = build_model("ecapa_tdnn", input_dim=80, channels=512)
    loss = build_loss("aam_softmax", embedding_dim=192, num_classes=1000)
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()])
    features = DeviceFeatures(FrontEnd("fbank", recorded_options(OPTIONS), ["cmn_utterance"], 80))
    waves, labels = 0.1 * torch.randn(BATCH, FRAMES * 160 + 240), torch.randint(1000, (BATCH,))
    best = 0.0
    for _ in range(ROUNDS):
        begin = time.process_time()
        optimizer.zero_grad()
        loss(network(features(waves)), labels).backward()
        optimizer.step()
        best = max(best, BATCH / (time.process_time() - begin))
    return best


if __name__ == "__main__":
    main()
