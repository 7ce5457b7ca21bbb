"""VoxCeleb's list files: `speaker path` for training and `label file1 file2` for verification, under our ids."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from local.common.walking import word
from spkid.kaldi import InputError
from spkid.kaldi.io import open_input


def utterance_id(path: str) -> str:
    """`id10270/x6uYqmx31kE/00001.wav` is id10270-x6uYqmx31kE-00001; of an absolute path the last three parts count."""
    parts = [part for part in PurePosixPath(path).with_suffix("").parts if part != "."]
    return word("-".join(parts[-3:] if path.startswith("/") else parts))


def read_training_list(path: str | os.PathLike) -> dict[str, tuple[str, str]]:
    """Reads `speaker path` lines: utterance -> (speaker, path as it stands there).

    The speaker goes in front of an utterance's name where the path does not begin with it.

    Raises:
        InputError: a line of another form, or two paths that make one id.
    """
    utterances: dict[str, tuple[str, str]] = {}
    for number, line in _lines(path):
        speaker, *rest = line.split(None, 1)
        file = rest[0] if rest else ""
        if not file:
            raise InputError(f"{path}, line {number}: expected 'speaker path', got {line!r}")
        name = utterance_id(file)
        name = name if name.startswith(speaker) else f"{speaker}-{name}"
        _add(utterances, name, (speaker, file), path, number)
    if not utterances:
        raise InputError(f"{path}: holds no line")
    return utterances


def read_verification_list(path: str | os.PathLike) -> tuple[list[tuple[str, str, bool]], dict[str, tuple[str, str]]]:
    """Reads `label file1 file2` lines (1: one speaker, 0: two).

    Returns:
        The trials under our ids, in the list's order, and utterance -> (speaker, path); the speaker of a file is the
        first folder of its path.

    Raises:
        InputError: a line of another form, or two paths that make one id.
    """
    trials: list[tuple[str, str, bool]] = []
    utterances: dict[str, tuple[str, str]] = {}
    names: dict[str, str] = {}
    for number, line in _lines(path):
        words = line.split()
        if len(words) != 3 or words[0] not in ("0", "1"):
            raise InputError(f"{path}, line {number}: expected '0 or 1, file, file', got {line!r}")
        for file in words[1:]:
            if file not in names:
                names[file] = name = utterance_id(file)
                _add(utterances, name, (name.partition("-")[0], file), path, number)
        trials.append((names[words[1]], names[words[2]], words[0] == "1"))
    if not trials:
        raise InputError(f"{path}: holds no trial")
    return trials, utterances


def _add(utterances: dict, name: str, value: tuple[str, str], path: str | os.PathLike, number: int) -> None:
    if name in utterances:
        raise InputError(f"{path}, line {number}: {value[1]} and {utterances[name][1]} would both be utterance {name}")
    utterances[name] = value


def _lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    with open_input(os.fspath(path)) as stream:
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode("utf-8-sig").strip()
            except UnicodeDecodeError:
                raise InputError(f"{path}, line {number}: not UTF-8 text") from None
            if text:
                yield number, text
