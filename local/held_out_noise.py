#!/usr/bin/env python3
"""Rooms and noises in two halves without a recording in common: one to train with, one to test with.

What is measured on noisy and reverberant speech means little where training heard the same rooms and noises. A small
collection is divided here; MUSAN and RIRS_NOISES (local/musan.py, local/rirs_noises.py) are large enough that each
purpose can have files of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.noises import TALKERS, VOICES, babble
from local.common.walking import File, LeftOut, files_below, folder, word
from local.common.writing import finish, preparation, write_data_dir
from spkid.audio import WAVE, Wave, read_audio, resample
from spkid.audio.room_lists import Response, write_room_list
from spkid.jobs import Program
from spkid.kaldi import InputError
from spkid.kaldi.tables import TableWriter

EXTENSIONS = (".wav", ".flac")
PIECE_SECONDS = 10
DIRECTORIES = ("rooms_train", "rooms_test", "noises_train", "noises_test", "voices_train")

Sound = tuple[str, str, np.ndarray]  # its name, the folder that it is of, its samples


class HeldOutNoise(Program):
    """Writes <data>/{rooms,noises}_{train,test} and <data>/voices_train from folders of audio.

    Each folder of --rirs is a building with its impulse responses: the first by name is to test with, the others are to
    train with. Of each file in the folders of --noises the first half is to train with and the second to test with, in
    pieces of 10 s, one every second. A folder whose name begins with `babble` holds voices: the first half of its files
    is to train with; the others are mixed, three to seven at a time, to as many pieces of babble as there are pieces of
    noise to test with. rooms_* have a rir_list for steps/data/reverberate_data_dir.py.
    """

    EXAMPLE = "local/held_out_noise.py --rirs corpora/rirs --noises corpora/noises data"

    rirs = cli.SwitchAttr("--rirs", str, mandatory=True, help="a folder of impulse responses for each building")
    noises = cli.SwitchAttr("--noises", str, mandatory=True, help="folders of noises, and one named babble...")
    rate = cli.SwitchAttr("--rate", cli.Range(4000, 48000), default=16000, help="of what is written")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        data, left_out = Path(data_dir), LeftOut()
        rirs = folder(self.rirs, "--rirs names folders of impulse responses")
        root = folder(self.noises, "--noises names folders of noises")
        rooms, sounds = _folders(rirs, left_out), _folders(root, left_out)
        voices = [file for name, files in sounds.items() if name.startswith(VOICES) for file in files]
        noises = [file for name, files in sounds.items() if not name.startswith(VOICES) for file in files]
        if len(rooms) < 2:
            raise InputError(f"{rirs}: needs two folders of impulse responses, one to train and one to test with")
        if not noises or len(voices) < 2 * TALKERS[1]:
            raise InputError(
                f"{root}: needs a folder of noises, and one named {VOICES}... with {2 * TALKERS[1]} files or more"
            )
        held_out = min(rooms)
        used = [file for files in (*rooms.values(), noises, voices) for file in files]
        lists = ["rooms_train/rir_list", "rooms_test/rir_list"]
        options = {"rate": self.rate}
        step = preparation("held_out_noise", data, DIRECTORIES, used, options=options, outputs=lists, force=self.force)
        with step:
            if step.is_done:
                return 0
            half = len(voices) // 2
            train_rooms = [file for name, files in rooms.items() if name != held_out for file in files]
            for name, files in (("rooms_train", train_rooms), ("rooms_test", rooms[held_out])):
                _write_rooms(data / name, self._read(rirs, files), self.rate)
            _write(data / "voices_train", self._read(root, voices[:half]), self.rate)
            read = list(self._read(root, noises))
            first, pieces = (list(_pieces((_half(one, number) for one in read), self.rate)) for number in range(2))
            _write(data / "noises_train", first, self.rate)
            talkers = [samples for _, _, samples in self._read(root, voices[half:])]
            mixed = enumerate(babble(talkers, len(pieces), PIECE_SECONDS * self.rate))
            voices_at_once = [(f"babble-{number:03}", "babble", samples) for number, samples in mixed]
            _write(data / "noises_test", [*pieces, *voices_at_once], self.rate)
            summary = f"tested in {held_out}, with {len(pieces)} pieces of noise and as many of babble"
            finish(step, left_out, f"{len(used)} files of rooms, noises and voices; {summary}")
        return 0

    def _read(self, root: Path, files: Iterable[File]) -> Iterator[Sound]:
        for file in files:
            samples, rate = read_audio(str(root / file.path))
            name = word(file.path.rpartition(".")[0].replace("/", "-"))
            yield name, word(file.parts[0]), resample(samples, rate, self.rate) if rate != self.rate else samples


def _folders(root: Path, left_out: LeftOut) -> dict[str, list[File]]:
    """The audio below each folder of `root`."""
    found: dict[str, list[File]] = {}
    for file in files_below(root, EXTENSIONS, left_out, ignore=("LICENSE.TXT", "LICENSE", "README.md")):
        if len(file.parts) > 1:
            found.setdefault(file.parts[0], []).append(file)
        else:
            left_out.add("in no folder of its own", file.path)
    return found


def _half(sound: Sound, number: int) -> Sound:
    name, group, samples = sound
    middle = len(samples) // 2
    return name, group, samples[middle:] if number else samples[:middle]


def _pieces(sounds: Iterable[Sound], rate: int) -> Iterator[Sound]:
    """Of each sound a piece of PIECE_SECONDS that begins at every full second, or all of a shorter one."""
    length = PIECE_SECONDS * rate
    for name, group, samples in sounds:
        for second in range(max((len(samples) - length) // rate, 0) + 1):
            start = second * rate
            yield f"{name}-{second:03}", group, samples[start : start + length]


def _write(directory: Path, sounds: Iterable[Sound], rate: int) -> dict[str, str]:
    """A data directory whose audio lies in one archive; its wav.scp."""
    archive, script = directory / "data" / "wav.ark", directory / "data" / "wav.scp"
    archive.parent.mkdir(parents=True, exist_ok=True)
    durations = {}
    with TableWriter(f"ark,scp:{archive},{script}", WAVE) as writer:
        for name, _, samples in sounds:
            writer.write(name, Wave(np.asarray(samples, np.float32), rate))
            durations[name] = f"{len(samples) / rate:.4f}"
    wav_scp = dict(line.split(None, 1) for line in script.read_text(encoding="utf-8").splitlines())
    write_data_dir(directory, wav_scp, {name: name for name in wav_scp}, utt2dur=durations, reco2dur=durations)
    return wav_scp


def _write_rooms(directory: Path, sounds: Iterable[Sound], rate: int) -> None:
    """The same for impulse responses, and their rir_list."""
    sounds = list(sounds)
    wav_scp = _write(directory, sounds, rate)
    rooms = [Response(name, group, wav_scp[name]) for name, group, _ in sounds]
    write_room_list(directory / "rir_list", rooms)


if __name__ == "__main__":
    HeldOutNoise.run()
