"""Speed of feature extraction: our compute-fbank-feats against torchaudio.compliance.kaldi.fbank in a loop.

    python benchmarks/feature_extraction.py [--hours 1] [--repeats 3]

Both are whole processes on one core with one thread: WAV files in (at least an hour of speech), a Kaldi archive of 80
filter-bank energies out. The loop reads with soundfile and writes with kaldiio. The time is the best of the repeats;
the processor's seconds are printed too, because they depend less on what else the machine is doing. Start-up (the
interpreter and its imports, measured on one file) is in both, and the ratio without it is printed as well.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

REPOSITORY = Path(__file__).resolve().parent.parent
TARGET_RATIO = 1.8
TARGET_MEGABYTES = 300
LOOP = """
import sys
import kaldiio, soundfile, torch
from torchaudio.compliance.kaldi import fbank

torch.set_num_threads(1)
with kaldiio.WriteHelper("ark:" + sys.argv[2]) as writer:
    for line in open(sys.argv[1]):
        utterance, path = line.split()
        samples, rate = soundfile.read(path, dtype="float32")
        wave = torch.from_numpy(samples)[None] * 32768
        writer(utterance, fbank(wave, num_mel_bins=80, dither=0.0, sample_frequency=rate).numpy())
"""


class Usage(NamedTuple):
    """What a process took: seconds by the clock, seconds of the processor, megabytes at its peak."""

    wall: float
    processor: float
    megabytes: float


def run(command: list[str]) -> Usage:
    """Runs a command on one core with one thread."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment["PYTHONPATH"] = str(REPOSITORY)
    core = {max(os.sched_getaffinity(0))}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, core)
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:4])} ... failed")
    return Usage(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def best(command: list[str], repeats: int) -> Usage:
    """The least of each over the repeats, but the largest memory."""
    usages = [run(command) for _ in range(repeats)]
    return Usage(min(u.wall for u in usages), min(u.processor for u in usages), max(u.megabytes for u in usages))


def utterances(seconds: float):
    """Waves of 16 kHz, together at least `seconds`: real speech where the shared corpus is, else noise in its place."""
    shared = Path(os.environ.get("SPKID_SHARED") or REPOSITORY.parent / "shared")
    files = sorted((shared / "corpora" / "speechocean762").rglob("*.flac"))
    random = np.random.default_rng(0)
    done, number = 0.0, 0
    while done < seconds:
        if files:
            wave = soundfile.read(files[number % len(files)], dtype="int16")[0]
        else:
            wave = random.normal(0, 2000, random.integers(32000, 96000)).astype(np.int16)
        yield wave
        done, number = done + len(wave) / 16000, number + 1


def prepare(folder: Path, seconds: float) -> float:
    """Writes WAV files, wav.scp and one.scp (its first line) into `folder`; returns the seconds of audio."""
    total, lines = 0.0, []
    for number, wave in enumerate(utterances(seconds)):
        path = folder / f"{number:06}.wav"
        soundfile.write(path, wave, 16000)
        total += len(wave) / 16000
        lines.append(f"utterance-{number:06} {path}\n")
    (folder / "wav.scp").write_text("".join(lines), encoding="utf-8")
    (folder / "one.scp").write_text(lines[0], encoding="utf-8")
    return total


def agreement(first: Path, second: Path) -> float:
    """The share of values within 1e-3 in two archives that must hold the same ids and shapes."""
    import kaldiio

    close = values = 0
    for (key, ours), (other, theirs) in zip(kaldiio.load_ark(str(first)), kaldiio.load_ark(str(second)), strict=True):
        if key != other or ours.shape != theirs.shape:
            raise SystemExit(f"{key} {ours.shape} and {other} {theirs.shape} do not match")
        close += int(np.sum(abs(ours - theirs) < 1e-3))
        values += ours.size
    return close / values


def main() -> int:
    """Runs both and prints the ratio; the exit status says whether the targets were met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0, help="hours of audio (1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, the best counts (3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spkid_benchmark_") as name:
        folder = Path(name)
        seconds = prepare(folder, arguments.hours * 3600)
        our_ark, loop_ark = folder / "ours.ark", folder / "loop.ark"

        def ours(script: str) -> list[str]:
            tool = [sys.executable, "-m", "spkid.bin.compute_fbank_feats", "--num-mel-bins=80"]
            return [*tool, f"scp:{folder}/{script}", f"ark:{our_ark}"]

        def loop(script: str) -> list[str]:
            return [sys.executable, "-c", LOOP, f"{folder}/{script}", str(loop_ark)]

        starts = [best(command("one.scp"), arguments.repeats) for command in (ours, loop)]
        usages = [best(command("wav.scp"), arguments.repeats) for command in (ours, loop)]
        agreeing = agreement(our_ark, loop_ark)
    print(f"{seconds / 3600:.2f} h of audio, 80 filter-bank energies, one core, best of {arguments.repeats}")
    print(f"{'':22}{'seconds':>9}{'processor':>11}{'start-up':>10}{'x real time':>13}{'peak MB':>9}")
    for title, usage, start in zip(("compute-fbank-feats", "torchaudio in a loop"), usages, starts, strict=True):
        speed = seconds / usage.wall
        print(
            f"{title:22}{usage.wall:9.2f}{usage.processor:11.2f}{start.wall:10.2f}{speed:13.0f}{usage.megabytes:9.0f}"
        )
    ratio = usages[1].wall / usages[0].wall
    of_processor = usages[1].processor / usages[0].processor
    without = (usages[1].processor - starts[1].processor) / (usages[0].processor - starts[0].processor)
    print(f"{agreeing:.3%} of the values of the two are within 0.001")
    print(f"ratio {ratio:.2f} by the clock, {of_processor:.2f} in processor time, {without:.2f} without start-up")
    met = ratio >= TARGET_RATIO and usages[0].megabytes < TARGET_MEGABYTES
    print(f"target {TARGET_RATIO} times and under {TARGET_MEGABYTES} MB: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
