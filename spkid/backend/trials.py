"""Trial lists and score files: text, one pair a line, held as integer codes so that millions fit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from spkid.backend.file_column import FileColumn
from spkid.backend.lines import Codes, Lines, shown
from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_output

BLOCK_LINES = 1 << 16
STRETCH = 1 << 20  # trials that are read back together
CHECKED = 1 << 23  # trials that are sorted together
KALDI_LABELS = {b"target": True, b"nontarget": False}
VOXCELEB_LABELS = {b"1": True, b"0": False}


@dataclass(frozen=True)
class Trials:
    """Pairs of an enrolment (a model or an utterance) and a test utterance, in the order of the list.

    Attributes:
        source: where the list came from.
        enroll_ids: the distinct enrolment ids, in order of appearance.
        test_ids: the distinct test ids.
        enroll: (trials,) int32 indices into `enroll_ids`; an array, or in a file.
        test: (trials,) int32 indices into `test_ids`, likewise.
        is_target: (trials,) bool, likewise, or None where the list has no labels.
        md5: of the file's bytes: which list it was.
    """

    source: str
    enroll_ids: list[str]
    test_ids: list[str]
    enroll: np.ndarray | FileColumn
    test: np.ndarray | FileColumn
    is_target: np.ndarray | FileColumn | None
    md5: str

    def __len__(self) -> int:
        return self.enroll.size

    def pair(self, index: int) -> str:
        """The ids of one trial, for a message."""
        return f"{self.enroll_ids[self.enroll[index]]} {self.test_ids[self.test[index]]}"

    def stretches(self) -> Iterator[slice]:
        """Consecutive pieces of the list, for what need not look at all of it together."""
        for start in range(0, len(self), STRETCH):
            yield slice(start, min(start + STRETCH, len(self)))

    def pair_codes(self, these: slice = slice(None)) -> np.ndarray:
        """(trials,) int64 of a piece of the list, or of all; equal where the pair is the same."""
        codes = self.enroll[these].astype(np.int64)
        codes *= len(self.test_ids)
        codes += self.test[these]
        return codes

    def select(self, keep: np.ndarray) -> Trials:
        """The trials where `keep` (trials,) is true."""
        labels = None if self.is_target is None else self.is_target[keep]
        return Trials(self.source, self.enroll_ids, self.test_ids, self.enroll[keep], self.test[keep], labels, self.md5)


def read_trials(rxfilename: str, directory: str | os.PathLike | None = None) -> Trials:
    """Reads a trial list; with a `directory` its columns stay in a file there, 9 bytes a trial, and take no memory.

    Every line is `enrolment test target|nontarget` (Kaldi), `1|0 enrolment test` (VoxCeleb) or `enrolment test`; the
    first line decides. VoxCeleb's ids may be paths: `id10270/x6uYqmx31kE/00001.wav` is `id10270-x6uYqmx31kE-00001`.

    Raises:
        InputError: the list cannot be read, is empty, a line does not fit, or a pair is both target and non-target.
    """
    lines = Lines(rxfilename, "trial list")
    layout: tuple[str, ...] = ()
    enroll, test, labels = [], [], []
    if directory is not None:
        enroll, test, labels = (FileColumn(directory, dtype) for dtype in (np.int32, np.int32, bool))
    for number, block in lines:
        if not layout:
            layout = _trial_layout(block[: block.index(b"\n")].split(), rxfilename)
            meaning = VOXCELEB_LABELS if layout[0] == "label" else KALDI_LABELS
            convert = _id_of_path if layout[0] == "label" else str
            enroll_codes, test_codes = Codes(rxfilename, convert), Codes(rxfilename, convert)
        columns = lines.columns(block, len(layout), number)
        enroll.append(enroll_codes.encode(columns[layout.index("enroll")]))
        test.append(test_codes.encode(columns[layout.index("test")]))
        if len(layout) == 3:
            labels.append(lines.labels(columns[layout.index("label")], meaning, number))
    is_target = (np.concatenate(labels) if directory is None else labels) if len(layout) == 3 else None
    del labels
    if directory is None:
        enroll = np.concatenate(enroll)  # one after the other: each frees its blocks
        test = np.concatenate(test)
    ids = list(enroll_codes.of_id), list(test_codes.of_id)
    trials = Trials(rxfilename, *ids, enroll, test, is_target, lines.digest.hexdigest())
    _check_labels(trials)
    return trials


def repeated_pairs(trials: Trials) -> int:
    """Trials whose pair came before in the list."""
    return sum(int(np.count_nonzero(np.diff(marked >> 1) == 0)) for marked in _sorted_parts(trials))


def self_comparisons(trials: Trials) -> np.ndarray:
    """Indices of the trials that compare an utterance with itself."""
    test_codes = {key: code for code, key in enumerate(trials.test_ids)}
    same = np.array([test_codes.get(key, -1) for key in trials.enroll_ids], dtype=np.int32)
    found = [
        these.start + np.flatnonzero(same[trials.enroll[these]] == trials.test[these]) for these in trials.stretches()
    ]
    return np.concatenate(found)


def write_scores(wxfilename: str, trials: Trials, scores: np.ndarray | Iterable[np.ndarray]) -> None:
    """Writes lines `enrolment test score`, seven digits as Kaldi; a file appears when it is complete.

    Args:
        scores: (trials,), at once or in blocks one after the other.

    Raises:
        InputError: the file cannot be written, or a score is not finite.
    """
    enroll_ids = [key.encode() for key in trials.enroll_ids]
    test_ids = [key.encode() for key in trials.test_ids]
    begin = 0
    with open_output(wxfilename) as stream:
        for block in [scores] if isinstance(scores, np.ndarray) else scores:
            _check_finite(wxfilename, trials, block, begin)
            for start in range(0, len(block), BLOCK_LINES):
                part = block[start : start + BLOCK_LINES]
                these = slice(begin + start, begin + start + len(part))
                stream.write(score_lines(enroll_ids, test_ids, trials.enroll[these], trials.test[these], part))
            begin += len(block)


def _check_finite(name: str, trials: Trials, scores: np.ndarray, begin: int) -> None:
    wrong = ~np.isfinite(scores)
    if wrong.any():
        raise InputError(
            f"{name} is not written: {np.count_nonzero(wrong)} scores are not finite, the first is that of "
            f"{trials.pair(begin + int(np.argmax(wrong)))}"
        )


def score_lines(
    enroll_ids: list[bytes], test_ids: list[bytes], enroll: np.ndarray, test: np.ndarray, scores: np.ndarray
) -> bytes:
    """Lines `enrolment test score` of the pairs enroll[k] test[k]: one format for all at once."""
    fields: list[bytes | float] = [b""] * (3 * len(scores))
    fields[::3] = map(enroll_ids.__getitem__, enroll.tolist())
    fields[1::3] = map(test_ids.__getitem__, test.tolist())
    fields[2::3] = scores.tolist()
    return b"%b %b %.7g\n" * len(scores) % tuple(fields)


def read_labelled_scores(rxfilename: str) -> tuple[np.ndarray, np.ndarray]:
    """The target and the non-target scores of lines `score target|nontarget`.

    Raises:
        InputError: the file cannot be read, is empty, or a line does not fit.
    """
    lines = Lines(rxfilename, "score file")
    scores, labels = [], []
    for number, block in lines:
        texts, words = lines.columns(block, 2, number)
        scores.append(lines.numbers(texts, number))
        labels.append(lines.labels(words, KALDI_LABELS, number))
    scores, labels = np.concatenate(scores), np.concatenate(labels)
    return scores[labels], scores[~labels]


@dataclass(frozen=True)
class MatchedScores:
    """Scores in the order of a trial list: `scores` (trials,) with NaN where `missing` (trials,) is true; `num_unused`
    lines of the score file belong to no trial."""

    scores: np.ndarray
    missing: np.ndarray
    num_unused: int


def read_scores(rxfilename: str, trials: Trials) -> MatchedScores:
    """Reads `enrolment test score` lines, in any order, and puts them beside the trials.

    Raises:
        InputError: the file cannot be read, is empty, a line does not fit, a score is not a number, or a pair has two
            different scores.
    """
    lines = Lines(rxfilename, "score file")
    enroll_codes = {key.encode(): code for code, key in enumerate(trials.enroll_ids)}
    test_codes = {key.encode(): code for code, key in enumerate(trials.test_ids)}
    codes, values = [], []
    for number, block in lines:
        enroll, test, texts = lines.columns(block, 3, number)
        enroll = np.array([enroll_codes.get(key, -1) for key in enroll], dtype=np.int64)
        test = np.array([test_codes.get(key, -1) for key in test], dtype=np.int64)
        values.append(lines.numbers(texts, number))
        codes.append(np.where((enroll < 0) | (test < 0), -1, enroll * len(trials.test_ids) + test))
    codes, values = np.concatenate(codes), np.concatenate(values)
    order = np.argsort(codes, kind="stable")
    codes, values = codes[order], values[order]
    check_one_score(rxfilename, trials, codes, values)
    wanted = trials.pair_codes()
    positions = np.minimum(np.searchsorted(codes, wanted), codes.size - 1)
    missing = codes[positions] != wanted
    runs = np.cumsum(np.diff(codes, prepend=codes[:1] - 1) != 0) - 1
    is_used = np.zeros(runs[-1] + 1, dtype=bool)
    is_used[runs[positions[~missing]]] = True
    num_unused = int(np.count_nonzero(~is_used[runs]))
    return MatchedScores(np.where(missing, np.nan, values[positions]), missing, num_unused)


def check_one_score(name: str, trials: Trials, codes: np.ndarray, values: np.ndarray) -> None:
    """Raises InputError where a pair has two different scores.

    Args:
        name: of the score file.
        trials: whose `pair_codes` the codes are.
        codes: (lines,) ascending; below zero for pairs that are not among the trials.
        values: (lines,) their scores.
    """
    clash = (codes[1:] == codes[:-1]) & (codes[1:] >= 0) & (values[1:] != values[:-1])
    if clash.any():
        code = int(codes[1:][clash][0])
        pair = f"{trials.enroll_ids[code // len(trials.test_ids)]} {trials.test_ids[code % len(trials.test_ids)]}"
        raise InputError(f"{name}: {pair} has two different scores: the file mixes two systems, score again")


def _trial_layout(fields: list[bytes], name: str) -> tuple[str, ...]:
    if len(fields) == 3 and fields[2] in KALDI_LABELS:
        return ("enroll", "test", "label")
    if len(fields) == 3 and fields[0] in VOXCELEB_LABELS:
        return ("label", "enroll", "test")
    if len(fields) == 2:
        return ("enroll", "test")
    raise InputError(
        f"{name}, line 1: a trial is 'enrolment test target|nontarget' or '1|0 enrolment test', not "
        f"{shown(b' '.join(fields))}"
    )


def _id_of_path(path: str) -> str:
    if "/" not in path:
        return path
    folder, _, name = path.strip("/").rpartition("/")
    return "-".join([*folder.split("/"), name.partition(".")[0]])


def _check_labels(trials: Trials) -> None:
    if trials.is_target is None:
        return
    both = np.concatenate([_twice(marked) for marked in _sorted_parts(trials)])
    if both.size:
        for these in trials.stretches():
            found = np.isin(trials.pair_codes(these), both)
            if found.any():
                pair = trials.pair(these.start + int(np.argmax(found)))
                raise InputError(
                    f"{trials.source}: {both.size} pairs are target as well as nontarget, the first is {pair}"
                )


def _sorted_parts(trials: Trials) -> Iterator[np.ndarray]:
    """Sorted `2 * code + label` of all trials, some CHECKED of them after the other; a pair is in one part alone."""
    counts = np.zeros(len(trials.enroll_ids), dtype=np.int64)
    for these in trials.stretches():
        counts += np.bincount(trials.enroll[these], minlength=counts.size)
    part_of = (np.cumsum(counts) - 1) // CHECKED  # of the enrolment, ascending
    for part in np.unique(part_of):
        first, last = np.searchsorted(part_of, [part, part + 1])
        chosen = []
        for these in trials.stretches():
            enroll = trials.enroll[these]
            keep = (enroll >= first) & (enroll < last)
            marked = trials.pair_codes(these)[keep]
            marked *= 2
            if trials.is_target is not None:
                marked += trials.is_target[these][keep]
            chosen.append(marked)
        marked = np.concatenate(chosen)
        del chosen
        marked.sort()
        yield marked


def _twice(marked: np.ndarray) -> np.ndarray:
    """Codes of pairs that are there with both labels, out of sorted `2 * code + label`."""
    return marked[1:][(np.diff(marked) == 1) & (marked[1:] % 2 == 1)] // 2
