"""Data directories of a corpus of VoxCeleb2's size: the walk over its tree, and all text for 1.2 million utterances.

    python benchmarks/corpus_preparation.py

The walk is over a tree of 100,000 files that is made here (6,000 of them a speaker's folder would hold), against
`Path.rglob` with a size for each file; the rest works on names alone.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local.common.media import decoding_command
from local.common.walking import File, LeftOut, digest, files_below
from local.common.writing import write_data_dir
from local.voxceleb import RATE, read_tree

TREE = (500, 20, 10)  # speakers, videos, utterances
CORPUS = (6000, 20, 10)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        walk(Path(folder) / "voxceleb2")
        text(Path(folder) / "data")


def walk(root: Path) -> None:
    for name in names(TREE):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    theirs, ours = [], []
    for _ in range(3):
        begin = time.perf_counter()
        expected = [(str(path.relative_to(root)), path.stat().st_size) for path in root.rglob("*.m4a")]
        theirs.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        found = files_below(root, (".m4a",), LeftOut())
        ours.append(time.perf_counter() - begin)
        assert sorted(expected) == [tuple(file) for file in found]
    print(f"walk over {len(found)} files: rglob {min(theirs):.2f} s, files_below {min(ours):.2f} s, "
          f"ratio {min(theirs) / min(ours):.1f}")  # fmt: skip


def text(directory: Path) -> None:
    found = [File(name, 1) for name in names(CORPUS)]
    begin = time.process_time()
    digest(found)
    corpus = read_tree(Path("/corpora/voxceleb2"), 2, found, LeftOut())
    wav_scp = {name: decoding_command(path, RATE) for name, path in corpus.files.items()}
    write_data_dir(directory, wav_scp, corpus.speakers)
    seconds, peak = time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"text of {len(found)} utterances: {seconds:.1f} s of processor time, {peak:.0f} MB")


def names(sizes: tuple[int, int, int]):
    speakers, videos, utterances = sizes
    for speaker in range(speakers):
        for video in range(videos):
            for number in range(utterances):
                yield f"dev/aac/id{speaker:05d}/video{video:06d}/{number:05d}.m4a"


if __name__ == "__main__":
    main()
