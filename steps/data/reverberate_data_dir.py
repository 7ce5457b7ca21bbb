#!/usr/bin/env python3
"""Copies of a data directory in other rooms, with their noises (Kaldi's steps/data/reverberate_data_dir.py)."""

from __future__ import annotations

import random
import shlex
import shutil
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

from plumbum import cli

from spkid.audio import Recording
from spkid.audio.copies import (
    check_rate,
    combine_copies,
    fits_between_commas,
    numbers,
    recording_durations,
    write_copy,
)
from spkid.audio.corruption import AddedNoise, corruption_line
from spkid.audio.room_lists import Response, RoomNoise, read_noises, read_responses
from spkid.jobs import Program, Step, boolean, fraction
from spkid.jobs.manifest import manifest
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import is_pipe

TABLES = ("wav.scp", "utt2spk", "segments", "utt2dur", "reco2dur", "vad.scp", "text", "spk2gender", "utt2uniq")
WRITTEN = ("utt2spk", "spk2utt", "utt2uniq")  # and wav.scp, whose lines need not be looked up
ROUNDING = 1e-9

Item = TypeVar("Item", Response, RoomNoise)


class Weighted(NamedTuple):
    """Things to draw from and their probabilities added up."""

    items: list
    upto: list[float]

    def draw(self, generator: random.Random):
        """One of them."""
        return self.items[min(bisect_left(self.upto, generator.random() * self.upto[-1]), len(self.items) - 1)]


