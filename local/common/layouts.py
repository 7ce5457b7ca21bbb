"""Small corpora in the trees of the real ones: their folders, names, lists and tables, around speech of ours.

Each function takes voices and a folder, and leaves there what somebody has who unpacked the published corpus.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
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


def aishell(root: Path, voices: Sequence[Voice], num_dev: int, num_test: int, *, archives: bool = False) -> None:
    """`data_aishell/wav/train/S0002/BAC009S0002W0122.wav`, dev, test, the transcript; `resource_aishell` beside it.

    archives: as data_aishell.tgz unpacks, `wav/S0002.tar.gz`, each with `train/S0002/...`.
    """
    transcript, info = [], []
    for number, voice in enumerate(voices):
        part = "test" if number >= len(voices) - num_test else "train"
        if part == "train" and number >= len(voices) - num_test - num_dev:
            part = "dev"
        speaker = f"S{number + 2:04d}"
        info.append(f"{speaker[1:]}\t{voice.gender.upper()}")
        for utterance, text in enumerate(voice.texts):
            name = f"BAC009{speaker}W{122 + utterance:04d}"
            save(root / "wav" / part / speaker / f"{name}.wav", voice.read(utterance), voice.rate)
            transcript.append(f"{name} {text}")
        if archives:
            folder = root / "wav" / part / speaker
            with tarfile.open(root / "wav" / f"{speaker}.tar.gz", "w:gz") as tar:
                tar.add(folder, f"{part}/{speaker}")
            shutil.rmtree(folder)
    write_lines(root / "transcript" / "aishell_transcript_v0.8.txt", transcript)
    write_lines(root.parent / "resource_aishell" / "speaker.info", info)


def librispeech(root: Path, subsets: dict[str, Sequence[Voice]], *, extension: str = ".flac") -> None:
    """`LibriSpeech/train-clean-100/19/198/19-198-0000.flac`, the transcripts, SPEAKERS.TXT; two chapters a speaker."""
    table = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    speaker = 12
    for subset, voices in subsets.items():
        for voice in voices:
            speaker += 7
            table.append(f"{speaker:<5}| {voice.gender.upper()} | {subset:<17}| 25.00 | Speaker {speaker}")
            half = -(-len(voice) // 2)
            for chapter, numbers in ((100 + speaker, range(half)), (900 + speaker, range(half, len(voice)))):
                folder, transcript = root / subset / str(speaker) / str(chapter), []
                for place, number in enumerate(numbers):
                    name = f"{speaker}-{chapter}-{place:04d}"
                    save(folder / f"{name}{extension}", voice.read(number), voice.rate)
                    transcript.append(f"{name} {voice.texts[number].upper()}")
                if transcript:
                    write_lines(folder / f"{speaker}-{chapter}.trans.txt", transcript)
    write_lines(root / "SPEAKERS.TXT", table)


def cn_celeb1(root: Path, voices: Sequence[Voice], num_test: int) -> None:
    """`CN-Celeb_flac/data/id00000/singing-01-001.flac`, dev/dev.lst, and eval/ with its lists.

    A test speaker (id00800 and so on) is enrolled with its first utterance and tested with the others.
    """
    genres = ("interview", "singing", "vlog")
    enrolled, tested, dev = [], [], []
    for number, voice in enumerate(voices):
        test = number - (len(voices) - num_test)
        speaker = f"id{800 + test if test >= 0 else number:05d}"
        if test < 0:
            dev.append(speaker)
        for utterance in range(len(voice)):
            name = f"{genres[utterance % 3]}-{utterance // 3 + 1:02d}-001"
            save(root / "data" / speaker / f"{name}.flac", voice.read(utterance), voice.rate)
            if test < 0:
                continue
            if utterance == 0:
                enrolled.append(f"{speaker}-enroll")
                save(root / "eval/enroll" / f"{speaker}-enroll.flac", voice.read(0), voice.rate)
            else:
                tested.append(f"{speaker}-{name}")
                save(root / "eval/test" / f"{tested[-1]}.flac", voice.read(utterance), voice.rate)
    write_lines(root / "dev/dev.lst", dev)
    write_lines(root / "eval/lists/enroll.lst", [f"{name} enroll/{name}.wav" for name in enrolled])
    write_lines(root / "eval/lists/test.lst", [f"test/{name}.wav" for name in tested])
    trials = [f"{one} test/{two}.wav {int(one[:7] == two[:7])}" for one in enrolled for two in tested]
    write_lines(root / "eval/lists/trials.lst", trials)


def cn_celeb2(root: Path, voices: Sequence[Voice]) -> None:
    """`CN-Celeb2_flac/data/id10000/interview-01-001.flac`."""
    for number, voice in enumerate(voices):
        for utterance in range(len(voice)):
            path = root / "data" / f"id{10000 + number}" / f"interview-{utterance + 1:02d}-001.flac"
            save(path, voice.read(utterance), voice.rate)


def directory(root: Path, voices: Sequence[Voice], *, table: bool = False) -> None:
    """`root/speaker 00/day one/0.wav`: what people have. table: also `root/table.csv` of all of it."""
    rows = ["file,speaker,gender,sentence"]
    for number, voice in enumerate(voices):
        for utterance, text in enumerate(voice.texts):
            path = f"speaker {number:02d}/day {'one' if utterance % 2 else 'two'}/{utterance}.wav"
            save(root / path, voice.read(utterance), voice.rate)
            rows.append(f'"{path}",speaker {number:02d},{voice.gender},"{text}"')
    if table:
        write_lines(root / "table.csv", rows)


def pav(root: Path, matrices: Sequence[Sequence[np.ndarray]], num_test: int, *, num_valid: int = 0) -> None:
    """`mcp/BLOCK00/SES000/SA000S00.mcp` and `lists/{train,valid,test}.list`, without the ending.

    matrices: of each speaker the features of its utterances, (frames, coefficients); the last `num_test` of each are
    tested with, the `num_valid` before them validate.
    """
    lists: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for speaker, own in enumerate(matrices):
        for number, matrix in enumerate(own):
            line = f"BLOCK{speaker // 10:02d}/SES{speaker:03d}/SA{speaker:03d}S{number:02d}"
            path = root / "mcp" / f"{line}.mcp"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = np.ascontiguousarray(matrix, "<f4")
            path.write_bytes(np.array(values.shape, "<i4").tobytes() + values.tobytes())
            left = len(own) - number
            kind = "test" if left <= num_test else "valid" if left <= num_test + num_valid else "train"
            lists[kind].append(line)
    for name, lines in lists.items():
        if lines:
            write_lines(root / "lists" / f"{name}.list", lines)


def vad_matlab(root: Path, name: str, recordings: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """`mat/<name>_000.mat` with X and Y, and `<name>.lst`. recordings: X (frames, 60) and Y (frames,) of each."""
    from scipy.io import savemat

    lines = []
    (root / "mat").mkdir(parents=True, exist_ok=True)
    for number, (features, labels) in enumerate(recordings):
        lines.append(f"mat/{name}_{number:03d}.mat")
        savemat(root / lines[-1], {"X": features, "Y": labels.reshape(-1, 1)})
    write_lines(root / f"{name}.lst", lines)


def labels(path: Path, speech: Sequence[tuple[float, float]], seconds: float, rate: int) -> None:
    """Writes where there is speech, in the kind that the file's ending names: .voz, .lab, .txt (Audacity) or .rttm."""
    edges = [0.0, *(time for interval in speech for time in interval), seconds]
    turns = [(*turn, number % 2) for number, turn in enumerate(pairwise(edges)) if turn[1] > turn[0]]
    if path.suffix == ".voz":
        samples = np.zeros(round(seconds * rate), int)
        for start, end in speech:
            samples[round(start * rate) : round(end * rate)] = 1
        lines = ["".join(map(str, samples))]
    elif path.suffix == ".lab":
        lines = [f"{round(a * 1e7)} {round(b * 1e7)} {('sil', 'speech')[voiced]}" for a, b, voiced in turns]
    elif path.suffix == ".txt":
        lines = [f"{a:.6f}\t{b:.6f}\tspeech" for a, b, voiced in turns if voiced]
    else:
        name = path.stem
        lines = [f"SPEAKER {name} 1 {a:.3f} {b - a:.3f} <NA> <NA> x <NA> <NA>" for a, b, voiced in turns if voiced]
    write_lines(path, lines)


def meetings(root: Path, voices: Sequence[Voice]) -> None:
    """`root/session 0.wav`, one recording for each place of an utterance among its speaker's, and table.csv of turns.

    The table has the columns file, speaker, gender, start and end.
    """
    rows = ["file,speaker,gender,start,end"]
    for session in range(min(map(len, voices))):
        turns, time = [], 0.0
        for number, voice in enumerate(voices):
            samples = voice.read(session)
            end = time + len(samples) / voice.rate
            rows.append(f"session {session}.wav,speaker {number:02d},{voice.gender},{time:.2f},{end:.2f}")
            turns.append(np.concatenate([samples, np.zeros(voice.rate // 2, np.float32)]))
            time += len(turns[-1]) / voice.rate
        save(root / f"session {session}.wav", np.concatenate(turns), voices[0].rate)
    write_lines(root / "table.csv", rows)
