"""Data directories made of some of another one's utterances: the one way to cut them, for subsets and for splits."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby

from spkid.kaldi.data_dir import (
    DIRECTORY_FILES,
    RECORDING_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    DataDir,
    write_spk2utt,
)
from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import IdTable, group_by_value, show, write_id_table

_KNOWN = (*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES, *DIRECTORY_FILES, "spk2utt")


def write_parts(data: DataDir, part_of: Mapping[bytes, int], destinations: Sequence[str]) -> list[DataDir]:
    """Writes one data directory per part, each complete in itself.

    Files that such a directory held from an earlier run and that `data` does not have are removed, so that nothing
    depends on what was there; other files are left alone.

    Args:
        data: the source.
        part_of: utterance -> index into `destinations`; utterances that are not in it are left out.

    Raises:
        InputError: a file of the source is malformed, a part would be empty, or a destination cannot be written.
    """
    for destination in destinations:
        if os.path.realpath(destination) == os.path.realpath(data.root):
            raise InputError(f"{destination}: is the source itself: give another destination")
    utt2spk = data.table("utt2spk")
    parts = _partition(utt2spk, part_of, len(destinations))
    written = {"utt2spk", "spk2utt"}
    for destination, part in zip(destinations, parts, strict=True):
        if not part.keys:
            raise InputError(f"{destination}: would hold no utterance of {data.root}: check the list of ids")
        _make_directory(destination)
        write_id_table(os.path.join(destination, "utt2spk"), part)
        write_spk2utt(os.path.join(destination, "spk2utt"), part)
    speakers = [set(part.values) for part in parts]
    recordings: list[set[bytes]] | None = None
    del parts
    for name in UTTERANCE_FILES[1:]:
        if not data.has(name):
            continue
        tables = _partition(data.table(name), part_of, len(destinations))
        if name == "segments":
            recordings = [{value.split(None, 1)[0] for value in table.values} for table in tables]
        _write_tables(name, tables, destinations, written)
    for name in (*RECORDING_FILES, *SPEAKER_FILES):
        if not data.has(name):
            continue
        table = data.table(name)
        if name in SPEAKER_FILES:
            tables = [table.select(keep) for keep in speakers]
        elif recordings is not None:
            tables = [table.select(keep) for keep in recordings]
        else:
            tables = _partition(table, part_of, len(destinations))
        _write_tables(name, tables, destinations, written)
    for name in DIRECTORY_FILES:
        if data.has(name):
            written.add(name)
            for destination in destinations:
                shutil.copyfile(data.path(name), os.path.join(destination, name))
    for destination in destinations:
        remove_files(destination, set(_KNOWN) - written)
    return [DataDir(destination) for destination in destinations]


def remove_files(directory: str, names: set[str]) -> None:
    """Removes those of the files that exist."""
    for name in sorted(names):
        path = os.path.join(directory, name)
        if os.path.lexists(path):
            os.unlink(path)


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made ({error.strerror})") from None


def _write_tables(name: str, tables: list[IdTable], destinations: Sequence[str], written: set[str]) -> None:
    written.add(name)
    for table, destination in zip(tables, destinations, strict=True):
        if table.keys:
            write_id_table(os.path.join(destination, name), table)
        else:
            remove_files(destination, {name})


def _partition(table: IdTable, part_of: Mapping[bytes, int], number: int) -> list[IdTable]:
    if number == 1:
        return [table.select(part_of)]
    parts = [IdTable([], []) for _ in range(number)]
    start = 0
    for index, run in groupby(map(part_of.get, table.keys)):  # runs are long where the parts are consecutive
        stop = start + sum(1 for _ in run)
        if index is not None:
            parts[index].keys.extend(table.keys[start:stop])
            parts[index].values.extend(table.values[start:stop])
        start = stop
    return parts


def choose_utterances(data: DataDir, number: int, how: str = "random", seed: int = 0) -> list[bytes]:
    """Chooses utterances.

    Args:
        number: how many, or how many per speaker ("per-speaker": all of a speaker who has fewer).
        how: "random", "first", "last", "shortest", "per-speaker", or "speakers": speakers at random, whole, until
            there are `number` utterances.
        seed: of the random choices; the same seed chooses the same.

    Raises:
        InputError: the directory has fewer than `number`.
    """
    utt2spk = data.table("utt2spk").sorted()
    utterances = utt2spk.keys
    if number < 1:
        raise InputError(f"{number} utterances cannot be chosen: ask for 1 or more")
    if how == "per-speaker":
        chosen: list[bytes] = []
        generator = random.Random(seed)
        for members in group_by_value(utt2spk).values:
            group = members.split()
            chosen += group if len(group) <= number else generator.sample(group, number)
        return chosen
    if number > len(utterances):
        raise InputError(f"{data.root}: has {len(utterances)} utterances, {number} are asked for: ask for fewer")
    if how == "first":
        return utterances[:number]
    if how == "last":
        return utterances[-number:]
    if how == "shortest":
        durations = data.durations()
        if durations is None:
            raise InputError(f"{data.path('utt2dur')}: no such file; make it with utils/get_utt2dur.py")
        absent = next((utterance for utterance in utterances if utterance not in durations), None)
        if absent is not None:
            raise InputError(f"{data.root}: the length of utterance {show(absent)} is not known: make utt2dur again")
        return sorted(utterances, key=lambda utterance: (durations[utterance], utterance))[:number]
    if how == "random":
        return random.Random(seed).sample(utterances, number)
    if how == "speakers":
        groups = [members.split() for members in group_by_value(utt2spk).values]
        random.Random(seed).shuffle(groups)
        chosen = []
        for group in groups:
            if len(chosen) >= number:
                break
            chosen += group
        return chosen
    raise ValueError(f"unknown way to choose: {how!r}")


def utterances_of_speakers(data: DataDir, speakers: set[bytes]) -> list[bytes]:
    """The utterances of those speakers. Raises InputError for a speaker who has none."""
    utt2spk = data.table("utt2spk")
    unknown = speakers.difference(utt2spk.values)
    if unknown:
        raise InputError(f"{data.path('utt2spk')}: has no speaker {show(min(unknown))}: correct the list of speakers")
    return [key for key, value in zip(utt2spk.keys, utt2spk.values, strict=True) if value in speakers]