class ReverberateDataDir(Program):
    """Writes OUT-DIR: the recordings of DATA-DIR as wav-reverberate lines that put them into rooms, and add noises.

    A list of impulse responses or noises is in the form of RIRS_NOISES (local/rirs_noises.py writes such); its weight
    stands before it, '0.5, rir_list', or is what the others leave. An isotropic noise of the drawn room and noises from
    points of it, each through a response of that room, are added where the lists have any. What is drawn for a copy of
    a recording follows from the seed and its id alone. vad.scp, text and the like go along; features do not.
    """

    EXAMPLE = (
        "steps/data/reverberate_data_dir.py --rir-set-parameters '0.5, data/rirs_smallroom/rir_list' "
        "--rir-set-parameters '0.5, data/rirs_mediumroom/rir_list' --speech-rvb-probability 1 "
        "--pointsource-noise-addition-probability 0 --isotropic-noise-addition-probability 0 --num-replications 1 "
        "data/train data/train_reverb"
    )

    rir_sets = cli.SwitchAttr("--rir-set-parameters", str, list=True, mandatory=True, help="'weight, rir_list'")
    noise_sets = cli.SwitchAttr("--noise-set-parameters", str, list=True, default=[], help="'weight, noise_list'")
    num_replications = cli.SwitchAttr("--num-replications", cli.Range(1, 1000), default=1, help="copies of everything")
    foreground_snrs = cli.SwitchAttr("--foreground-snrs", str, default="20:10:0", help="in dB; one is drawn")
    background_snrs = cli.SwitchAttr("--background-snrs", str, default="20:10:0", help="in dB; one is drawn")
    prefix = cli.SwitchAttr("--prefix", str, default="", help="of ids: <prefix>1-<id>; rvb where there are copies")
    speech_rvb = cli.SwitchAttr("--speech-rvb-probability", fraction, default=1.0, help="of reverberating speech")
    pointsource = cli.SwitchAttr("--pointsource-noise-addition-probability", fraction, default=1.0, help="of any")
    isotropic = cli.SwitchAttr("--isotropic-noise-addition-probability", fraction, default=1.0, help="of one")
    rir_smoothing = cli.SwitchAttr("--rir-smoothing-weight", fraction, default=0.3, help="1: all responses alike")
    noise_smoothing = cli.SwitchAttr("--noise-smoothing-weight", fraction, default=0.3, help="1: all noises alike")
    max_noises = cli.SwitchAttr("--max-noises-per-minute", cli.Range(0, 10**6), default=2, help="from points")
    random_seed = cli.SwitchAttr("--random-seed", int, default=0, help="decides what is drawn")
    shift_output = cli.SwitchAttr("--shift-output", boolean, default=True, help="false: keep the delay and the tail")
    source_rate = cli.SwitchAttr(
        "--source-sampling-rate", cli.Range(0, 10**6), default=0, help="responses and noises of another go through sox"
    )
    include_original = cli.SwitchAttr("--include-original-data", boolean, default=False, help="as copy <prefix>0")
    nj = cli.SwitchAttr("--nj", cli.Range(1, 256), default=4, help="recordings opened at a time for their durations")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, out_dir: str) -> int:
        snrs = numbers(self.foreground_snrs, "foreground-snrs"), numbers(self.background_snrs, "background-snrs")
        prefix = self.prefix or ("rvb" if self.num_replications > 1 or self.include_original else "")
        source, target = DataDir(data_dir), DataDir(out_dir)
        source.check(needs=("utt2spk", "wav.scp"))
        rir_sets, noise_sets = _sets(self.rir_sets, "rir"), _sets(self.noise_sets, "noise")
        names = ("num_replications", "foreground_snrs", "background_snrs", "speech_rvb", "pointsource", "isotropic")
        names += ("rir_smoothing", "noise_smoothing", "max_noises", "random_seed", "shift_output", "source_rate")
        options = {name: getattr(self, name) for name in (*names, "include_original", "rir_sets", "noise_sets")}
        step = Step(
            "reverberate_data_dir",
            target.path("data"),
            [*(source.path(name) for name in TABLES if source.has(name)), *(path for path, _ in rir_sets + noise_sets)],
            {**options, "prefix": prefix},
            outputs=[target.path(name) for name in WRITTEN],
            force=self.force or not target.has("wav.scp"),
        )
        with step:
            if step.is_done:
                return 0
            rooms = _Rooms(
                _at_rate(_mix(rir_sets, read_responses, self.rir_smoothing), self.source_rate),
                _at_rate(_mix(noise_sets, read_noises, self.noise_smoothing), self.source_rate),
            )
            hint = "give --source-sampling-rate, or lists at that rate (local/rirs_noises.py --rate)"
            check_rate(source, rooms.responses.items[0].location, hint)
            durations = recording_durations(source, self.nj)
            numbers_of_copies = range(0 if self.include_original else 1, self.num_replications + 1)
            copies = []
            for number in numbers_of_copies:
                lines = {}
                for recording, entry in source.wav_scp.items():
                    draw = random.Random(f"{self.random_seed} {number} {recording}")
                    lines[recording] = self._line(draw, rooms, entry, durations[recording], snrs) if number else entry
                rename = f"{prefix}{number}-".__add__ if prefix else str
                place = out_dir if len(numbers_of_copies) == 1 else target.path(f"data/copy{number}")
                same_length = self.shift_output or not number
                copy = write_copy(source, place, lines, rename=rename, rename_speaker=rename, same_length=same_length)
                copies.append(copy)
            if len(copies) > 1:
                combine_copies(out_dir, copies)
                for copy in copies:
                    shutil.rmtree(copy.root)
            made = f"{len(copies)} copies" if len(copies) > 1 else "one copy"
            where = f"{data_dir} in {len(rooms.by_room)} rooms"
            step.finish(f"{made} of the {len(durations)} recordings of {where}", manifest(durations))
        return 0

    def _line(
        self, draw: random.Random, rooms: _Rooms, entry: str, seconds: float, snrs: tuple[list[float], list[float]]
    ) -> str:
        """What one copy of a recording becomes; the recording itself where nothing is drawn."""
        foreground, background = snrs
        response, noises = rooms.responses.draw(draw), []
        reverberated = draw.random() < self.speech_rvb
        isotropic = rooms.isotropic.get(response.room)
        if isotropic and draw.random() < self.isotropic:
            location = corruption_line(isotropic.draw(draw).location, duration=seconds)
            noises.append(AddedNoise(location, draw.choice(background)))
        most = int(self.max_noises * seconds / 60)
        if rooms.points and most and draw.random() < self.pointsource:
            for _ in range(draw.randint(1, most)):
                noise, place = rooms.points.draw(draw), rooms.by_room[response.room].draw(draw).location
                if noise.background:
                    location = corruption_line(noise.location, response=place, duration=seconds)
                    noises.append(AddedNoise(location, draw.choice(background)))
                else:
                    location = corruption_line(noise.location, response=place)
                    start = round(draw.random() * seconds, 2)
                    noises.append(AddedNoise(location, draw.choice(foreground), start))
        if not (reverberated or noises):
            return entry
        room = response.location if reverberated else ""
        return corruption_line(entry, response=room, noises=noises, shift=self.shift_output)


