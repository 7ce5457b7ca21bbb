"""Finding what is wrong with a data directory before work starts (what Kaldi's validate_data_dir.sh does, and more)."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from itertools import islice
from operator import gt

from spkid.kaldi.data_dir import RECORDING_FILES, SPEAKER_FILES, UTTERANCE_FILES, DataDir
from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import FIX, IdTable, check_order, group_by_value, show
from spkid.kaldi.io import pipes_are_forbidden, split_offset
from spkid.kaldi.segments import parse_segment

# What may begin a command of the shell without being a program.
_SHELL_WORDS = {"cd", "for", "if", "while", "set", "export", "exec", "eval", "source", ".", "true", "false", "test"}
# Read without a shell (spkid.audio.corruption), unless something else stands in the line, which reading then refuses.
IN_PROCESS = b"wav-reverberate "


def check_data_dir(
    data: DataDir, needs: tuple[str, ...], *, speaker_order: bool = False, skip: Iterable[str] = ()
) -> list[str]:
    """See `DataDir.check`."""
    for name in ("utt2spk", *needs):
        data.require(name)
    skip = set(skip)
    warnings: list[str] = []
    utterances = data.table("utt2spk")
    check_order(utterances.keys, data.path("utt2spk"))
    speakers = _check_speakers(data, utterances, speaker_order, warnings)
    recordings = utterances.keys
    for name in UTTERANCE_FILES[1:]:
        if name in skip or not data.has(name):
            continue
        table = _check_ids(data, name, utterances.keys, "utterance", "utt2spk")
        if name == "segments":
            recordings = _check_segments(data, table)
        elif name in _VALUE_CHECKS:
            _VALUE_CHECKS[name](data.path(name), table)
    for name in RECORDING_FILES:
        if name in skip or not data.has(name):
            continue
        whole = recordings is utterances.keys
        kind, source = ("utterance", "utt2spk") if whole else ("recording", "segments")
        table = _check_ids(data, name, recordings, kind, source)
        if name == "wav.scp" and "wav.scp" in needs:
            _check_audio_paths(data.path(name), table, warnings)
    for name in SPEAKER_FILES:
        if name not in skip and data.has(name):
            _check_speaker_file(data, name, speakers, warnings)
    return warnings


def _check_speakers(data: DataDir, utterances: IdTable, speaker_order: bool, warnings: list[str]) -> IdTable:
    """utt2spk's speakers, and spk2utt, which must say the same."""
    path = data.path("utt2spk")
    for utterance, speaker in zip(utterances.keys, utterances.values, strict=True):
        if len(speaker.split()) != 1:
            raise InputError(
                f"{path}: utterance {show(utterance)} is followed by {show(speaker)!r} instead of one speaker; "
                "an id cannot hold a blank: write _ for it in every file"
            )
    if speaker_order and any(map(gt, utterances.values, islice(utterances.values, 1, None))):
        raise InputError(
            f"{path}: is sorted by utterance but not by speaker: begin utterance ids with the speaker's, "
            "or allow it with --no-spk-sort (spkid's own tools do not mind)"
        )
    expected = group_by_value(utterances)
    data.require("spk2utt")
    given = data.table("spk2utt")
    check_order(given.keys, data.path("spk2utt"))
    if given != expected:
        _compare(data.path("spk2utt"), given.keys, expected.keys, "speaker", "utt2spk")
        number = next(i for i, (a, b) in enumerate(zip(given.values, expected.values, strict=True)) if a != b)
        raise InputError(
            f"{data.path('spk2utt')}: speaker {show(given.keys[number])} has other utterances than in utt2spk, "
            f"or in another order: {FIX}"
        )
    stranger = next((u for u, s in zip(utterances.keys, utterances.values, strict=True) if not u.startswith(s)), None)
    if stranger is not None:
        warnings.append(
            f"{path}: the speaker's id is not the beginning of the utterance's, as for {show(stranger)}; "
            "Kaldi's own tools want it so"
        )
    single = [key for key, value in zip(expected.keys, expected.values, strict=True) if b" " not in value]
    if single:
        warnings.append(
            f"{path}: {len(single)} speaker(s) with a single utterance, the first is {show(single[0])}: "
            "no target trial and no within-speaker scatter comes from one"
        )
    return expected


def _check_ids(data: DataDir, name: str, expected: list[bytes], kind: str, source: str) -> IdTable:
    path = data.path(name)
    table = data.table(name)
    check_order(table.keys, path)
    if table.keys != expected:
        _compare(path, table.keys, expected, kind, source)
    return table


def _compare(path: str, given: list[bytes], expected: list[bytes], kind: str, source: str) -> None:
    """Raises InputError about the ids of one file that another does not have."""
    known, here = set(expected), set(given)
    foreign = [key for key in given if key not in known]
    if foreign:
        raise InputError(
            f"{path}: {len(foreign)} {kind}(s) that {source} does not have, the first is {show(foreign[0])}"
            f"{_blank_hint(foreign[0], known)}: {FIX}"
        )
    missing = [key for key in expected if key not in here]
    if missing:
        raise InputError(
            f"{path}: lacks {len(missing)} {kind}(s) of {source}, the first is {show(missing[0])}: "
            f"make the file again, or {FIX}"
        )


