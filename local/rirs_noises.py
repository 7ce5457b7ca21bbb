#!/usr/bin/env python3
"""RIRS_NOISES (OpenSLR 28): impulse responses of rooms and noises, 16 kHz.

Ko et al., "A study on data augmentation of reverberant speech for robust speech recognition", ICASSP 2017. Apache 2.0.

    RIRS_NOISES/simulated_rirs/{small,medium,large}room/Room001/Room001-00001.wav, rir_list     20,000 responses each
    RIRS_NOISES/real_rirs_isotropic_noises/*.wav, rir_list, noise_list                          325 and the noises
    RIRS_NOISES/pointsource_noises/*.wav, noise_list                                            843 noises
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.downloads import OPENSLR, Archive, DownloadProgram
from local.common.media import at_rate
from local.common.walking import File, LeftOut, files_below, folder, word
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.audio.durations import recording_duration
from spkid.audio.room_lists import Response, RoomNoise, read_noises, read_responses, write_room_list
from spkid.jobs import Program, progress
from spkid.kaldi import InputError

ARCHIVE = Archive(f"{OPENSLR}/28/rirs_noises.zip", ("e6f48e257286e05de56413b4779d8ffb",), "RIRS_NOISES", 60843)
# Our directory: the list it comes from, and how many entries were published.
LISTS = {
    "rirs_smallroom": ("simulated_rirs/smallroom/rir_list", 20000),
    "rirs_mediumroom": ("simulated_rirs/mediumroom/rir_list", 20000),
    "rirs_largeroom": ("simulated_rirs/largeroom/rir_list", 20000),
    "rirs_real": ("real_rirs_isotropic_noises/rir_list", 325),
    "rirs_isotropic": ("real_rirs_isotropic_noises/noise_list", None),
    "rirs_pointsource": ("pointsource_noises/noise_list", 843),
}
NOT_AUDIO = ("rir_list", "noise_list", "room_info", "rir_info", "README", "LICENSE", "LICENCE", "readme")


class RirsNoises(Program):
    """RIRS_NOISES (OpenSLR 28): download and data preparation."""

    EXAMPLE = "local/rirs_noises.py prepare --corpus downloads/RIRS_NOISES data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `rirs_noises.py download` or `rirs_noises.py prepare` (--help says more)")


@RirsNoises.subcommand("download")
class Download(DownloadProgram):
    """Fetches RIRS_NOISES (1.3 GB) into <directory>/RIRS_NOISES, going on where an earlier attempt broke off."""

    EXAMPLE = "local/rirs_noises.py download downloads"

    def main(self, directory: str) -> int:
        return self.get(directory, [ARCHIVE])


@RirsNoises.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/rirs_{smallroom,mediumroom,largeroom,real} and <data>/rirs_{isotropic,pointsource}.

    Each is a data directory (its speakers are the rooms, or the noises themselves) with a rir_list or a noise_list in
    Kaldi's form, whose paths are absolute: what steps/data/reverberate_data_dir.py takes.
    """

    EXAMPLE = RirsNoises.EXAMPLE

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="the folder RIRS_NOISES")
    rate = cli.SwitchAttr("--rate", cli.Range(4000, 48000), default=16000, help="of the speech; needs --resampled")
    resampled = cli.SwitchAttr("--resampled", str, default="", help="where recordings at another --rate are written")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data = folder(self.corpus, "--corpus names the folder RIRS_NOISES"), Path(data_dir)
        lists = {name: root / path for name, (path, _) in LISTS.items() if (root / path).is_file()}
        if not lists:
            raise InputError(f"{root}: has no rir_list and no noise_list; --corpus names the folder RIRS_NOISES")
        left_out = LeftOut()
        found = {str(root / file.path): file for file in files_below(root, (".wav",), left_out, ignore=NOT_AUDIO)}
        entries: dict[str, list[Response | RoomNoise]] = {}
        for name, path in lists.items():
            listed = read_responses(path) if path.name == "rir_list" else read_noises(path)
            entries[name] = _there(root, listed, found, left_out)
        used = {entry.location for listed in entries.values() for entry in listed}
        for path, file in found.items():
            if path not in used:
                left_out.add("in no rir_list or noise_list", file.path)
        entries = {name: listed for name, listed in entries.items() if listed}
        if not entries:
            raise InputError(f"{root}: none of the recordings that its lists name is there")
        step = preparation(
            "rirs_noises",
            data,
            list(entries),
            (found[path] for path in sorted(used)),
            inputs=lists.values(),
            options={"rate": self.rate, "resampled": self.resampled},
            outputs=[f"{name}/{lists[name].name}" for name in entries],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            for name, listed in entries.items():
                written = self._write(root, data / name, lists[name].name, listed, left_out)
                kind = "responses" if lists[name].name == "rir_list" else "noises"
                step.say(f"{data / name}: {compared(written, LISTS[name][1], kind)}")
            finish(step, left_out, f"{len(used)} responses and noises in {', '.join(entries)}")
        return 0

    def _write(
        self, root: Path, directory: Path, list_name: str, entries: list[Response | RoomNoise], left_out: LeftOut
    ) -> int:
        wav_scp, utt2spk, durations, written = {}, {}, {}, []
        kind = directory.name.removeprefix("rirs_")
        for entry in progress(entries, directory.name, unit="files"):
            # ids of a list are unique in it alone, and numbers: the file's name says more
            name = word(f"{kind}-{Path(entry.location).stem}")
            room = word(f"{kind}-{(entry.room or '').removeprefix(f'{kind}-')}")
            speaker = room if entry.room and name.startswith(room) else name
            try:
                path = at_rate(Path(entry.location), self.rate, root, self.resampled)
                durations[name] = f"{recording_duration(path):.4f}"
            except InputError as error:
                left_out.add(f"cannot be read: {error}", entry.location)
                continue
            if name in wav_scp:
                left_out.add("the name of another recording too", entry.location)
                continue
            wav_scp[name], utt2spk[name] = path, speaker
            written.append(replace(entry, location=path))
        write_data_dir(directory, wav_scp, utt2spk, utt2dur=durations, reco2dur=durations)
        write_room_list(directory / list_name, written)
        return len(written)


def _there(
    root: Path, entries: list[Response] | list[RoomNoise], found: dict[str, File], left_out: LeftOut
) -> list[Response | RoomNoise]:
    """The entries whose files are there, with absolute paths; the lists write them below RIRS_NOISES's own folder."""
    there = []
    for entry in entries:
        path = entry.location.partition("RIRS_NOISES/")[2] or entry.location
        if str(root / path) in found:
            there.append(replace(entry, location=str(root / path)))
        else:
            left_out.add("in a list, but not there", path)
    return there


if __name__ == "__main__":
    RirsNoises.run()
