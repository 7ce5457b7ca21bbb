"""Recordings in a form that is not wanted: m4a through ffmpeg, another sampling rate; when read, or once for all."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from local.common.writing import command_of
from spkid.audio import Recording, resample, write_wav
from spkid.jobs import progress
from spkid.kaldi import InputError

FFMPEG = ("ffmpeg", "-nostdin", "-v", "error")


def decoding_command(path: str, rate: int) -> str:
    """A wav.scp entry: ffmpeg decodes the file to one channel of 16-bit WAV at `rate` samples per second."""
    return command_of([*FFMPEG, "-i", path, *_output(rate), "-"])


def convert(pairs: Sequence[tuple[str, Path]], rate: int, nj: int) -> dict[str, str]:
    """Decodes files to WAV files, `nj` at a time; those that are there already are kept.

    Args:
        pairs: what to decode, and the WAV file that it becomes.

    Returns:
        Why a file could not be decoded, by its path.

    Raises:
        InputError: there is no ffmpeg.
    """
    missing = [(source, target) for source, target in pairs if not target.exists()]
    if missing and not shutil.which(FFMPEG[0]):
        raise InputError("there is no ffmpeg on this machine, which reads m4a: install it (Debian: apt install ffmpeg)")

    def decode(pair: tuple[str, Path]) -> str:
        source, target = pair
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        command = [*FFMPEG, "-y", "-i", source, *_output(rate), str(part)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            part.unlink(missing_ok=True)
            return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        os.replace(part, target)
        return ""

    failed = {}
    with ThreadPoolExecutor(nj) as pool:
        decoded = progress(pool.map(decode, missing), "ffmpeg", total=len(missing), unit="files")
        for (source, _), problem in zip(missing, decoded, strict=True):
            if problem:
                failed[source] = problem
    return failed


def _output(rate: int) -> list[str]:
    return ["-ac", "1", "-ar", str(rate), "-f", "wav", "-acodec", "pcm_s16le"]


def at_rate(path: Path, rate: int, root: Path, folder: str) -> str:
    """The recording at `rate`: itself, or a copy of it that is made once, below `folder`.

    Args:
        path: a recording below `root`.
        rate: in samples per second.
        folder: where copies go, in the corpus' own tree; the name ends in `.wav`.

    Raises:
        InputError: it cannot be read, or has another rate while `folder` is empty.
    """
    with Recording(str(path)) as recording:
        if recording.rate == rate:
            return str(path)
        if not folder:
            raise InputError(f"is sampled at {recording.rate} Hz, not {rate}: say where a copy may go (--resampled)")
        target = Path(folder).resolve() / str(rate) / path.relative_to(root).with_suffix(".wav")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_wav(str(target), np.clip(resample(recording.read(), recording.rate, rate), -1, 1), rate)
    return str(target)
