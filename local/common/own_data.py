"""Recordings of one's own as training and test set: what may be given, one sampling rate, a split by speaker."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from local.common.writing import write_data_dir
from spkid.audio import Recording, resample, write_wav
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.lists import read_id_map

NARROW, WIDE = 8000, 16000
MOST_UPSAMPLED = 0.05  # share of the utterances
KEPT_TABLES = ("spk2gender", "text")


@dataclass(frozen=True)
class Checked:
    """A data directory, and what utils/describe_data_dir.py found out: rate and problems of each utterance."""

    data: DataDir
    rates: dict[str, int]
    problems: dict[str, str]
    usable: set[str]


def read_check(data_dir: str | os.PathLike, check_dir: str | os.PathLike) -> Checked:
    """Raises InputError where the check has not been made."""
    table, usable = Path(check_dir) / "utterances.tsv", Path(check_dir) / "usable"
    if not table.is_file():
        raise InputError(f"{table} is missing: run utils/describe_data_dir.py {data_dir} {check_dir}")
    lines = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    place = {name: column for column, name in enumerate(lines[0])}
    rates = {row[0]: int(row[place["rate"]]) for row in lines[1:]}
    problems = {row[0]: row[place["problems"]] for row in lines[1:]}
    return Checked(DataDir(data_dir), rates, problems, set(usable.read_text(encoding="utf-8").split()))


def kind_of(source: Path) -> tuple[str, Path]:
    """What the user has given, and the file that says so: kaldi (a data directory), table (CSV, TSV), or tree.

    A folder whose only table lies at its top is taken by that table.
    """
    if source.is_file():
        return "table", source
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder")
    if (source / "wav.scp").is_file() and (source / "utt2spk").is_file():
        return "kaldi", source
    tables = sorted(path for path in source.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    return ("table", tables[0]) if len(tables) == 1 else ("tree", source)


def copy_kaldi(source: Path, target: Path, base: Path) -> DataDir:
    """Takes over who speaks where; features are made anew. Relative paths are looked up from `base`, then `source`."""
    data = DataDir(source)
    entries = {}
    for name, entry in data.wav_scp.items():
        places = [Path(root, entry) for root in (base, source)]
        found = next((place for place in places if place.is_file()), None)
        is_path = not entry.endswith("|") and not os.path.isabs(entry)
        entries[name] = os.path.abspath(found) if is_path and found else entry
    tables = {name: data.read(name) for name in ("segments", *KEPT_TABLES) if data.has(name)}
    return write_data_dir(target, entries, data.utt2spk, **tables)


def common_rate(rates: Iterable[int]) -> tuple[int, str]:
    """The rate for all, from the utterances' own, and why: 16 kHz, unless more than a few would be upsampled."""
    counts = Counter(rates)
    low = sum(number for rate, number in counts.items() if rate < WIDE)
    total = sum(counts.values())
    if low > MOST_UPSAMPLED * total:
        return NARROW, f"{low} of {total} utterances have less than 16 kHz, and an upper band cannot be made up"
    few = f"; {low} utterances of a lower rate are upsampled" if low else ""
    return WIDE, f"what speech needs{few}"


def split_speakers(counts: Mapping[str, int], share: float) -> set[str]:
    """The speakers for test: a share of those with two utterances or more, drawn by a hash of their names.

    So a speaker who is added later moves hardly anyone. Raises InputError for fewer than four speakers.
    """
    eligible = sorted(
        (speaker for speaker, number in counts.items() if number > 1),
        key=lambda speaker: hashlib.sha256(speaker.encode()).digest(),
    )
    number = max(2, round(share * len(counts)))
    if len(counts) < 4 or len(eligible) < number:
        raise InputError(
            f"{len(counts)} speakers, {len(eligible)} of them with two utterances or more, cannot be split into "
            "training and test: at least two are needed on each side"
        )
    return set(eligible[:number])


def write_set(
    checked: Checked, target: Path, utterances: set[str], rate: int, copies: Path, nj: int
) -> tuple[DataDir, Counter]:
    """Writes a data directory of some utterances at one rate.

    Recordings of another rate are copied below `copies`, as 16-bit WAV.

    Returns:
        the directory, and how many recordings of which rate were copied.
    """
    data = checked.data
    segments = {utterance: value for utterance, value in _table(data, "segments").items() if utterance in utterances}
    recording_of = {utterance: segments[utterance].split()[0] if segments else utterance for utterance in utterances}
    own_rate = {recording_of[utterance]: checked.rates[utterance] for utterance in utterances}
    entries = {name: entry for name, entry in data.wav_scp.items() if name in own_rate}
    work = [
        (entry, str(copies / f"{hashlib.sha256(entry.encode()).hexdigest()[:20]}.wav"), rate)
        for name, entry in entries.items()
        if own_rate[name] != rate
    ]
    if work:
        copies.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(nj) as pool:
            made = dict(pool.map(_copy, work, chunksize=4))
        entries = {name: made.get(entry, entry) if own_rate[name] != rate else entry for name, entry in entries.items()}
    utt2spk = {utterance: speaker for utterance, speaker in data.utt2spk.items() if utterance in utterances}
    tables = {name: _table(data, name) for name in KEPT_TABLES}
    tables["text"] = {utterance: text for utterance, text in tables["text"].items() if utterance in utterances}
    written = write_data_dir(target, entries, utt2spk, segments=segments, **tables)
    return written, Counter(own_rate[name] for name in own_rate if own_rate[name] != rate)


def _copy(work: tuple[str, str, int]) -> tuple[str, str]:
    entry, target, rate = work
    if not (os.path.isfile(entry) and os.path.isfile(target) and os.path.getmtime(entry) <= os.path.getmtime(target)):
        with Recording(entry) as recording:
            samples = resample(recording.read(), recording.rate, rate)
        write_wav(target, np.clip(samples, -1, 1), rate)
    return entry, os.path.abspath(target)


def _table(data: DataDir, name: str) -> dict[str, str]:
    return read_id_map(data.path(name)) if data.has(name) else {}
