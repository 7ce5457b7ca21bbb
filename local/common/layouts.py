"""Small corpora in the trees of the real ones: their folders, names, lists and tables, around speech of ours.

Each function takes voices and a folder, and leaves there what somebody has who unpacked the published corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from spkid.audio import write_wav
from spkid.kaldi.io import atomic_write


@dataclass(frozen=True)
class Voice:
    """A speaker: gender (m or f), what is said, and where an utterance's samples come from.

    texts: of each utterance. read: number of the utterance -> (samples,) float32 in +-1 at `rate`.
    """

    gender: str
    texts: Sequence[str]
    read: Callable[[int], np.ndarray]
    rate: int = 16000

    def __len__(self) -> int:
        return len(self.texts)


def save(path: Path, samples: np.ndarray, rate: int) -> None:
    """Writes WAV or FLAC, by the name, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".flac":
        import soundfile

        soundfile.write(path, samples, rate, subtype="PCM_16")
    else:
        write_wav(str(path), samples, rate)


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Writes a text file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        stream.writelines(f"{line}\n" for line in lines)


def voxceleb1(root: Path, voices: Sequence[Voice], num_test: int) -> None:
    """`wav/id10001/<video>/00001.wav` in dev and test, vox1_meta.csv, and the six lists of trials.

    The last `num_test` voices are the test speakers id10270 and so on. O is all pairs of test utterances, E all pairs
    of some utterances of everybody, H those of E within one gender; a cleaned list lacks every fiftieth trial.
    """
    files, genders = {}, {}
    for number, voice in enumerate(voices):
        test = number - (len(voices) - num_test)
        speaker = f"id{10270 + test if test >= 0 else 10001 + number}"
        part = "test" if test >= 0 else "dev"
        files[speaker], genders[speaker] = _voxceleb_speaker(root / part / "wav", speaker, voice), voice.gender
    table = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    for speaker, gender in genders.items():
        part = "test" if 10270 <= int(speaker[2:]) < 10310 else "dev"
        table.append(f"{speaker}\tName_of_{speaker}\t{gender}\tNowhere\t{part}")
    write_lines(root / "vox1_meta.csv", table)
    test_files = [file for speaker, own in files.items() if 10270 <= int(speaker[2:]) < 10310 for file in own]
    some = [file for own in files.values() for file in own[:2]]
    lists = {"veri_test": _labelled(test_files), "list_test_all": _labelled(some)}
    lists["list_test_hard"] = [
        line for line in lists["list_test_all"] if len({genders[s] for s in _speakers(line)}) == 1
    ]
    for name, lines in lists.items():
        write_lines(root / f"{name}.txt", lines)
        write_lines(root / f"{name}2.txt", [line for number, line in enumerate(lines) if number % 50])


def voxceleb2(root: Path, voices: Sequence[Voice], num_test: int) -> None:
    """`dev/aac/id00012/<video>/00001.wav` and test, and vox2_meta.csv: VoxCeleb2 after its m4a were converted."""
    table = ["VoxCeleb2 ID ,VGGFace2 ID ,Gender,Set "]
    for number, voice in enumerate(voices):
        speaker, part = f"id{12 + 7 * number:05d}", "test" if number >= len(voices) - num_test else "dev"
        _voxceleb_speaker(root / part / "aac", speaker, voice)
        table.append(f"{speaker} ,n{number:06d} ,{voice.gender},{part} ")
    write_lines(root / "vox2_meta.csv", table)


def _voxceleb_speaker(folder: Path, speaker: str, voice: Voice) -> list[str]:
    """Two utterances a video; the files as the lists name them."""
    files = []
    for number in range(len(voice)):
        video = hashlib.sha256(f"{speaker} {number // 2}".encode()).hexdigest()[:11]
        files.append(f"{speaker}/{video}/{number % 2 + 1:05d}.wav")
        save(folder / files[-1], voice.read(number), voice.rate)
    return files


def _labelled(files: Sequence[str]) -> list[str]:
    pairs = combinations(files, 2)
    return [f"{int(one.partition('/')[0] == other.partition('/')[0])} {one} {other}" for one, other in pairs]


def _speakers(line: str) -> list[str]:
    return [file.partition("/")[0] for file in line.split()[1:]]


