#!/usr/bin/env python3
"""Damaged files of every format, read under limits of time and memory: a value or one InputError, never anything else.

    . ./path.sh
    python3 tests/faults/fuzz.py --number 300 --seed 0 [--format plda]

Good files are damaged at random: bytes changed, cut off, left out, repeated or put in, numbers replaced by extremes. A
reader may take 10 seconds and 200 MB beyond what the process has when it starts; the files hold a few kilobytes. An
InputError has to name the file.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from spkid.audio import WAVE, Wave, read_audio
from spkid.backend.plda_file import read_plda, write_plda
from spkid.backend.trials import read_scores, read_trials
from spkid.data.front_end import read_record
from spkid.features import MfccOptions
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import forbid_pipes
from spkid.kaldi.matrix import load_matrix, load_vector, save_matrix, save_vector
from spkid.kaldi.options import fill_from_config
from spkid.kaldi.rows import RowReader
from spkid.kaldi.tables import INT, MATRIX, VECTOR, TableWriter, compressed_matrix, read_table
from spkid.train.config import load_config

MEGABYTES = 200
SECONDS = 10
EXTREMES = (0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0, 1, 0x00FFFFFF, 1 << 20)
TEXT = b"\x00\xff \t\r\n|:[]-0123456789.eE+#'\"\\{}&*!%@,;/naif\xc3\xa9"


def damage(content: bytes, draw: random.Random) -> bytes:
    """Content with one to four random injuries."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1) if draw.random() < 0.5 else draw.randrange(min(len(data), 64) + 1)
        length = draw.choice((1, 1, 2, 4, 16, 200))
        kind = draw.randrange(7)
        if kind == 0:
            data[place : place + length] = draw.randbytes(len(data[place : place + length]))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = bytes(draw.choice(TEXT) for _ in range(length))
        elif kind == 4:
            data[place : place + 4] = struct.pack("<I", draw.choice(EXTREMES))
        elif kind == 5:
            data[place:place] = data[place : place + length]
        elif data:
            data[place % len(data)] = draw.choice(TEXT)
    return bytes(data)


