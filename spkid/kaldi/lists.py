"""Text files of `id rest of the line` (wav.scp, utt2spk, feats.scp, ...) as dictionaries of strings.

For work on whole data directories, where every line counts, see id_table.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import atomic_write, check_input_name, open_input


def read_lines(rxfilename: str | os.PathLike) -> Iterator[tuple[int, str, str]]:
    """Yields (line number, id, rest) of each line; the rest may be empty.

    Raises:
        InputError: an empty line, or bytes that are not UTF-8; the sentence names file and line.
    """
    with open_input(str(rxfilename)) as stream:
        name = stream.name
        for number, line in enumerate(stream, 1):
            try:  # split as bytes: a no-break space is part of an id, as for Kaldi
                words = [word.decode("utf-8") for word in line.rstrip().split(None, 1)]
            except UnicodeDecodeError:
                raise InputError(f"{name}, line {number}: not UTF-8 text") from None
            if not words:
                raise InputError(f"{name}, line {number}: empty line")
            yield number, words[0], words[1] if len(words) == 2 else ""


def read_id_map(rxfilename: str | os.PathLike) -> dict[str, str]:
    """Reads `id rest` lines, in their order.

    Raises:
        InputError: unreadable, not UTF-8, an empty line, an id without a value or an id given twice; the sentence names
            file and line.
    """
    mapping: dict[str, str] = {}
    for number, key, value in read_lines(rxfilename):
        if not value:
            raise InputError(f"{rxfilename}, line {number}: nothing follows the id {key}")
        if key in mapping:
            raise InputError(f"{rxfilename}, line {number}: the id {key} is given a second time")
        mapping[key] = value
    return mapping


def read_script(rxfilename: str | os.PathLike) -> dict[str, str]:
    """Reads an scp file: id -> rxfilename (with its range, where it has one). Raises InputError as read_id_map does."""
    script = read_id_map(rxfilename)
    for key, value in script.items():
        try:
            check_input_name(value)
        except InputError as error:
            raise InputError(f"{rxfilename}, id {key}: {error}") from None
    return script


def write_id_map(path: str | os.PathLike, mapping: Mapping[str, object]) -> None:
    """Writes `id value` lines sorted by the bytes of the id, all at once.

    Raises:
        InputError: an id is empty or holds a blank, a value holds a line end, or the file cannot be written.
    """
    with atomic_write(path) as stream:
        for key in sorted(mapping):
            value = str(mapping[key])
            check_id(key, str(path))
            if "\n" in value:
                raise InputError(f"{path}: the value of {key} holds a line end")
            stream.write(f"{key} {value}\n")


def check_id(key: str, name: str) -> None:
    """Refuses ids that a table cannot hold."""
    if not is_word(key):
        raise InputError(f"{name}: {key!r} cannot be an id, it is empty or holds a blank")


def is_word(text: str) -> bool:
    """Whether a text can stand as one word in Kaldi's files: not empty, without ASCII blanks, encodable."""
    try:
        return len(text.encode("utf-8").split()) == 1 and text.strip(" \t\n\r\v\f") == text
    except UnicodeEncodeError:
        return False
