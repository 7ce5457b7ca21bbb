"""Kaldi's lists of impulse responses and noises (rir_list, noise_list): options and a location on every line.

    --rir-id 00001 --room-id Room001 RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav
    --noise-id 00001 --noise-type isotropic --room-linkage air_type1 RIRS_NOISES/real_rirs_isotropic_noises/x.wav
    --noise-id 00002 --noise-type point-source --bg-fg-type foreground RIRS_NOISES/pointsource_noises/y.wav

Written after steps/data/reverberate_data_dir.py, which is where Kaldi defines them.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write, open_input


@dataclass(frozen=True)
class Response:
    """An impulse response of a room.

    `probability` None: what the others of its list leave. `location` is a file or a command that ends in `|`.
    """

    name: str
    room: str
    location: str
    probability: float | None = None

    def line(self) -> str:
        """As a line of rir_list."""
        return f"--rir-id {self.name} --room-id {self.room} {_written(self.location)}"


@dataclass(frozen=True)
class RoomNoise:
    """A noise: `isotropic`, of one room (`room`), or from a point, where `background` lasts as long as the speech."""

    name: str
    location: str
    isotropic: bool = False
    background: bool = True
    room: str | None = None
    probability: float | None = None

    def line(self) -> str:
        """As a line of noise_list."""
        kind = "isotropic" if self.isotropic else "point-source"
        room = f" --room-linkage {self.room}" if self.room else ""
        where = "background" if self.background else "foreground"
        return f"--noise-id {self.name} --noise-type {kind} --bg-fg-type {where}{room} {_written(self.location)}"


def read_responses(path: str | os.PathLike) -> list[Response]:
    """Reads a rir_list. Raises InputError: no such file, an empty one, a line without id, room or location."""
    found = []
    for place, options, location in _lines(path):
        name, room = options.get("rir-id"), options.get("room-id")
        if name is None or room is None:
            raise InputError(f"{place}: expected '--rir-id <id> --room-id <room> <file>'")
        found.append(Response(name, room, location, _probability(options, place)))
    return found


def read_noises(path: str | os.PathLike) -> list[RoomNoise]:
    """Reads a noise_list. Raises InputError as `read_responses`, and for an isotropic noise without a room."""
    found = []
    for place, options, location in _lines(path):
        name, kind = options.get("noise-id"), options.get("noise-type")
        if name is None or kind not in ("isotropic", "point-source"):
            raise InputError(f"{place}: expected '--noise-id <id> --noise-type isotropic|point-source ... <file>'")
        where, room = options.get("bg-fg-type", "background"), options.get("room-linkage")
        if where not in ("background", "foreground"):
            raise InputError(f"{place}: --bg-fg-type is background or foreground, not {where!r}")
        if kind == "isotropic" and room is None:
            raise InputError(f"{place}: an isotropic noise belongs to a room, and --room-linkage is missing")
        probability = _probability(options, place)
        found.append(RoomNoise(name, location, kind == "isotropic", where == "background", room, probability))
    return found


def write_room_list(path: str | os.PathLike, entries: Iterable[Response | RoomNoise]) -> None:
    """Writes a rir_list or a noise_list."""
    with atomic_write(path) as stream:
        stream.writelines(f"{entry.line()}\n" for entry in entries)


def _lines(path: str | os.PathLike) -> Iterator[tuple[str, dict[str, str], str]]:
    """Of each line: where it stands, its options, its location."""
    empty = True
    with open_input(os.fspath(path)) as stream:
        for number, raw in enumerate(stream, 1):
            place = f"{path}, line {number}"
            try:
                words = shlex.split(raw.decode("utf-8"))
            except ValueError as error:  # not UTF-8, or a quotation without an end
                raise InputError(f"{place}: cannot be understood ({error})") from None
            if not words:
                continue
            empty, options = False, {}
            while words and words[0].startswith("--"):
                option, equals, value = words.pop(0)[2:].partition("=")
                if not equals:
                    if not words:
                        raise InputError(f"{place}: nothing follows --{option}")
                    value = words.pop(0)
                options[option] = value
            if not words:
                raise InputError(f"{place}: ends without a file")
            yield place, options, " ".join(words)
    if empty:
        raise InputError(f"{path}: is empty")


def _probability(options: dict[str, str], place: str) -> float | None:
    text = options.get("probability")
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise InputError(f"{place}: --probability {text} is no number from 0 to 1")
    return number


def _written(location: str) -> str:
    """Quoted where it would fall apart into words, as Kaldi's own lists quote commands."""
    if not any(sign in location for sign in " '\"\\"):
        return location
    return '"' + location.replace("\\", "\\\\").replace('"', '\\"') + '"'