def contents_of(root: Path) -> dict[str, tuple[list[bytes], Callable[[Path], object], str]]:
    """Format -> good contents, what reads a file of it, and the file's name."""
    rng = np.random.default_rng(0)
    matrix, vector = rng.normal(size=(9, 5)).astype(np.float32), rng.normal(size=7)
    wave = (0.1 * rng.standard_normal(400)).astype(np.float32)

    def written(write: Callable[[str], object], suffix: str = "") -> bytes:
        path = root / f"good{suffix}"
        write(str(path))
        return path.read_bytes()

    def table(holder, values: dict) -> bytes:
        def write(path: str) -> None:
            with TableWriter(f"ark:{path}", holder) as writer:
                for key, value in values.items():
                    writer.write(key, value)

        return written(write)

    matrices = {"a": matrix, "b": matrix[:4]}
    archives = [table(MATRIX, matrices), *(table(compressed_matrix(method), matrices) for method in (2, 3, 5))]
    archive = root / "whole.ark"
    archive.write_bytes(archives[0])
    utt2spk = b"s1-a s1\ns1-b s1\ns2-a s2\n"
    data = root / "data"
    data.mkdir()
    others = {"spk2utt": "s1 s1-a s1-b\ns2 s2-a\n", "utt2dur": "s1-a 1.5\ns1-b 2\ns2-a 3\n"}
    trials = b"".join(b"a b%d %b\n" % (index, b"target" if index % 3 else b"nontarget") for index in range(20))
    known = root / "known_trials"
    known.write_bytes(trials)
    recipe = (Path(__file__).resolve().parents[2] / "egs/mini/conf/xvector.yaml").read_bytes()
    segments = b"s1-a r1 0.00 1.25\ns1-b r1 1.5 -1\ns2-a r2 0.5 2\n"

    def check(path: Path) -> None:
        for folder_file, text in others.items():
            (data / folder_file).write_text(text)
        for name in ("utt2spk", "segments"):
            (data / name).unlink(missing_ok=True)
        (data / "utt2spk").write_bytes(utt2spk)
        shutil.copy(path, data / path.name)
        for work in (DataDir(data).check, DataDir(data).fix, DataDir(data).durations):
            try:
                work()
            except InputError as error:
                named = str(error)
        if "named" in locals():
            raise InputError(named)

    def rows(path: Path) -> None:
        reader = RowReader()
        for start, stop in ((0, 2), (3, 4)):
            reader.read(f"{path}:2", start, stop)

    wavs = [written(lambda path, kind=kind: soundfile.write(path, wave, 16000, kind), ".wav")
            for kind in ("PCM_16", "PCM_24", "FLOAT", "ULAW")]  # fmt: skip
    return {
        "matrix": ([written(lambda path, b=b: save_matrix(path, matrix, b)) for b in (True, False)],
                   lambda path: load_matrix(str(path)), "m"),
        "vector": ([written(lambda path, b=b: save_vector(path, vector, b)) for b in (True, False)],
                   lambda path: load_vector(str(path)), "v"),
        "archive": (archives, lambda path: list(read_table(f"ark:{path}", MATRIX)), "a.ark"),
        "rows": (archives, rows, "r.ark"),
        "numbers": ([table(INT, {"a": 3, "b": -7})], lambda path: list(read_table(f"ark:{path}", INT)), "i.ark"),
        "vectors": ([table(VECTOR, {"a": vector})], lambda path: list(read_table(f"ark:{path}", VECTOR)), "v.ark"),
        "waves": ([table(WAVE, {"a": Wave(wave, 16000)})], lambda path: list(read_table(f"ark:{path}", WAVE)), "w.ark"),
        "script": ([f"a {archive}:2\nb {archive}:2[0:3]\n".encode()],
                   lambda path: list(read_table(f"scp:{path}", MATRIX)), "feats.scp"),
        "plda": ([written(lambda path, b=b: write_plda(path, vector, rng.normal(size=(7, 7)), vector**2, b))
                  for b in (True, False)], lambda path: read_plda(str(path)), "plda"),
        "wav": (wavs, lambda path: read_audio(str(path)), "x.wav"),
        "flac": ([written(lambda path: soundfile.write(path, wave, 16000), ".flac")],
                 lambda path: read_audio(str(path)), "x.flac"),
        "utt2spk": ([utt2spk], check, "utt2spk"),
        "segments": ([segments], check, "segments"),
        "utt2dur": ([others["utt2dur"].encode()], check, "utt2dur"),
        "trials": ([trials, b"1 a b\n0 a c\n"], lambda path: read_trials(str(path)), "trials"),
        "scores": ([b"".join(b"a b%d %d.5\n" % (index, index) for index in range(20))],
                   lambda path: read_scores(str(path), read_trials(str(known))), "scores"),
        "options": ([b"--num-ceps=20  # as ever\n--low-freq=20\n--use-energy=false\n"],
                    lambda path: fill_from_config(str(path), [MfccOptions]), "mfcc.conf"),
        "recipe": ([recipe], lambda path: load_config(path), "system.yaml"),
        "record": ([b'{"type": "mfcc", "options": {"num_ceps": 20}, "applied": ["vad"]}\n'],
                   lambda path: read_record(path.parent), "feats.json"),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=120, help="of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", default="", help="only this one")
    parser.add_argument("--keep", type=Path, help="where files go that are not read as they should be")
    arguments = parser.parse_args()
    forbid_pipes()  # a damaged script may hold any command
    signal.signal(signal.SIGALRM, _too_long)
    bad = total = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        formats = contents_of(root)
        limit = _address_space() + (MEGABYTES << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for name, (contents, read, file) in formats.items():
            if arguments.format not in ("", name):
                continue
            draw = random.Random(f"{arguments.seed} {name}")
            path = root / file
            for content in contents:  # the good ones have to be read
                path.write_bytes(content)
                read(path)
            for number in range(arguments.number):
                content = damage(draw.choice(contents), draw)
                path.write_bytes(content)
                total += 1
                signal.alarm(SECONDS)
                try:
                    read(path)
                except InputError as error:
                    problem = None if _names(str(error), path) else f"does not name its file: {error}"
                    refused += problem is None
                except (Exception, _TooLongError):
                    problem = traceback.format_exc()
                else:
                    problem = None
                finally:
                    signal.alarm(0)
                if problem:
                    bad += 1
                    print(f"{name} {number}: {problem}", file=sys.stderr)
                    if arguments.keep:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        (arguments.keep / f"{name}.{number}").write_bytes(content)
    print(f"{total} damaged files: {refused} refused, {total - refused - bad} read, {bad} bad")
    return 1 if bad else 0


def _names(sentence: str, path: Path) -> bool:
    # a damaged script names what it points to; a damaged data directory may be at odds with another of its files
    return str(path) in sentence or path.suffix == ".scp" or str(path.parent / "data") in sentence


class _TooLongError(BaseException):
    pass


def _too_long(*_) -> None:
    raise _TooLongError(f"more than {SECONDS} s")


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
