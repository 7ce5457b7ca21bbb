"""Chunks of features and of audio out of a few shards (utils/pack_data.py) and out of a file an utterance.

    python benchmarks/shard_reading.py [folder]

Every utterance once, in random order, in one process; a chunk of 200 frames, a crop of 2 s. Time a chunk with the files
in the page cache and after they were dropped from it, and how many files were opened. On a local disk times are near
each other; a network file system asks its server for every open, which is what shards are for: give a folder there.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spkid.audio import WaveOptions
from spkid.audio.utterances import UtteranceReader
from spkid.audio.wave import write_wav
from spkid.data.shards import matrix_bytes, pack, wave_bytes
from spkid.data.source import FeatureSource
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.tables import read_script, write_id_map

UTTERANCES, FRAMES, DIMS, CHUNK, RATE, SHARD_BYTES, ROUNDS = 3000, 400, 80, 200, 16000, 2**28, 3
opened = 0


def count_opens(event: str, arguments: tuple) -> None:
    """Python's own opens; libsndfile opens an audio file once more behind its back."""
    global opened
    opened += event == "open" and str(arguments[0]).endswith((".mat", ".wav", ".ark"))


def main() -> None:
    sys.addaudithook(count_opens)
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        files, shards = Path(folder) / "files", Path(folder) / "shards"
        write_files(files)
        shards.mkdir()
        for name, read in (("feats", matrix_bytes), ("wav", wave_bytes)):
            entries = pack(read_script(files / f"{name}.scp"), read, shards / name, SHARD_BYTES, {})
            write_id_map(shards / f"{name}.scp", entries)
        order = np.random.default_rng(0).permutation(UTTERANCES)
        for kind, make in (("features", feature_reader), ("audio", audio_reader)):
            results = {}
            for way in ("warm", "cold"):
                for place in (files, shards) * ROUNDS:
                    seconds, opens = measure(make, place, order, way == "cold")
                    if seconds < results.get((way, place), (float("inf"), 0))[0]:
                        results[way, place] = seconds, opens
            for way in ("warm", "cold"):
                (single, many), (packed, few) = results[way, files], results[way, shards]
                print(
                    f"{kind}, {way}: files {single * 1e6:.0f} us, {many / UTTERANCES:.2f} opens a chunk; shards "
                    f"{packed * 1e6:.0f} us, {few / UTTERANCES:.2f} opens a chunk: {single / packed:.2f} times",
                    flush=True,
                )


def write_files(folder: Path) -> None:
    """One file an utterance, as a corpus comes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    ids = [f"utterance-{number:05}" for number in range(UTTERANCES)]
    for one in ids:
        save_matrix(f"{folder}/{one}.mat", rng.normal(size=(FRAMES, DIMS)).astype(np.float32))
        write_wav(f"{folder}/{one}.wav", rng.normal(size=4 * RATE).astype(np.float32) * 0.1, RATE)
    write_id_map(folder / "feats.scp", {one: f"{folder}/{one}.mat" for one in ids})
    write_id_map(folder / "wav.scp", {one: f"{folder}/{one}.wav" for one in ids})
    write_id_map(folder / "utt2num_frames", dict.fromkeys(ids, FRAMES))


def feature_reader(folder: Path) -> Callable[[int], object]:
    source = FeatureSource(folder, [])
    source.num_frames[:] = FRAMES
    return lambda index: source.rows(index, 100, 100 + CHUNK)


def audio_reader(folder: Path) -> Callable[[int], object]:
    reader = UtteranceReader(folder, WaveOptions(rate=RATE))
    return lambda index: reader.read(reader.ids[index], RATE, 3 * RATE)


def measure(make: Callable, folder: Path, order: np.ndarray, cold: bool) -> tuple[float, int]:
    """Seconds a chunk, and how many files were opened."""
    if cold:
        drop_from_cache(folder)
    read = make(folder)
    before, begin = opened, time.perf_counter()
    for index in order:
        read(int(index))
    return (time.perf_counter() - begin) / len(order), opened - before


def drop_from_cache(folder: Path) -> None:
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


if __name__ == "__main__":
    main()
