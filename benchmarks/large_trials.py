"""A trial list of 100 million lines: scored from files to a file by steps/score_trials.py, time and peak memory.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/large_trials.py [--trials 100000000] [--max-memory 1G]

Vectors of 20,000 utterances of 192 dimensions, cosine. The list takes 33 bytes a line on the disk, the scores 36.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spkid.kaldi.tables import VECTOR, TableWriter

STEP = Path(__file__).resolve().parents[1] / "steps" / "score_trials.py"
UTTERANCES, DIMS, LINES = 20_000, 192, 1_000_000


def write_vectors(root: Path, names: list[str]) -> None:
    random = np.random.default_rng(0)
    with TableWriter(f"ark,scp:{root}/vectors.ark,{root}/vectors.scp", VECTOR) as writer:
        for name in names:
            writer.write(name, random.standard_normal(DIMS).astype(np.float32))


def write_trials(path: Path, names: list[str], number: int) -> None:
    """Pairs i, i + step of all utterances, step after step: none repeats. One in ten is a target."""
    ids = np.array([name.encode() for name in names])
    ends = np.array([b" target\n", *[b" nontarget\n"] * 9])
    with path.open("wb") as stream:
        for begin in range(0, number, LINES):
            index = np.arange(begin, min(begin + LINES, number))
            first, step = index % UTTERANCES, index // UTTERANCES + 1
            lines = np.strings.add(np.strings.add(ids[first], b" "), ids[(first + step) % UTTERANCES])
            stream.write(b"".join(np.strings.add(lines, ends[index % 10]).tolist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100_000_000)
    parser.add_argument("--max-memory", default="1G")
    arguments = parser.parse_args()
    names = [f"id{index // 10:05d}-{index % 10:05d}" for index in range(UTTERANCES)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_vectors(root, names)
        write_trials(root / "trials", names, arguments.trials)
        print(f"{arguments.trials} trials, {(root / 'trials').stat().st_size / 1e9:.2f} GB", flush=True)
        scp = root / "vectors.scp"
        words = [STEP, "--max-memory", arguments.max_memory, root / "trials", scp, scp, root / "scores"]
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, *map(str, words)])
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        if status:
            sys.exit("score_trials.py failed")
        cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        rate = arguments.trials / cpu / 1e6
        print(f"{wall:.0f} s, {cpu:.0f} s of processor time ({rate:.2f} M trials/s), peak {peak:.0f} MB, "
              f"scores {(root / 'scores').stat().st_size / 1e9:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
