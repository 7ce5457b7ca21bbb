"""Repairing a data directory: order, duplicates, line ends, and utterances that some file does not have."""

from __future__ import annotations

import os
import re
import shutil
from codecs import BOM_UTF8
from itertools import compress

from spkid.kaldi.data_dir import DERIVED_FILES, RECORDING_FILES, SPEAKER_FILES, UTTERANCE_FILES, DataDir
from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import IdTable, find_unsorted, group_by_value, odd_ids, show, ungroup, write_id_table
from spkid.kaldi.io import open_file
from spkid.kaldi.segments import parse_segment

# An utterance that one of these lacks cannot be worked on, and is dropped from all of them.
_DECISIVE = ("feats.scp", "vad.scp", "text")
_CONTROLS = [bytes([code]) for code in range(0x20) if code != 0x0A]
_BLANK = re.compile(rb"\s")


class _Repair:
    """The directory's tables while they are repaired, one in memory at a time (but for utt2spk)."""

    def __init__(self, data: DataDir):
        self.data = data
        self.done: list[str] = []
        self._canonical: dict[str, int] = {}  # size of files whose lines are in order and that hold no odd blanks

    def say(self, sentence: str) -> None:
        self.done.append(sentence)

    def read(self, name: str) -> IdTable:
        """A file's usable lines, sorted, one per id; says what was wrong with the others."""
        return self._order(name, self.read_usable(name))

    def read_usable(self, name: str) -> IdTable:
        """A file's usable lines as they stand; says what was wrong with the others."""
        path = self.data.path(name)
        keys: list[bytes] = []
        values: list[bytes] = []
        blank = broken = carriage = 0
        example = b""
        with open_file(path) as stream:
            content = stream.readall()
        marked = content.startswith(BOM_UTF8)
        content = content.removeprefix(BOM_UTF8)
        ascii_only = content.isascii()
        if b"\r" in content:
            carriage = content.count(b"\r")
            content = re.sub(rb"\r\n?", b"\n", content)
        odd = carriage or marked or any(map(content.__contains__, _CONTROLS))
        if name != "spk2utt" and not odd and content.endswith(b"\n"):
            self._canonical[name] = len(content)  # other blanks, and lines left out, only make the file longer
        lines = content.split(b"\n")
        del content
        if lines and not lines[-1]:
            lines.pop()
        for line in lines:
            try:
                key, value = line.split(None, 1)
            except ValueError:
                blank += 1
                continue
            value = value.rstrip()
            if not ascii_only and not _is_utf8(line):
                broken, example = broken + 1, example or line
                continue
            keys.append(key)
            values.append(value)
        del lines
        if marked:
            self.say(f"{name}: byte order mark of a Windows editor removed")
        if carriage:
            self.say(f"{name}: {carriage} Windows line end(s) turned into Unix ones")
        if blank:
            self.say(f"{name}: {blank} line(s) without id or value left out")
        if broken:
            self.say(f"{name}: {broken} line(s) that are not UTF-8 left out, the first begins {show(example[:40])}")
        return self._drop_odd(name, IdTable(keys, values))

    def tidy(self, name: str, table: IdTable) -> IdTable:
        """What `read` makes of a table that is not in a file."""
        return self._order(name, self._drop_odd(name, table))

    def _drop_odd(self, name: str, table: IdTable) -> IdTable:
        odd = {key for _, key in odd_ids(table.keys)}
        if odd:
            self.say(f"{name}: {len(odd)} id(s) with bytes that do not print left out, the first is {show(min(odd))!a}")
            table = table.select(set(table.keys) - odd)
        if name in ("utt2spk", "segments"):
            table = self._drop_malformed(name, table)
        return table

    def _order(self, name: str, table: IdTable) -> IdTable:
        if not find_unsorted(table.keys):
            return table
        self._canonical.pop(name, None)
        first: dict[bytes, bytes] = {}
        repeated = conflicting = 0
        example = b""
        for key, value in zip(table.keys, table.values, strict=True):
            known = first.setdefault(key, value)
            if known is not value:
                repeated += 1
                if known != value:
                    conflicting, example = conflicting + 1, example or key
        if repeated:
            self.say(f"{name}: {repeated} repeated line(s) left out")
        if conflicting:
            self.say(f"{name}: {conflicting} of them had another value, as {show(example)}; the first line stays")
        keys = sorted(first)
        if keys != list(first):
            self.say(f"{name}: sorted by bytes")
        return IdTable(keys, [first[key] for key in keys])

    def _drop_malformed(self, name: str, table: IdTable) -> IdTable:
        if name == "utt2spk" and not _BLANK.search(b"".join(table.values)):
            return table
        pairs = zip(table.keys, table.values, strict=True)
        good = [_is_well_formed(name, key, value) for key, value in pairs]
        if all(good):
            return table
        what = "without exactly one speaker" if name == "utt2spk" else "not of a recording, start and later end"
        first = table.keys[good.index(False)]
        self.say(f"{name}: {good.count(False)} line(s) {what} left out, the first is {show(first)}")
        return IdTable(list(compress(table.keys, good)), list(compress(table.values, good)))

    def write(self, name: str, table: IdTable) -> None:
        """Replaces a file whose content changed; the old one goes to .backup, each run into the same place."""
        if self._canonical.get(name) == sum(map(len, table.keys)) + sum(map(len, table.values)) + 2 * len(table.keys):
            return  # nothing was left out and nothing moved: it would be written as it stands
        path = self.data.path(name)
        temporary = self.data.path(f".fixed.{name}")
        try:
            write_id_table(temporary, table)
            if _same_content(temporary, path):
                os.unlink(temporary)
                return
            if os.path.exists(path):
                self._backup(name)
            if not any(sentence.startswith(f"{name}: ") for sentence in self.done):
                self.say(f"{name}: written again")
            os.replace(temporary, path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def remove(self, name: str, why: str) -> None:
        self._backup(name)
        os.unlink(self.data.path(name))
        self.say(f"{name}: {why}; moved to .backup, make it again")

    def _backup(self, name: str) -> None:
        backup = self.data.path(".backup")
        try:
            os.makedirs(backup, exist_ok=True)
            shutil.copyfile(self.data.path(name), os.path.join(backup, name))
        except OSError as error:
            raise InputError(f"{backup}: cannot be written ({error.strerror})") from None


def fix_data_dir(data: DataDir) -> list[str]:
    """See `DataDir.fix`. Raises InputError where nothing would be left, and then changes nothing."""
    repair = _Repair(data)
    if data.has("utt2spk"):
        utt2spk = repair.read("utt2spk")
    else:
        data.require("spk2utt")
        utt2spk = ungroup(repair.read("spk2utt")).sorted()
        utt2spk = repair.tidy("utt2spk", utt2spk)
        repair.say("utt2spk: made from spk2utt")
    keep, recordings = _surviving(repair, set(utt2spk.keys))
    if not keep:
        raise InputError(f"{data.root}: no utterance is in all of its files: the files do not belong together")
    dropped = len(utt2spk.keys) - len(keep)
    if dropped:
        first = next(key for key in utt2spk.keys if key not in keep)
        total = len(utt2spk.keys)
        repair.say(f"{dropped} of {total} utterances dropped because some file lacks them, the first is {show(first)}")
    utt2spk = utt2spk.select(keep)
    repair.write("utt2spk", utt2spk)
    repair.write("spk2utt", group_by_value(utt2spk))
    speakers = set(utt2spk.values)
    del utt2spk
    for names, ids in ((UTTERANCE_FILES[1:], keep), (RECORDING_FILES, recordings), (SPEAKER_FILES, speakers)):
        for name in names:
            if data.has(name):
                _restrict(repair, name, ids)
    return repair.done


def _surviving(repair: _Repair, keep: set[bytes]) -> tuple[set[bytes], set[bytes]]:
    """The utterances that every decisive file has, and their recordings."""
    data = repair.data
    quiet = _Repair(data)  # what is wrong in these files is said when they are written
    for name in _DECISIVE:
        if data.has(name):
            keep = keep.intersection(quiet.read_usable(name).keys)
    waves = set(quiet.read_usable("wav.scp").keys) if data.has("wav.scp") else None
    if not data.has("segments"):
        keep = keep if waves is None else keep & waves
        return keep, keep
    segments = quiet.read("segments")
    recording_of = {
        key: value.split(None, 1)[0] for key, value in zip(segments.keys, segments.values, strict=True) if key in keep
    }
    if waves is not None:
        recording_of = {key: recording for key, recording in recording_of.items() if recording in waves}
    return set(recording_of), set(recording_of.values())


def _restrict(repair: _Repair, name: str, ids: set[bytes]) -> None:
    table = repair.read(name)
    selected = table.select(ids)
    if len(selected.keys) < len(table.keys):
        repair.say(f"{name}: {len(table.keys) - len(selected.keys)} line(s) of ids that are nowhere else left out")
    if not selected.keys:
        repair.remove(name, "has no id of the others")
    elif len(selected.keys) < len(ids) and name in (*DERIVED_FILES, *UTTERANCE_FILES, *RECORDING_FILES):
        repair.remove(name, f"lacks {len(ids) - len(selected.keys)} of {len(ids)} ids")
    else:
        repair.write(name, selected)


def _is_well_formed(name: str, key: bytes, value: bytes) -> bool:
    if name == "utt2spk":
        return len(value.split()) == 1
    try:
        parse_segment(show(key), show(value), name)
    except InputError:
        return False
    return True


def _same_content(first: str, second: str) -> bool:
    import filecmp

    return os.path.exists(second) and filecmp.cmp(first, second, shallow=False)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
