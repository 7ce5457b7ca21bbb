"""Repairing a data directory: order, duplicates, line ends, and utterances that some file does not have."""

from __future__ import annotations

import os
import re
import shutil
from codecs import BOM_UTF8
from itertools import compress, zip_longest
from typing import NamedTuple

from spkid.kaldi.data_dir import DERIVED_FILES, RECORDING_FILES, SPEAKER_FILES, UTTERANCE_FILES, DataDir
from spkid.kaldi.errors import InputError
from spkid.kaldi.id_table import IdTable, find_unsorted, group_by_value, is_two_words_a_line, odd_ids, show, ungroup
from spkid.kaldi.io import atomic_write, open_file
from spkid.kaldi.segments import parse_segment

# An utterance that one of these lacks cannot be worked on, and is dropped from all of them.
_DECISIVE = ("feats.scp", "vad.scp", "text")
_OTHER_BLANKS = (b"\t", b"\v", b"\f")
_LINES_AT_ONCE = 1 << 16


class _Lines(NamedTuple):
    """A file's usable lines, whole (`id value`, one blank between them), and their ids: most are only put in order."""

    ids: list[bytes]
    lines: list[bytes]

    def select(self, keep: list[bool]) -> _Lines:
        return _Lines(list(compress(self.ids, keep)), list(compress(self.lines, keep)))

    def values(self) -> list[bytes]:
        return [line[len(key) + 1 :] for key, line in zip(self.ids, self.lines, strict=True)]


def _join(table: IdTable) -> _Lines:
    return _Lines(table.keys, [b"%b %b" % pair for pair in zip(table.keys, table.values, strict=True)])


class _Repair:
    """The directory's files while they are repaired, one in memory at a time (but for utt2spk)."""

    def __init__(self, data: DataDir):
        self.data = data
        self.done: list[str] = []
        self._canonical: dict[str, int] = {}  # size of files whose lines are in order and that hold no odd blanks

    def say(self, sentence: str) -> None:
        self.done.append(sentence)

    def read(self, name: str) -> _Lines:
        """A file's usable lines, sorted, one per id; says what was wrong with the others."""
        return self._order(name, self.read_usable(name))

    def read_usable(self, name: str) -> _Lines:
        """A file's usable lines as they stand; says what was wrong with the others."""
        with open_file(self.data.path(name)) as stream:
            content = stream.readall()
        marked = content.startswith(BOM_UTF8)
        content = content.removeprefix(BOM_UTF8)
        carriage = content.count(b"\r")
        if carriage:
            content = re.sub(rb"\r\n?", b"\n", content)
        odd = any(map(content.__contains__, _OTHER_BLANKS))
        if name != "spk2utt" and not (odd or carriage or marked) and content.endswith(b"\n"):
            self._canonical[name] = len(content)  # other blanks, and lines left out, only make the file longer
        ascii_only = content.isascii()
        lines = content.split(b"\n")
        if not lines[-1]:
            lines.pop()
        even = ascii_only and is_two_words_a_line(content, len(lines))
        del content
        if marked:
            self.say(f"{name}: byte order mark of a Windows editor removed")
        if carriage:
            self.say(f"{name}: {carriage} Windows line end(s) turned into Unix ones")
        if even:
            table = _Lines([line.partition(b" ")[0] for line in lines], lines)
        else:
            table = self._usable_lines(name, lines, odd, ascii_only)
        return self._drop_odd(name, table)

    def _usable_lines(self, name: str, lines: list[bytes], odd: bool, ascii_only: bool) -> _Lines:
        """Lines that hold an id and a value, with one blank between them and none around them."""
        ids: list[bytes] = []
        usable: list[bytes] = []
        blank = broken = 0
        example = b""
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
            ids.append(key)
            usable.append(b"%b %b" % (key, value) if odd or len(key) + len(value) + 1 != len(line) else line)
        if blank:
            self.say(f"{name}: {blank} line(s) without id or value left out")
        if broken:
            self.say(f"{name}: {broken} line(s) that are not UTF-8 left out, the first begins {show(example[:40])}")
        return _Lines(ids, usable)

    def tidy(self, name: str, table: _Lines) -> _Lines:
        """What `read` makes of lines that are not in a file."""
        return self._order(name, self._drop_odd(name, table))

    def _drop_odd(self, name: str, table: _Lines) -> _Lines:
        odd = {key for _, key in odd_ids(table.ids)}
        if odd:
            self.say(f"{name}: {len(odd)} id(s) with bytes that do not print left out, the first is {show(min(odd))!a}")
            table = table.select([key not in odd for key in table.ids])
        if name in ("utt2spk", "segments"):
            table = self._drop_malformed(name, table)
        return table

    def first_lines(self, name: str, table: _Lines) -> dict[bytes, bytes]:
        """The line of each id of a file out of order, the first where there are several; says what was wrong."""
        self._canonical.pop(name, None)
        first: dict[bytes, bytes] = {}
        repeated = conflicting = 0
        example = b""
        for key, line in zip(table.ids, table.lines, strict=True):
            known = first.setdefault(key, line)
            if known is not line:
                repeated += 1
                if known != line:
                    conflicting, example = conflicting + 1, example or key
        if repeated:
            self.say(f"{name}: {repeated} repeated line(s) left out")
        if conflicting:
            self.say(f"{name}: {conflicting} of them had another value, as {show(example)}; the first line stays")
        if find_unsorted(list(first)):
            self.say(f"{name}: sorted by bytes")
        return first

    def _order(self, name: str, table: _Lines) -> _Lines:
        if not find_unsorted(table.ids):
            return table
        first = self.first_lines(name, table)
        ids = sorted(first)
        return _Lines(ids, [first[key] for key in ids])

    def _drop_malformed(self, name: str, table: _Lines) -> _Lines:
        if name == "utt2spk":
            good = [len(line.split()) == 2 for line in table.lines]
        else:
            good = [_is_segment(key, value) for key, value in zip(table.ids, table.values(), strict=True)]
        if all(good):
            return table
        what = "without exactly one speaker" if name == "utt2spk" else "not of a recording, start and later end"
        first = table.ids[good.index(False)]
        self.say(f"{name}: {good.count(False)} line(s) {what} left out, the first is {show(first)}")
        return table.select(good)

    def write(self, name: str, lines: list[bytes]) -> None:
        """Replaces a file whose content changed; the old one goes to .backup, each run into the same place."""
        if self._canonical.get(name) == sum(map(len, lines)) + len(lines):
            return  # nothing was left out and nothing moved: it would be written as it stands
        path = self.data.path(name)
        temporary = self.data.path(f".fixed.{name}")
        try:
            with atomic_write(temporary, "wb") as stream:
                for start in range(0, len(lines), _LINES_AT_ONCE):
                    stream.write(b"\n".join([*lines[start : start + _LINES_AT_ONCE], b""]))
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
        spk2utt = repair.read("spk2utt")
        utt2spk = repair.tidy("utt2spk", _join(ungroup(IdTable(spk2utt.ids, spk2utt.values())).sorted()))
        repair.say("utt2spk: made from spk2utt")
    keep, recordings = _surviving(repair, utt2spk.ids)
    if not keep:
        raise InputError(f"{data.root}: no utterance is in all of its files: the files do not belong together")
    total = len(utt2spk.ids)
    if len(keep) < total:
        first = next(key for key, kept in zip_longest(utt2spk.ids, keep) if key != kept)
        repair.say(
            f"{total - len(keep)} of {total} utterances dropped because some file lacks them, "
            f"the first is {show(first)}"
        )
        utt2spk = _Lines(keep, _pick(utt2spk.ids, utt2spk.lines, keep))
    repair.write("utt2spk", utt2spk.lines)
    spk2utt = group_by_value(IdTable(utt2spk.ids, utt2spk.values()))
    del utt2spk
    speakers = spk2utt.keys
    repair.write("spk2utt", _join(spk2utt).lines)
    del spk2utt
    for names, ids in ((UTTERANCE_FILES[1:], keep), (RECORDING_FILES, recordings), (SPEAKER_FILES, speakers)):
        for name in names:
            if data.has(name):
                _restrict(repair, name, ids)
    return repair.done


