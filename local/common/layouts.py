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