def _blank_hint(foreign: bytes, known: set[bytes]) -> str:
    return " (does an id hold a blank?)" if any(key.startswith(foreign) for key in known) else ""


def _check_segments(data: DataDir, table: IdTable) -> list[bytes]:
    """Checks times against reco2dur where there is one; returns the sorted recordings."""
    path = data.path("segments")
    lengths: dict[bytes, float] = {}
    if data.has("reco2dur"):
        durations = data.table("reco2dur")
        _check_numbers(data.path("reco2dur"), durations)
        lengths = dict(zip(durations.keys, map(float, durations.values), strict=True))
    recordings: set[bytes] = set()
    for key, value in zip(table.keys, table.values, strict=True):
        segment = parse_segment(show(key), show(value), path)
        recording = segment.recording.encode()
        recordings.add(recording)
        length = lengths.get(recording)
        if length is not None and (segment.start >= length or segment.end > length + 0.5):
            raise InputError(
                f"{path}: utterance {show(key)} from {segment.start:g} to {segment.end:g} s lies outside its recording "
                f"{segment.recording} of {length:g} s: correct its times"
            )
    return sorted(recordings)


def _check_audio_paths(path: str, table: IdTable, warnings: list[str]) -> None:
    archives: dict[str, bool] = {}
    commands: dict[bytes, bytes] = {}
    for key, value in zip(table.keys, table.values, strict=True):
        if value.endswith(b"|"):
            if pipes_are_forbidden() and not value.startswith(IN_PROCESS):
                raise InputError(f"{path}: recording {show(key)} is a command, and --no-pipes forbids it: give a file")
            commands.setdefault(value.split(None, 1)[0], key)
            continue
        name = value.decode()
        if name == "-":
            continue
        try:
            size = os.stat(name).st_size
        except OSError:
            archive = split_offset(name)[0]
            if archive != name and archives.setdefault(archive, os.path.isfile(archive)):
                continue
            hint = "" if " " not in name else " (a command must end with |, and an id cannot hold a blank)"
            raise InputError(f"{path}: recording {show(key)}: no such file {name}{hint}: correct its path") from None
        if size == 0:
            raise InputError(
                f"{path}: recording {show(key)}: {name} is empty: restore it, or remove the recording and {FIX}"
            )

    for command, key in commands.items():
        word = show(command)
        if re.fullmatch(r"[\w./+-]+", word) and word not in _SHELL_WORDS and not shutil.which(word):
            warnings.append(f"{path}: recording {show(key)}: there is no command {word} on this machine: install it")


def _check_archives(path: str, table: IdTable) -> None:
    """The archives that a script of features points into; a handful, however many utterances there are."""
    archives: dict[bytes, bytes] = {}
    for key, value in zip(table.keys, table.values, strict=True):
        archives.setdefault(value.rpartition(b":")[0] or value, key)
    for archive, key in archives.items():
        if archive.endswith(b"|") or os.path.exists(archive):
            continue
        raise InputError(f"{path}: utterance {show(key)}: no such file {show(archive)}: make the features again")


def _check_numbers(path: str, table: IdTable) -> None:
    """Positive numbers (durations, counts of frames)."""
    try:
        if min(map(float, table.values)) > 0:
            return
    except ValueError:
        pass
    for key, value in zip(table.keys, table.values, strict=True):
        try:
            if float(value) > 0:
                continue
        except ValueError:
            pass
        raise InputError(f"{path}: {show(key)} has {show(value)!r} where a number above 0 belongs: make the file again")


def _check_counts(path: str, table: IdTable) -> None:
    """Numbers of frames; an utterance too short for one frame has 0."""
    for key, value in zip(table.keys, table.values, strict=True):
        if not value.isdigit():
            raise InputError(f"{path}: {show(key)} has {show(value)!r} where a number of frames belongs: make it again")


_VALUE_CHECKS: dict[str, Callable[[str, IdTable], None]] = {
    "feats.scp": _check_archives,
    "vad.scp": _check_archives,
    "utt2dur": _check_numbers,
    "utt2num_frames": _check_counts,
}


def _check_speaker_file(data: DataDir, name: str, speakers: IdTable, warnings: list[str]) -> None:
    path = data.path(name)
    table = data.table(name)
    check_order(table.keys, path)
    if name == "spk2gender":
        for key, value in zip(table.keys, table.values, strict=True):
            if value not in (b"m", b"f"):
                raise InputError(f"{path}: speaker {show(key)} has {show(value)!r} where m or f belongs")
    if table.keys == speakers.keys:
        return
    known = set(speakers.keys)
    if known.issuperset(table.keys):
        warnings.append(f"{path}: lacks {len(known) - len(table.keys)} speaker(s) of utt2spk")
        return
    _compare(path, table.keys, speakers.keys, "speaker", "utt2spk")
