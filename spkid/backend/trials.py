"""Trial lists and score files: text, one pair a line, held as integer codes so that millions fit."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_input, open_output

BLOCK_LINES = 1 << 16
KALDI_LABELS = {b"target": True, b"nontarget": False}
VOXCELEB_LABELS = {b"1": True, b"0": False}


@dataclass(frozen=True)
class Trials:
    """Pairs of an enrolment (a model or an utterance) and a test utterance, in the order of the list.

    Attributes:
        source: where the list came from.
        enroll_ids: the distinct enrolment ids, in order of appearance.
        test_ids: the distinct test ids.
        enroll: (trials,) int32 indices into `enroll_ids`.
        test: (trials,) int32 indices into `test_ids`.
        is_target: (trials,) bool, or None where the list has no labels.
        md5: of the file's bytes: which list it was.
    """

    source: str
    enroll_ids: list[str]
    test_ids: list[str]
    enroll: np.ndarray
    test: np.ndarray
    is_target: np.ndarray | None
    md5: str

    def __len__(self) -> int:
        return self.enroll.size

    def pair(self, index: int) -> str:
        """The ids of one trial, for a message."""
        return f"{self.enroll_ids[self.enroll[index]]} {self.test_ids[self.test[index]]}"

    def pair_codes(self) -> np.ndarray:
        """(trials,) int64, equal where the pair is the same."""
        return self.enroll.astype(np.int64) * len(self.test_ids) + self.test

    def select(self, keep: np.ndarray) -> Trials:
        """The trials where `keep` (trials,) is true."""
        labels = None if self.is_target is None else self.is_target[keep]
        return Trials(self.source, self.enroll_ids, self.test_ids, self.enroll[keep], self.test[keep], labels, self.md5)


def read_trials(rxfilename: str) -> Trials:
    """Reads a trial list.

    Every line is `enrolment test target|nontarget` (Kaldi), `1|0 enrolment test` (VoxCeleb) or `enrolment test`; the
    first line decides. VoxCeleb's ids may be paths: `id10270/x6uYqmx31kE/00001.wav` is `id10270-x6uYqmx31kE-00001`.

    Raises:
        InputError: the list cannot be read, is empty, a line does not fit, or a pair is both target and non-target.
    """
    lines = _Lines(rxfilename, "trial list")
    layout: tuple[str, ...] = ()
    enroll, test, labels = [], [], []
    for number, rows in lines:
        if not layout:
            layout = _trial_layout(rows[0], rxfilename)
            meaning = VOXCELEB_LABELS if layout[0] == "label" else KALDI_LABELS
            convert = _id_of_path if layout[0] == "label" else str
            enroll_codes, test_codes = _Codes(rxfilename, convert), _Codes(rxfilename, convert)
        columns = lines.columns(rows, len(layout), number)
        enroll.append(enroll_codes.encode(columns[layout.index("enroll")]))
        test.append(test_codes.encode(columns[layout.index("test")]))
        if len(layout) == 3:
            labels.append(_labels(columns[layout.index("label")], meaning, rxfilename, number))
    trials = Trials(
        rxfilename,
        list(enroll_codes.of_id),
        list(test_codes.of_id),
        np.concatenate(enroll),
        np.concatenate(test),
        np.concatenate(labels) if labels else None,
        lines.digest.hexdigest(),
    )
    _check_labels(trials)
    return trials


def repeated_pairs(trials: Trials) -> int:
    """Trials whose pair came before in the list."""
    return int(np.count_nonzero(np.diff(np.sort(trials.pair_codes())) == 0))


def self_comparisons(trials: Trials) -> np.ndarray:
    """(trials,) bool: an utterance compared with itself."""
    test_codes = {key: code for code, key in enumerate(trials.test_ids)}
    same = np.array([test_codes.get(key, -1) for key in trials.enroll_ids], dtype=np.int64)
    return same[trials.enroll] == trials.test


def write_scores(wxfilename: str, trials: Trials, scores: np.ndarray) -> None:
    """Writes lines `enrolment test score`, seven digits as Kaldi; a file appears when it is complete.

    Raises:
        InputError: the file cannot be written.
    """
    with open_output(wxfilename) as stream:
        for start in range(0, len(trials), BLOCK_LINES):
            block = slice(start, start + BLOCK_LINES)
            rows = zip(trials.enroll[block].tolist(), trials.test[block].tolist(), scores[block].tolist(), strict=True)
            lines = [f"{trials.enroll_ids[e]} {trials.test_ids[t]} {score:.7g}\n" for e, t, score in rows]
            stream.write("".join(lines).encode())


def read_labelled_scores(rxfilename: str) -> tuple[np.ndarray, np.ndarray]:
    """The target and the non-target scores of lines `score target|nontarget`.

    Raises:
        InputError: the file cannot be read, is empty, or a line does not fit.
    """
    lines = _Lines(rxfilename, "score file")
    scores, labels = [], []
    for number, rows in lines:
        texts, words = lines.columns(rows, 2, number)
        scores.append(_numbers(texts, rxfilename, number))
        labels.append(_labels(words, KALDI_LABELS, rxfilename, number))
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
    lines = _Lines(rxfilename, "score file")
    enroll_codes = {key.encode(): code for code, key in enumerate(trials.enroll_ids)}
    test_codes = {key.encode(): code for code, key in enumerate(trials.test_ids)}
    codes, values = [], []
    for number, rows in lines:
        enroll, test, texts = lines.columns(rows, 3, number)
        enroll = np.array([enroll_codes.get(key, -1) for key in enroll], dtype=np.int64)
        test = np.array([test_codes.get(key, -1) for key in test], dtype=np.int64)
        values.append(_numbers(texts, rxfilename, number))
        codes.append(np.where((enroll < 0) | (test < 0), -1, enroll * len(trials.test_ids) + test))
    codes, values = np.concatenate(codes), np.concatenate(values)
    order = np.argsort(codes, kind="stable")
    codes, values = codes[order], values[order]
    clash = (codes[1:] == codes[:-1]) & (codes[1:] >= 0) & (values[1:] != values[:-1])
    if clash.any():
        code = int(codes[1:][clash][0])
        pair = f"{trials.enroll_ids[code // len(trials.test_ids)]} {trials.test_ids[code % len(trials.test_ids)]}"
        raise InputError(f"{rxfilename}: {pair} has two different scores: the file mixes two systems, score again")
    wanted = trials.pair_codes()
    positions = np.minimum(np.searchsorted(codes, wanted), codes.size - 1)
    missing = codes[positions] != wanted
    runs = np.cumsum(np.diff(codes, prepend=codes[:1] - 1) != 0) - 1
    is_used = np.zeros(runs[-1] + 1, dtype=bool)
    is_used[runs[positions[~missing]]] = True
    num_unused = int(np.count_nonzero(~is_used[runs]))
    return MatchedScores(np.where(missing, np.nan, values[positions]), missing, num_unused)


class _Lines:
    """The lines of a file split at blanks, in blocks of (number of the first line, fields of each line)."""

    def __init__(self, rxfilename: str, what: str) -> None:
        self.name = rxfilename
        self.what = what
        self.digest = hashlib.md5(usedforsecurity=False)  # complete when the iteration is

    def __iter__(self) -> Iterator[tuple[int, list[list[bytes]]]]:
        number = 1
        with open_input(self.name) as stream:
            while lines := list(itertools.islice(stream, BLOCK_LINES)):
                self.digest.update(b"".join(lines))
                yield number, [line.split() for line in lines]
                number += len(lines)
        if number == 1:
            raise InputError(f"the {self.what} {self.name} is empty")

    def columns(self, rows: list[list[bytes]], width: int, number: int) -> list[tuple[bytes, ...]]:
        """The fields of a block by column.

        Raises:
            InputError: a line has another number of fields.
        """
        if set(map(len, rows)) != {width}:
            index = next(index for index, fields in enumerate(rows) if len(fields) != width)
            raise InputError(
                f"{self.name}, line {number + index}: {width} fields are expected, found {len(rows[index])}: "
                f"{_shown(b' '.join(rows[index]))}"
            )
        return list(zip(*rows, strict=True))


class _Codes:
    """Numbers for ids in order of appearance."""

    def __init__(self, name: str, convert: Callable[[str], str]) -> None:
        self.name = name
        self.convert = convert
        self.of_id: dict[str, int] = {}
        self.of_field: dict[bytes, int] = {}

    def encode(self, fields: tuple[bytes, ...]) -> np.ndarray:
        """(len(fields),) int32."""
        for field in dict.fromkeys(fields):
            if field not in self.of_field:
                try:
                    key = self.convert(field.decode("utf-8"))
                except UnicodeDecodeError:
                    raise InputError(f"{self.name}: the id {_shown(field)} is not UTF-8") from None
                self.of_field[field] = self.of_id.setdefault(key, len(self.of_id))
        return np.fromiter(map(self.of_field.__getitem__, fields), dtype=np.int32, count=len(fields))


def _shown(text: bytes) -> str:
    return repr(text.decode("utf-8", errors="replace")[:80])


def _trial_layout(fields: list[bytes], name: str) -> tuple[str, ...]:
    if len(fields) == 3 and fields[2] in KALDI_LABELS:
        return ("enroll", "test", "label")
    if len(fields) == 3 and fields[0] in VOXCELEB_LABELS:
        return ("label", "enroll", "test")
    if len(fields) == 2:
        return ("enroll", "test")
    raise InputError(
        f"{name}, line 1: a trial is 'enrolment test target|nontarget' or '1|0 enrolment test', not "
        f"{_shown(b' '.join(fields))}"
    )


def _labels(words: tuple[bytes, ...], meaning: dict[bytes, bool], name: str, number: int) -> np.ndarray:
    if not set(words) <= meaning.keys():
        index = next(index for index, word in enumerate(words) if word not in meaning)
        known = " or ".join(word.decode() for word in meaning)
        raise InputError(f"{name}, line {number + index}: the label is {_shown(words[index])}, not {known}")
    return np.fromiter(map(meaning.__getitem__, words), dtype=bool, count=len(words))


def _numbers(texts: tuple[bytes, ...], name: str, number: int) -> np.ndarray:
    def value(text: bytes) -> float:
        try:
            return float(text)
        except ValueError:
            return float("nan")

    values = np.fromiter(map(value, texts), dtype=np.float64, count=len(texts))
    if np.isnan(values).any():
        index = int(np.argmax(np.isnan(values)))
        raise InputError(f"{name}, line {number + index}: the score {_shown(texts[index])} is not a number")
    return values


def _id_of_path(path: str) -> str:
    if "/" not in path:
        return path
    folder, _, name = path.strip("/").rpartition("/")
    return "-".join([*folder.split("/"), name.partition(".")[0]])


def _check_labels(trials: Trials) -> None:
    if trials.is_target is None:
        return
    marked = np.sort(2 * trials.pair_codes() + trials.is_target)
    both = marked[1:][(np.diff(marked) == 1) & (marked[1:] % 2 == 1)] // 2
    if both.size:
        index = int(np.argmax(np.isin(trials.pair_codes(), both)))
        raise InputError(
            f"{trials.source}: {both.size} pairs are target as well as nontarget, the first is {trials.pair(index)}"
        )