def musan(root: Path, speech: Sequence[np.ndarray], noises: Sequence[np.ndarray], rate: int = 16000) -> None:
    """`musan/noise/free-sound/noise-free-sound-0000.wav` and so on, with ANNOTATIONS of the music.

    Music is made of chords here; every other piece is said to have vocals.
    """
    for number, samples in enumerate(noises):
        source = ("free-sound", "sound-bible")[number % 2]
        save(root / "noise" / source / f"noise-{source}-{number // 2:04d}.wav", samples, rate)
    for number, samples in enumerate(speech):
        source = ("librivox", "us-gov")[number % 2]
        save(root / "speech" / source / f"speech-{source}-{number // 2:04d}.wav", samples, rate)
    random, annotations = np.random.default_rng(0), []
    for number in range(4):
        time = np.arange(round(8 * rate)) / rate
        tones = 110 * 2 ** (random.integers(0, 36, size=(16, 3)) / 12)  # sixteen chords of half a second
        chords = np.repeat(tones, rate // 2, axis=0)[: len(time)]
        samples = 0.1 * np.sin(2 * np.pi * np.cumsum(chords, axis=0) / rate).sum(axis=1)
        save(root / "music" / "fma" / f"music-fma-{number:04d}.wav", samples.astype(np.float32), rate)
        annotations.append(f"music-fma-{number:04d} chords {'NY'[number % 2]} nobody")
    write_lines(root / "music" / "fma" / "ANNOTATIONS", annotations)


def rirs_noises(
    root: Path,
    responses: Sequence[np.ndarray] = (),
    noises: Sequence[np.ndarray] = (),
    rate: int = 16000,
    rooms: int = 4,
) -> None:
    """RIRS_NOISES with small, medium and large rooms of ours, two responses a room, and the lists of the corpus.

    responses: measured ones, for real_rirs_isotropic_noises; each room there has an isotropic noise too.
    noises: for pointsource_noises.
    """
    random = np.random.default_rng(0)
    top = root.name  # the lists name their files below the folder RIRS_NOISES
    for size, (shortest, longest) in {"small": (0.1, 0.3), "medium": (0.2, 0.6), "large": (0.5, 1.0)}.items():
        lines = []
        for room in range(1, rooms + 1):
            for place in range(1, 3):
                name = f"Room{room:03d}-{place:05d}"
                path = f"simulated_rirs/{size}room/Room{room:03d}/{name}.wav"
                save(root / path, exponential_response(random, rate, random.uniform(shortest, longest)), rate)
                lines.append(f"--rir-id {size}room_{name} --room-id {size}room-Room{room:03d} {top}/{path}")
        write_lines(root / f"simulated_rirs/{size}room/rir_list", lines)
    real = list(responses) or [exponential_response(random, rate, 0.4) for _ in range(2)]
    places, isotropic = [], []
    for number, response in enumerate(real):
        path = f"real_rirs_isotropic_noises/RVB2014_type1_rir_room{number % 2}_{number}.wav"
        save(root / path, response, rate)
        places.append(f"--rir-id real_{number:05d} --room-id RVB2014_room{number % 2} {top}/{path}")
    for room in range(2):
        path = f"real_rirs_isotropic_noises/RVB2014_type1_noise_room{room}.wav"
        save(root / path, (0.05 * random.standard_normal(2 * rate)).astype(np.float32), rate)
        link = f"--room-linkage RVB2014_room{room}"
        isotropic.append(f"--noise-id {room + 1:05d} --noise-type isotropic {link} {top}/{path}")
    write_lines(root / "real_rirs_isotropic_noises/rir_list", places)
    write_lines(root / "real_rirs_isotropic_noises/noise_list", isotropic)
    lines = []
    for number, samples in enumerate(noises):
        path, where = f"pointsource_noises/noise-free-sound-{number:04d}.wav", ("foreground", "background")[number % 2]
        save(root / path, samples, rate)
        lines.append(f"--noise-id {number + 1:05d} --noise-type point-source --bg-fg-type {where} {top}/{path}")
    write_lines(root / "pointsource_noises/noise_list", lines)


def exponential_response(random: np.random.Generator, rate: int, decay_time: float) -> np.ndarray:
    """A room: the direct sound after 5 ms, and a tail of noise that falls by 60 dB in `decay_time` seconds."""
    time = np.arange(round(decay_time * rate)) / rate
    tail = 0.1 * random.standard_normal(len(time)) * 10 ** (-3 * time / decay_time)
    response = np.concatenate([np.zeros(rate // 200), [0.9], tail])
    return response.astype(np.float32)
