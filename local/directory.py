#!/usr/bin/env python3
"""Recordings of one's own: a folder with a folder a speaker, or a table that names files and speakers.

    speech/ann/anything/1.wav            the first folder is the speaker: utterance ann-anything-1
    table.csv or table.tsv               named columns: path and speaker; perhaps utterance, gender, text, start, end

Any sampling rate, 8 kHz as well as 16; m4a, mp4 and the like through ffmpeg. Blanks in names become _ in ids.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.media import decoding_command
from local.common.walking import File, LeftOut, files_below, folder, unusable, word
from local.common.writing import finish, preparation, write_data_dir
from spkid.audio.durations import recording_duration
from spkid.jobs import Program, progress
from spkid.kaldi import InputError

READ = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".sph")
THROUGH_FFMPEG = (".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".webm", ".mkv", ".mov")
COLUMNS = {
    "path": ("path", "file", "filename", "wav", "audio"),
    "speaker": ("speaker", "spk", "speaker_id", "client_id", "label"),
    "utterance": ("utterance", "utt", "utterance_id", "id"),
    "gender": ("gender", "sex"),
    "text": ("text", "sentence", "transcript"),
    "start": ("start", "begin", "from"),
    "end": ("end", "stop", "to"),
}
GENDERS = {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f", "w": "f"}
SHORTEST_SECONDS = 0.1


@dataclass
class Collected:
    """What a data directory is made of, by utterance (recordings by recording, genders by speaker)."""

    recordings: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    segments: dict[str, str] = field(default_factory=dict)
    genders: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def collect_tree(root: Path, found: Iterable[File], left_out: LeftOut) -> Collected:
    """Every file below a folder of the first level, which is the speaker."""
    collected = Collected()
    for file in found:
        parts = file.parts
        if len(parts) == 1:
            left_out.add("in no speaker's folder", file.path)
            continue
        speaker = word(parts[0])
        name = word("-".join([*parts[:-1], file.stem]))
        if name in collected.recordings:
            left_out.add("a second file of one name", file.path)
            continue
        collected.recordings[name], collected.speakers[name] = f"{root}/{file.path}", speaker
    return collected


def read_table(path: Path, columns: dict[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV or TSV file: line number, and what stands under our names of the columns.

    Args:
        columns: our name -> the file's own name of that column, where it is not one of COLUMNS.

    Raises:
        InputError: not UTF-8, no path or no speaker among the columns, a row of another length.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8: save it as such") from None
    lines = text.splitlines()
    header = lines[0] if lines else ""
    separator = max("\t,;", key=header.count)
    rows = csv.reader(lines, delimiter=separator)
    names = [name.strip().lower() for name in next(rows, [])]
    places = {}
    for ours, known in COLUMNS.items():
        wanted = (columns[ours].lower(),) if columns.get(ours) else known
        place = next((names.index(name) for name in wanted if name in names), None)
        if place is not None:
            places[ours] = place
        elif columns.get(ours):
            raise InputError(f"{path}: has no column {columns[ours]}; its columns are {', '.join(names)}")
    for ours in ("path", "speaker"):
        if ours not in places:
            raise InputError(
                f"{path}: no column is called {' or '.join(COLUMNS[ours][:3])}; its columns are {', '.join(names)}: "
                f"--{ours}-column names it"
            )
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            raise InputError(f"{path}, line {rows.line_num}: has {len(row)} cells where the header has {len(names)}")
        yield rows.line_num, {ours: row[place].strip() for ours, place in places.items()}


def collect_table(path: Path, root: Path, columns: dict[str, str], left_out: LeftOut) -> tuple[Collected, list[File]]:
    """The utterances of a table, and the files it names; paths are relative to `root`.

    A row with a start (seconds) is a segment of its file. A row whose file is missing or empty is left out.
    """
    collected, files, names, taken = Collected(), {}, {}, set()
    for number, row in read_table(path, columns):
        file, speaker = str(root / row["path"]), word(row["speaker"])
        where = f"{path.name}, line {number}: {row['path']}"
        if not speaker or not row["path"]:
            raise InputError(f"{path}, line {number}: path and speaker cannot be empty")
        if file not in files:
            size = Path(file).stat().st_size if Path(file).is_file() else -1
            files[file] = File(file, size)
        problem = unusable(file) or {-1: "there is no such file", 0: "an empty file"}.get(files[file].size)
        if problem:
            left_out.add(problem, where)
            continue
        if file not in names:
            names[file] = _recording_id(file, root, speaker, taken)
            taken.add(names[file])
        name = recording = names[file]
        start = row.get("start", "")
        if start:
            end = row.get("end", "") or "-1"
            own = recording if recording.startswith(f"{speaker}-") else f"{speaker}-{recording}"
            name = f"{own}-{_hundredths(start, path, number):07d}"
        if row.get("utterance"):
            own = word(row["utterance"])
            name = own if own.startswith(speaker) else f"{speaker}-{own}"
        if name in collected.speakers:
            raise InputError(f"{path}, line {number}: utterance {name} stands on an earlier line too")
        collected.speakers[name] = speaker
        if start:
            collected.segments[name] = f"{recording} {start} {end}"
        elif name != recording:
            names[file] = recording = name
        collected.recordings[recording] = file
        if row.get("text"):
            collected.texts[name] = " ".join(row["text"].split())
        gender = GENDERS.get(row.get("gender", "").lower())
        if gender:
            collected.genders[speaker] = gender
    if collected.segments and len(collected.segments) < len(collected.speakers):
        whole = {name: f"{name} 0 -1" for name in collected.speakers if name not in collected.segments}
        collected.segments.update(whole)
    return collected, sorted(file for file in files.values() if file.size > 0)


class DirectoryPreparation(Program):
    """Writes a data directory of one's own recordings: a folder with a folder a speaker, or a CSV or TSV table."""

    EXAMPLE = "local/directory.py --corpus speech data/mine"

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="speakers' folders; a table's paths are below it")
    table = cli.SwitchAttr("--table", str, default="", help="CSV or TSV file with named columns")
    path_column = cli.SwitchAttr("--path-column", str, default="", help="the table's column of files")
    speaker_column = cli.SwitchAttr("--speaker-column", str, default="", help="the table's column of speakers")
    segments = cli.SwitchAttr("--segments", str, default="", help="columns of start and end in seconds: begin,finish")
    rate = cli.SwitchAttr(
        "--rate", cli.Range(4000, 192000), default=16000, help="of what ffmpeg decodes (m4a and others)"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data = folder(self.corpus, "--corpus names the folder of recordings"), Path(data_dir)
        left_out = LeftOut()
        if self.table:
            start, _, end = self.segments.partition(",")
            columns = {"path": self.path_column, "speaker": self.speaker_column, "start": start, "end": end}
            collected, found = collect_table(Path(self.table), root, columns, left_out)
        else:
            found = files_below(root, READ + THROUGH_FFMPEG, left_out)
            collected = collect_tree(root, found, left_out)
        if not collected.speakers:
            raise InputError(
                f"{self.table or root}: no recording could be used; expected <speaker>/<recording>.wav and the like"
                if not left_out
                else f"{self.table or root}: no recording could be used: {_reasons(left_out)}"
            )
        inputs = [self.table] if self.table else []
        options = {"segments": self.segments, "rate": self.rate, "speaker_column": self.speaker_column}
        step = preparation("directory", data, ["."], found, inputs=inputs, options=options, force=self.force)
        with step:
            if step.is_done:
                return 0
            durations = self._durations(collected, left_out)
            _drop(collected, durations)
            if not collected.speakers:
                raise InputError(f"{root}: no recording could be used: {_reasons(left_out)}")
            lengths = {} if collected.segments else {name: durations[name] for name in collected.speakers}
            write_data_dir(
                data,
                {name: self._entry(path) for name, path in collected.recordings.items()},
                collected.speakers,
                segments=collected.segments,
                spk2gender=collected.genders,
                text=collected.texts if len(collected.texts) == len(collected.speakers) else {},
                utt2dur={name: f"{seconds:.4f}" for name, seconds in lengths.items()},
                reco2dur={name: f"{seconds:.4f}" for name, seconds in durations.items()} if collected.segments else {},
            )
            counts = Counter(collected.speakers.values())
            single = [speaker for speaker, number in counts.items() if number == 1]
            if single:
                step.say(f"warning: {len(single)} speakers have a single utterance, {single[0]} among them")
            hours = sum(durations.values()) / 3600
            told = f"{len(counts)} speakers, {len(collected.speakers)} utterances, {hours:.2f} hours"
            finish(step, left_out, f"{data_dir}: {told}", speakers=len(counts), utterances=len(collected.speakers))
        return 0

    def _entry(self, path: str) -> str:
        return decoding_command(path, self.rate) if path.lower().endswith(THROUGH_FFMPEG) else path

    def _durations(self, collected: Collected, left_out: LeftOut) -> dict[str, float]:
        """Seconds of each recording that can be read and is long enough for features."""
        durations = {}
        recordings = collected.recordings.items()
        for name, path in progress(recordings, "durations", total=len(recordings), unit="recordings"):
            try:
                seconds = recording_duration(self._entry(path))
            except InputError as error:
                left_out.add("cannot be read as audio", f"{path} ({str(error).removeprefix(f'{path}: ')})")
                continue
            if seconds < SHORTEST_SECONDS:
                left_out.add(f"shorter than {SHORTEST_SECONDS} s", path)
            else:
                durations[name] = seconds
        return durations


def _drop(collected: Collected, kept: dict[str, float]) -> None:
    """Takes out what belongs to recordings that are not kept."""
    collected.recordings = {name: path for name, path in collected.recordings.items() if name in kept}
    for name in list(collected.speakers):
        line = collected.segments.get(name)
        if (line.split()[0] if line else name) not in kept:
            del collected.speakers[name]
            collected.segments.pop(name, None)
            collected.texts.pop(name, None)


def _recording_id(file: str, root: Path, speaker: str, taken: set[str]) -> str:
    path = PurePosixPath(file)
    parts = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-2:]
    name = word("-".join([*parts[:-1], path.stem]))
    name = name if name.startswith(speaker) else f"{speaker}-{name}"
    number, chosen = 2, name
    while chosen in taken:  # a.wav beside a.flac
        chosen, number = f"{name}-{number}", number + 1
    return chosen


def _hundredths(text: str, path: Path, number: int) -> int:
    try:
        return round(float(text) * 100)
    except ValueError:
        raise InputError(f"{path}, line {number}: {text!r} is no number of seconds") from None


def _reasons(left_out: LeftOut) -> str:
    return "; ".join(f"{why} ({len(names)})" for why, names in sorted(left_out.by_reason.items()))


if __name__ == "__main__":
    DirectoryPreparation.run()
