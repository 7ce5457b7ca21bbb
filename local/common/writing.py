"""Writing the data directories of a corpus."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from local.common.walking import File, LeftOut, digest
from spkid.jobs import Step
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_dir import (
    DIRECTORY_FILES,
    RECORDING_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    write_spk2utt,
)
from spkid.kaldi.data_subset import remove_files
from spkid.kaldi.lists import write_id_map

KNOWN_FILES = {*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES, *DIRECTORY_FILES, "spk2utt"}


def write_data_dir(
    directory: str | os.PathLike,
    wav_scp: Mapping[str, str],
    utt2spk: Mapping[str, str],
    **tables: Mapping[str, object],
) -> DataDir:
    """Writes wav.scp, utt2spk, spk2utt and further tables (`spk2gender=`, `text=`, `segments=`, `utt2dur=`, ...).

    An empty table is not written. Of spk2gender and its like only the speakers of utt2spk are. What an earlier
    preparation left there (feats.scp, segments, ...) is removed unless the recordings and utterances are the same.

    Raises:
        InputError: no utterance, an id that no table can hold, ids that do not belong together.
    """
    if not utt2spk:
        raise InputError(f"{directory}: no utterance of the corpus belongs here: is this the right folder?")
    Path(directory).mkdir(parents=True, exist_ok=True)
    data = DataDir(directory)
    written = {"wav.scp": wav_scp, "utt2spk": utt2spk, **tables}
    speakers = set(utt2spk.values())
    for name in SPEAKER_FILES:
        if name in written:
            written[name] = {speaker: value for speaker, value in written[name].items() if speaker in speakers}
    if not _holds(data, written):
        remove_files(data.root, KNOWN_FILES)
    for name, table in written.items():
        if table:
            write_id_map(data.path(name), table)
    write_spk2utt(data.path("spk2utt"), data.table("utt2spk"))
    data.check()
    return data


def command_of(words: list[str]) -> str:
    """A wav.scp entry that runs a command: every word quoted for the shell."""
    return f"{shlex.join(words)} |"


def _holds(data: DataDir, written: Mapping[str, Mapping]) -> bool:
    """Whether the directory was made from the same recordings and utterances before."""
    for name in ("wav.scp", "utt2spk", "segments"):
        try:
            before = data.read(name) if data.has(name) else {}
        except InputError:
            return False
        if before != {key: str(value) for key, value in written.get(name, {}).items()}:
            return False
    return True


def preparation(
    name: str,
    data: Path,
    directories: Sequence[str],
    files: Iterable[File],
    *,
    inputs: Iterable[str | os.PathLike] = (),
    options: Mapping[str, object] | None = None,
    outputs: Iterable[str] = (),
    force: bool = False,
    script: str = "wav.scp",
) -> Step:
    """The step of a corpus' `prepare`, which is done when the corpus' files, its lists and the options are the same.

    Args:
        name: of the program; its records go to `<data>/.<name>`.
        directories: the data directories that are written, below `data`; `.` for `data` itself.
        files: all the corpus' files that are used: a file that comes, goes or changes its size is a reason to run.
        inputs: lists and tables of the corpus, compared by their text.
        outputs: further files that are written, below `data`.
        script: the file of each directory that points to the corpus or to what was made of it.
    """
    tables = [data / one / file for one in directories for file in ("utt2spk", "spk2utt")]
    scripts = [data / one / script for one in directories]  # not an output: each line of it would be looked up
    options = {**(options or {}), "files": digest(files)}
    outputs = [*tables, *(data / one for one in outputs)]
    missing = not all(script.is_file() for script in scripts)
    return Step(f"{name}_prepare", data / f".{name}", inputs, options, outputs, force or missing)


def finish(step: Step, left_out: LeftOut, summary: str, **facts) -> None:
    """Ends a preparation: what was left out is said, and listed in `<data>/.<name>/left_out`."""
    left_out.report(step.say)
    left_out.write(step.outdir / "left_out")
    step.finish(summary, left_out=len(left_out), **facts)


def compared(number: int, published: int | None, what: str) -> str:
    """`1251 speakers`, and where the published number is another, that number: `1250 speakers (published: 1251)`."""
    told = f"{number} {what}"
    return told if published is None or number == published else f"{told} (published: {published})"
