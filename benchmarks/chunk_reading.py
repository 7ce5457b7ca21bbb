"""Reading a 2 s chunk out of a 60 s utterance: spkid against loading the whole matrix with kaldiio.

    python benchmarks/chunk_reading.py

One process, the same archive in the page cache for all, random chunks, the best of seven alternating rounds. Goal: 10.
"""

import random
import tempfile
import time

import kaldiio
import numpy as np

from spkid.kaldi.matrix import read_rows
from spkid.kaldi.rows import RowReader
from spkid.kaldi.tables import MATRIX, TableWriter, compressed_matrix, read_script

FRAMES, CHUNK, UTTERANCES, ROUNDS = 6000, 200, 24, 7
LAYOUTS = {"uncompressed": MATRIX, "compressed": compressed_matrix(1)}


def main() -> None:
    print(f"{'archive':<22} {'kaldiio':>12} {'read_rows':>12} {'ratio':>7} {'RowReader':>12} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for dims in (30, 80):
            for name, holder in LAYOUTS.items():
                names = write_archive(folder, dims, holder)
                theirs, ours, kept = measure(names)
                times = f"{ours * 1e6:>9.1f} us {theirs / ours:>6.1f}x {kept * 1e6:>9.1f} us {theirs / kept:>6.1f}x"
                print(f"{name + f', {dims} dims':<22} {theirs * 1e6:>9.1f} us {times}", flush=True)


def write_archive(folder: str, dims: int, holder) -> list[str]:
    """Writes random features; returns the rxfilename of each utterance."""
    generator = np.random.default_rng(0)
    with TableWriter(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp", holder) as writer:
        for number in range(UTTERANCES):
            writer.write(f"utterance-{number:02}", generator.normal(size=(FRAMES, dims)))
    return list(read_script(f"{folder}/feats.scp").values())


def measure(names: list[str]) -> tuple[float, float, float]:
    """Seconds a chunk: kaldiio, read_rows, RowReader."""
    reader = RowReader()
    ways = [
        lambda name, start: kaldiio.load_mat(name)[start : start + CHUNK],
        lambda name, start: read_rows(name, start, start + CHUNK),
        lambda name, start: reader.read(name, start, start + CHUNK),
    ]
    draw = random.Random(0)
    chunks = [(name, draw.randrange(FRAMES - CHUNK)) for name in names]
    for name, start in chunks:
        expected, *others = [way(name, start) for way in ways]
        for other in others:
            np.testing.assert_allclose(other, expected, rtol=1e-4, atol=1e-4)
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for i, way in enumerate(ways):
            begin = time.perf_counter()
            for name, start in chunks:
                way(name, start)
            best[i] = min(best[i], (time.perf_counter() - begin) / len(chunks))
    return tuple(best)


if __name__ == "__main__":
    main()
