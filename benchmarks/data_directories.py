"""A data directory of 1.2 million utterances and 7,000 speakers, text alone: what each utility takes.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/data_directories.py [--utterances 1200000] [--speakers 7000]

Each program runs as a user starts it; its time on the wall, its processor time and its peak memory are the kernel's.
The directory holds wav.scp, utt2spk, spk2utt, utt2dur, utt2num_frames, feats.scp, vad.scp and text. What
fix_data_dir.py repairs has its lines out of order, utterances that some file lacks, and repeated lines.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UTILS = Path(__file__).resolve().parents[1] / "utils"
LIMIT_SECONDS, LIMIT_MEGABYTES = 20, 1000


def write_directory(root: Path, utterances: int, speakers: int) -> None:
    """Text files of a corpus like VoxCeleb2; no audio, and one empty archive of features that exists."""
    root.mkdir(parents=True)
    archives = [root / f"raw.{job}.ark" for job in range(40)]
    for archive in archives:
        archive.touch()
    each = -(-utterances // speakers)
    ids = [(f"id{speaker:05d}", number) for speaker in range(speakers) for number in range(each)][:utterances]
    names = [f"{speaker}-video{number // 10:06d}-{number % 10:05d}" for speaker, number in ids]
    draw = random.Random(0)
    seconds = [4 + 8 * draw.random() for _ in names]

    def write(name: str, values) -> None:
        with (root / name).open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(f"{one} {value}\n" for one, value in zip(names, values, strict=True))

    write("wav.scp", (f"ffmpeg -v error -i /corpora/voxceleb2/{one.replace('-', '/')}.m4a -f wav - |" for one in names))
    write("utt2spk", (speaker for speaker, _ in ids))
    write("utt2dur", (f"{length:.4f}" for length in seconds))
    write("utt2num_frames", (int(100 * length) for length in seconds))
    places = [f"{archives[index * 40 // len(names)]}:{15 + 24000 * index}" for index in range(len(names))]
    write("feats.scp", places)
    write("vad.scp", places)
    write("text", (f"nothing is said in {one}" for one in names))
    subprocess.run(
        [sys.executable, UTILS / "utt2spk_to_spk2utt.py", root / "utt2spk"],
        check=True,
        stdout=(root / "spk2utt").open("wb"),
    )


def spoil(source: Path, target: Path) -> None:
    """A copy out of order, with repeated lines, and other utterances missing in each file."""
    shutil.copytree(source, target)
    draw = random.Random(1)
    for name in ("utt2spk", "wav.scp", "feats.scp"):
        lines = (target / name).read_text(encoding="utf-8").splitlines(keepends=True)
        draw.shuffle(lines)
        (target / name).write_text("".join(lines[100:] + lines[-50:]), encoding="utf-8")


def measure(title: str, *words: object) -> bool:
    """Runs a program and prints what it took; whether that is within the limits."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if status:
        sys.exit(f"{title}: failed")
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    print(f"{title:32} {wall:6.1f} s, {cpu:5.1f} s of processor time, {peak:5.0f} MB", flush=True)
    return cpu < LIMIT_SECONDS and peak < LIMIT_MEGABYTES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=1_200_000)
    parser.add_argument("--speakers", type=int, default=7000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data, spoilt = root / "data", root / "spoilt"
        write_directory(data, arguments.utterances, arguments.speakers)
        spoil(data, spoilt)
        good = [
            measure("validate", UTILS / "validate_data_dir.py", data),
            measure("fix (nothing is wrong)", UTILS / "fix_data_dir.py", data),
            measure("fix (much is wrong)", UTILS / "fix_data_dir.py", spoilt),
            measure("subset (10 per speaker)", UTILS / "subset_data_dir.py", "--per-spk", data, 10, root / "ten"),
            measure("subset (half)", UTILS / "subset_data_dir.py", data, arguments.utterances // 2, root / "half"),
            measure("split into 40", UTILS / "split_data.py", data, 40),
            measure("split into 40, by utterance", UTILS / "split_data.py", "--per-utt", data, 40),
            measure("combine with a noisy copy", UTILS / "combine_data.py", root / "both", root / "half", copy(root)),
        ]
        print(f"limits of {LIMIT_SECONDS} s and {LIMIT_MEGABYTES} MB: {'kept' if all(good) else 'broken'}")
    return 0 if all(good) else 1


def copy(root: Path) -> Path:
    """The other half of the utterances, under other names."""
    words = [UTILS / "copy_data_dir.py", "--utt-prefix", "noisy-", root / "half", root / "copy"]
    subprocess.run([sys.executable, *words], check=True)
    return root / "copy"


if __name__ == "__main__":
    sys.exit(main())