class _Rooms:
    """The responses by room and the noises by kind, ready to be drawn from."""

    def __init__(self, responses: list[tuple[Response, float]], noises: list[tuple[RoomNoise, float]]):
        fits_between_commas(item.location for item, _ in [*responses, *noises])
        rooms, isotropic = defaultdict(list), defaultdict(list)
        for response, probability in responses:
            rooms[response.room].append((response, probability))
        for noise, probability in noises:
            if noise.isotropic:
                isotropic[noise.room].append((noise, probability))
        self.responses = _weighted(responses)
        self.by_room = {room: _weighted(members) for room, members in rooms.items()}
        self.isotropic = {room: _weighted(members) for room, members in isotropic.items()}
        points = [(noise, probability) for noise, probability in noises if not noise.isotropic]
        self.points = _weighted(points) if points else None


def _at_rate(entries: list[tuple[Item, float]], rate: int) -> list[tuple[Item, float]]:
    """Puts sox behind every location of another rate, as Kaldi does. Raises InputError where there is no sox."""
    if not rate:
        return entries
    changed = []
    for item, probability in entries:
        with Recording(item.location) as recording:
            other = recording.rate != rate
        if other and not shutil.which("sox"):
            raise InputError(
                f"{item.location}: is sampled at another rate than {rate} Hz and there is no sox to change it; "
                "local/rirs_noises.py --rate writes copies at that rate"
            )
        source = item.location if is_pipe(item.location) else f"cat {shlex.quote(item.location)} |"
        location = f"{source} sox -t wav - -r {rate} -t wav - |" if other else item.location
        changed.append((replace(item, location=location), probability))
    return changed


def _sets(words: Sequence[str], kind: str) -> list[tuple[str, float | None]]:
    """`0.5, list` or `list` of each option: path and weight."""
    sets = []
    for text in words:
        weight, comma, path = text.partition(",")
        path = path.strip() if comma else text.strip()
        try:
            number = float(weight) if comma else None
            if number is not None and not 0 <= number <= 1:
                raise ValueError
        except ValueError:
            raise InputError(
                f"--{kind}-set-parameters: {weight.strip()!r} is no weight from 0 to 1; expected '0.5, {kind}_list'"
            ) from None
        if not Path(path).is_file():
            hint = "" if comma else f"; with a weight write '0.5, {kind}_list'"
            raise InputError(f"{path}: no such file, which --{kind}-set-parameters names{hint}")
        sets.append((path, number))
    return sets


def _mix(sets: list[tuple[str, float | None]], read, smoothing: float) -> list[tuple[Item, float]]:
    """All entries of the lists with their probabilities: the set's weight times the entry's own share of the set."""
    weights = _completed([weight for _, weight in sets])
    mixed = []
    for (path, _), weight in zip(sets, weights, strict=True):
        entries = read(path)
        shares = _completed([entry.probability for entry in entries])
        uniform = 1 / len(entries)
        shares = [(1 - smoothing) * share + smoothing * uniform for share in shares]
        mixed += [(entry, weight * share / sum(shares)) for entry, share in zip(entries, shares, strict=True)]
    if sets and not sum(probability for _, probability in mixed) > 0:
        raise InputError(f"all weights of {', '.join(path for path, _ in sets)} are 0: nothing could be drawn")
    return mixed


def _completed(weights: list[float | None]) -> list[float]:
    """Weights that add up to 1: those that are not given share what the others leave."""
    given = sum(weight for weight in weights if weight is not None)
    missing = weights.count(None)
    rest = max(0.0, 1 - given) / missing if missing else 0.0
    completed = [rest if weight is None else weight for weight in weights]
    total = sum(completed)
    return [weight / total for weight in completed] if total > ROUNDING else completed


def _weighted(entries: list[tuple[Item, float]]) -> Weighted:
    return Weighted([item for item, _ in entries], list(accumulate(probability for _, probability in entries)))


if __name__ == "__main__":
    ReverberateDataDir.run()
