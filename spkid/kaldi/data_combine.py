"""Several data directories as one, and a directory under other ids."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence

from spkid.kaldi.data_dir import (
    DIRECTORY_FILES,
    RECORDING_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    DataDir,
    write_spk2utt,
)
from spkid.kaldi.data_subset import remove_files
from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import IdTable, find_unsorted, show, write_id_table


def combine_data_dirs(destination: str | os.PathLike, sources: Sequence[DataDir]) -> tuple[DataDir, list[str]]:
    """Writes all sources as one directory.

    A file that only some sources have is left out (and said), but for `segments`: a source without it gets one segment
    per recording, from its start to its end. A speaker or a recording may be in several sources, with the same value;
    an utterance may not.

    Returns:
        The directory, and sentences about what was left out.

    Raises:
        InputError: an utterance in two sources, one id with two values, features made with different options.
    """
    target = DataDir(destination)
    if any(os.path.realpath(source.root) == os.path.realpath(target.root) for source in sources):
        raise InputError(f"{target.root}: is one of the sources: give another destination")
    os.makedirs(target.root, exist_ok=True)
    said: list[str] = []
    written = {"utt2spk", "spk2utt"}
    utt2spk = _merge("utt2spk", [(source, source.table("utt2spk")) for source in sources], shared=False)
    write_id_table(target.path("utt2spk"), utt2spk)
    write_spk2utt(target.path("spk2utt"), utt2spk)
    del utt2spk
    for name in (*UTTERANCE_FILES[1:], *RECORDING_FILES, *SPEAKER_FILES):
        having = [source for source in sources if source.has(name)]
        if not having:
            continue
        if len(having) < len(sources) and name != "segments":
            absent = next(source for source in sources if not source.has(name))
            said.append(f"{name}: left out, {absent.root} has none")
            continue
        tables = [(source, source.table(name) if source.has(name) else _whole_recordings(source)) for source in sources]
        write_id_table(target.path(name), _merge(name, tables, shared=name not in UTTERANCE_FILES))
        written.add(name)
    for name in DIRECTORY_FILES:
        if _agree(name, sources):
            shutil.copyfile(sources[0].path(name), target.path(name))
            written.add(name)
    everything = {*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES, *DIRECTORY_FILES}
    remove_files(target.root, everything - written)
    return target, said


def _whole_recordings(source: DataDir) -> IdTable:
    keys = source.table("utt2spk").keys
    return IdTable(keys, [b"%b 0 -1" % key for key in keys])


def _merge(name: str, tables: Sequence[tuple[DataDir, IdTable]], *, shared: bool) -> IdTable:
    keys = [key for _, table in tables for key in table.keys]
    values = [value for _, table in tables for value in table.values]
    merged = IdTable(keys, values).sorted()
    if not find_unsorted(merged.keys):
        return merged
    first: dict[bytes, bytes] = {}
    for key, value in zip(merged.keys, merged.values, strict=True):
        if key not in first:
            first[key] = value
        elif not shared or first[key] != value:
            places = [source.root for source, table in tables if key in table.keys]
            where = " and ".join(places) if len(places) > 1 else places[0] + " (twice)"
            what = "stands in" if not shared else "has different values in"
            raise InputError(
                f"{name}: the id {show(key)} {what} {where}: rename one with utils/copy_data_dir.py --utt-prefix"
            )
    return IdTable(list(first), list(first.values()))


def _agree(name: str, sources: Sequence[DataDir]) -> bool:
    """Whether a file about the directory is in all sources. Raises InputError where they contradict each other."""
    contents = set()
    for source in sources:
        if not source.has(name):
            return False
        with open(source.path(name), "rb") as stream:
            contents.add(stream.read().strip())
    if len(contents) > 1:
        raise InputError(
            f"{name}: differs between {' and '.join(source.root for source in sources)}: "
            "the features were made with different options, make them again with the same"
        )
    return True


def copy_data_dir(
    source: DataDir,
    destination: str | os.PathLike,
    *,
    rename_utterance: Callable[[bytes], bytes],
    rename_speaker: Callable[[bytes], bytes],
) -> DataDir:
    """Writes a directory again under other ids.

    Recordings keep their ids where there are `segments`; without, they are utterances and take the new ids. `utt2uniq`
    tells, as in Kaldi, which utterance a copy comes from (kept where the source already has one).

    Raises:
        InputError: two ids become one.
    """
    target = DataDir(destination)
    if os.path.realpath(source.root) == os.path.realpath(target.root):
        raise InputError(f"{target.root}: is the source itself: give another destination")
    utt2spk = source.table("utt2spk")
    new_utt2spk = _rename(
        IdTable(utt2spk.keys, [rename_speaker(value) for value in utt2spk.values]), rename_utterance, "utt2spk"
    )
    os.makedirs(target.root, exist_ok=True)
    write_id_table(target.path("utt2spk"), new_utt2spk)
    write_spk2utt(target.path("spk2utt"), new_utt2spk)
    written = {"utt2spk"}
    for name in (*UTTERANCE_FILES[1:], *RECORDING_FILES, *SPEAKER_FILES):
        if not source.has(name):
            continue
        table = source.table(name)
        if name in SPEAKER_FILES:
            table = _rename(table, rename_speaker, name)
        elif name in UTTERANCE_FILES or not source.has("segments"):
            table = _rename(table, rename_utterance, name)
        write_id_table(target.path(name), table)
        written.add(name)
    for name in DIRECTORY_FILES:
        if source.has(name):
            shutil.copyfile(source.path(name), target.path(name))
            written.add(name)
    everything = {*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES, *DIRECTORY_FILES}
    remove_files(target.root, everything - written)
    return target


def _rename(table: IdTable, rename: Callable[[bytes], bytes], name: str) -> IdTable:
    renamed = IdTable([rename(key) for key in table.keys], table.values).sorted()
    index = find_unsorted(renamed.keys)
    if index:
        raise InputError(f"{name}: two ids become {show(renamed.keys[index])}: choose another prefix or suffix")
    return renamed