def _surviving(repair: _Repair, keep: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The utterances that every decisive file has, and their recordings; both sorted."""
    data = repair.data
    quiet = _Repair(data)  # what is wrong in these files is said when they are written
    has_segments = data.has("segments")
    for name in (*_DECISIVE, *(() if has_segments else ("wav.scp",))):
        if data.has(name):
            ids = quiet.read_usable(name).ids
            if find_unsorted(ids):
                known = set(ids)
                keep = [key for key in keep if key in known]
                del known
            elif ids != keep:
                keep = _pick(ids, ids, keep)
            del ids
    if not has_segments:
        return keep, keep
    segments = quiet.read("segments")
    kept = set(keep)
    recording_of = {key: line.split(None, 2)[1] for key, line in zip(*segments, strict=True) if key in kept}
    if data.has("wav.scp"):
        waves = set(quiet.read_usable("wav.scp").ids)
        recording_of = {key: recording for key, recording in recording_of.items() if recording in waves}
    return list(recording_of), sorted(set(recording_of.values()))


def _restrict(repair: _Repair, name: str, ids: list[bytes]) -> None:
    """Leaves a file the lines of `ids` (sorted), in their order."""
    table = repair.read_usable(name)
    lines = table.lines
    if find_unsorted(table.ids):
        line_of = repair.first_lines(name, table)
        del table
        total = len(line_of)
        lines = list(filter(None, map(line_of.get, ids)))
        del line_of
    else:
        total = len(lines)
        lines = lines if table.ids == ids else _pick(table.ids, lines, ids)
        del table
    if len(lines) < total:
        repair.say(f"{name}: {total - len(lines)} line(s) of ids that are nowhere else left out")
    if not lines:
        repair.remove(name, "has no id of the others")
    elif len(lines) < len(ids) and name in (*DERIVED_FILES, *UTTERANCE_FILES, *RECORDING_FILES):
        repair.remove(name, f"lacks {len(ids) - len(lines)} of {len(ids)} ids")
    else:
        repair.write(name, lines)


def _pick(ids: list[bytes], items: list[bytes], wanted: list[bytes]) -> list[bytes]:
    """The items whose id is wanted; both lists of ids ascend, so that neither has to be searched."""
    picked = []
    rest = iter(wanted)
    want = next(rest, None)
    for key, item in zip(ids, items, strict=True):
        while want is not None and want < key:
            want = next(rest, None)
        if key == want:
            picked.append(item)
    return picked


def _is_segment(key: bytes, value: bytes) -> bool:
    try:
        parse_segment(show(key), show(value), "segments")
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
