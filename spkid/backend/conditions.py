"""What is known about the trials of a list: their speakers, and the columns by which results are broken down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spkid.backend.trials import Trials
from spkid.backend.vectors import first_ids
from spkid.kaldi.data_dir import DataDir
from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_input

DURATION_BANDS = (2.0, 5.0, 10.0, 30.0)  # seconds
# What a data directory may say about its speakers and utterances, by the name of the column made of it.
CATEGORY_FILES = {
    "gender": "spk2gender",
    "language": "spk2lang",
    "utterance language": "utt2lang",
    "condition": "utt2cond",
}
UNKNOWN = "unknown"
MAX_VALUES = 40
NUM_NUMBER_BANDS = 4


@dataclass(frozen=True)
class Column:
    """A property of trials: `codes` (trials,) are indices into `values`."""

    values: list[str]
    codes: np.ndarray


class TrialSides:
    """Which utterances and speakers stand behind the ids of a trial list.

    An enrolment id is an utterance, or a model: of the utterances that `spk2utt` gives it, or a speaker of the data.
    """

    def __init__(self, trials: Trials, data: Sequence[DataDir], models: Mapping[str, Sequence[str]] | None = None):
        """Reads utt2spk of the data directories, which together know every utterance of the list.

        Args:
            trials: the list.
            data: data directories; where two know an utterance they must agree.
            models: utterances of each enrolment model.

        Raises:
            InputError: two directories contradict each other.
        """
        self.trials = trials
        self.data = data
        self.source = " and ".join(directory.path("utt2spk") for directory in data)
        self.utt2spk = self.merged("utt2spk")
        self.known_speakers = set(self.utt2spk.values())
        self.models = models or {}

    def merged(self, name: str) -> dict[str, str]:
        """A file of all the data directories that have it, as one map. InputError: they contradict each other."""
        facts: dict[str, str] = {}
        for directory in self.data:
            if name != "utt2spk" and not directory.has(name):
                continue
            for key, value in directory.read(name).items():
                if facts.setdefault(key, value) != value:
                    raise InputError(f"{directory.path(name)}: {key} is {value}, and {facts[key]} in another directory")
        return facts

    def utterances(self, enroll_id: str) -> Sequence[str]:
        """The utterances behind an enrolment id; none for a speaker without `spk2utt`."""
        if enroll_id in self.models:
            return self.models[enroll_id]
        return (enroll_id,) if enroll_id in self.utt2spk else ()

    def speakers(self) -> tuple[np.ndarray, np.ndarray]:
        """(trials,) codes of the speaker of the enrolment, and of the test.

        Raises:
            InputError: an id has no speaker or a model has two, or a label contradicts the speakers.
        """
        enroll = [self.speaker(key) for key in self.trials.enroll_ids]
        test = [self.utt2spk.get(key) for key in self.trials.test_ids]
        ids = zip((*self.trials.enroll_ids, *self.trials.test_ids), (*enroll, *test), strict=True)
        unknown = list(dict.fromkeys(key for key, speaker in ids if speaker is None))
        if unknown:
            raise InputError(
                f"{self.source}: no speaker for {len(unknown)} ids of {self.trials.source}: {first_ids(unknown)}; give "
                "every data directory with --data, and the enrolment models with --spk2utt"
            )
        codes = {speaker: code for code, speaker in enumerate(sorted({*enroll, *test}))}
        left = np.array([codes[speaker] for speaker in enroll])[self.trials.enroll]
        right = np.array([codes[speaker] for speaker in test])[self.trials.test]
        wrong = np.flatnonzero((left == right) != self.trials.is_target)
        if wrong.size:
            raise InputError(
                f"{self.trials.source}: the labels of {wrong.size} trials contradict the speakers in {self.source}, "
                f"the first is {self.trials.pair(int(wrong[0]))}"
            )
        return left, right

    def speaker(self, key: str) -> str | None:
        """The speaker of an enrolment or a test utterance, None where it is not known.

        Raises:
            InputError: a model is made of utterances of several speakers.
        """
        if key in self.models:
            speakers = {self.utt2spk.get(utterance) for utterance in self.models[key]}
            if len(speakers) > 1 and None not in speakers:
                raise InputError(f"the model {key} is made of utterances of {len(speakers)} speakers")
            return None if None in speakers else next(iter(speakers))
        return self.utt2spk.get(key, key if key in self.known_speakers else None)

    def self_comparisons(self) -> int:
        """Trials whose test utterance is one of those the model was made of."""
        members = {key: set(self.utterances(key)) for key in self.trials.enroll_ids if key in self.models}
        if not members:
            return 0
        test_codes = {key: code for code, key in enumerate(self.trials.test_ids)}
        pairs = [
            code * len(test_codes) + test_codes[utterance]
            for code, key in enumerate(self.trials.enroll_ids)
            for utterance in members.get(key, ())
            if utterance in test_codes
        ]
        return int(np.count_nonzero(np.isin(self.trials.pair_codes(), pairs)))

    def conditions(self, bands: Sequence[float] = DURATION_BANDS) -> dict[str, Column]:
        """Columns made of spk2gender, spk2lang, utt2lang, utt2cond and utt2dur, where the directories have them.

        A category is the value both sides share, or both values (`f-m`). `duration` is a band of the shorter side; a
        model is as long as its utterances together.

        Args:
            bands: the ends of the bands of duration in seconds, ascending.

        Raises:
            InputError: a duration is not a number, or a file is malformed.
        """
        columns: dict[str, Column] = {}
        for column, name in CATEGORY_FILES.items():
            facts = self.merged(name)
            if facts:
                by_speaker = name.startswith("spk")
                columns.update(self._categories(column, facts, by_speaker))
        durations = self.merged("utt2dur")
        if durations:
            columns["duration"] = self._durations(durations, bands)
        return columns

    def _categories(self, column: str, facts: Mapping[str, str], by_speaker: bool) -> dict[str, Column]:
        def category(key: str, utterances: Sequence[str]) -> str:
            if by_speaker:
                found = {facts.get(self.utt2spk.get(utterance, ""), UNKNOWN) for utterance in utterances}
                found = found or {facts.get(key, UNKNOWN) if key in self.known_speakers else UNKNOWN}
            else:
                found = {facts.get(utterance, UNKNOWN) for utterance in utterances} or {UNKNOWN}
            return "+".join(sorted(found))

        enroll = [category(key, self.utterances(key)) for key in self.trials.enroll_ids]
        test = [category(key, (key,)) for key in self.trials.test_ids]
        names = sorted({*enroll, *test})
        codes = {name: code for code, name in enumerate(names)}
        left = np.array([codes[name] for name in enroll])[self.trials.enroll]
        right = np.array([codes[name] for name in test])[self.trials.test]
        low, high = np.minimum(left, right), np.maximum(left, right)
        pairs, pair = np.unique(low.astype(np.int64) * len(names) + high, return_inverse=True)
        values = [names[code // len(names)] for code in pairs]
        others = [names[code % len(names)] for code in pairs]
        shown = [a if a == b else f"{a}-{b}" for a, b in zip(values, others, strict=True)]
        same = np.array([0 if a == b else 1 for a, b in zip(values, others, strict=True)])
        columns = {column: Column(shown, pair)}
        if len(names) > 1:
            columns[f"same {column}"] = Column(["yes", "no"], same[pair])
        return columns if len(shown) <= MAX_VALUES else {key: columns[key] for key in columns if key != column}

    def _durations(self, durations: Mapping[str, str], bands: Sequence[float]) -> Column:
        def seconds(utterances: Sequence[str]) -> float:
            try:
                return sum(float(durations[utterance]) for utterance in utterances) if utterances else np.nan
            except KeyError:
                return np.nan
            except ValueError:
                raise InputError(f"utt2dur: a duration of {' '.join(utterances[:3])} is not a number") from None

        left = np.array([seconds(self.utterances(key)) for key in self.trials.enroll_ids])[self.trials.enroll]
        right = np.array([seconds((key,)) for key in self.trials.test_ids])[self.trials.test]
        shorter = np.minimum(left, right)  # NaN where one is
        ends = [f"{end:g}" for end in bands]
        names = [f"under {ends[0]} s", *(f"{low} to {high} s" for low, high in pairwise(ends)), f"{ends[-1]} s or more"]
        codes = np.where(np.isnan(shorter), len(names), np.searchsorted(bands, shorter, side="right"))
        return Column([*names, UNKNOWN], codes)


def read_conditions(rxfilename: str, trials: Trials) -> dict[str, Column]:
    """Reads a table of properties of trials: a line of names, then `enrolment test value value ...` for every trial.

    Fields are separated by tabs; in a table without any, by blanks. The lines may stand in any order and say more than
    is needed. A column of many different numbers is cut into four bands that hold about as many trials each.

    Raises:
        InputError: a line does not fit, a trial is missing or described twice, or a column has too many values.
    """
    enroll_codes = {key: code for code, key in enumerate(trials.enroll_ids)}
    test_codes = {key: code for code, key in enumerate(trials.test_ids)}
    with open_input(rxfilename) as stream:
        try:
            text = stream.read().decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{rxfilename}: not UTF-8 text") from None
    lines = text.splitlines()
    separator = "\t" if lines and "\t" in lines[0] else None
    header = lines[0].split(separator) if lines else []
    if len(header) < 3:
        raise InputError(f"{rxfilename}: the first line names the columns: enrolment, test and one or more properties")
    codes, rows = [], []
    for number, line in enumerate(lines[1:], 2):
        fields = line.split(separator)
        if len(fields) != len(header):
            raise InputError(f"{rxfilename}, line {number}: {len(header)} fields are expected, found {len(fields)}")
        if fields[0] in enroll_codes and fields[1] in test_codes:
            codes.append(enroll_codes[fields[0]] * len(test_codes) + test_codes[fields[1]])
            rows.append(fields[2:])
    found, first, counts = np.unique(np.array(codes, dtype=np.int64), return_index=True, return_counts=True)
    if found.size and counts.max() > 1:
        code = int(found[np.argmax(counts)])
        pair = f"{trials.enroll_ids[code // len(test_codes)]} {trials.test_ids[code % len(test_codes)]}"
        raise InputError(f"{rxfilename}: the trial {pair} stands on more than one line")
    wanted = trials.pair_codes()
    at = np.minimum(np.searchsorted(found, wanted), max(found.size - 1, 0))
    missing = np.flatnonzero(found[at] != wanted) if found.size else np.arange(wanted.size)
    if missing.size:
        raise InputError(
            f"{rxfilename}: nothing is said about {missing.size} of the {len(trials)} trials of {trials.source}, "
            f"the first is {trials.pair(int(missing[0]))}"
        )
    order = first[at]
    columns = zip(header[2:], zip(*rows, strict=True), strict=True)
    return {name: _column(f"{rxfilename}, column {name}", values, order) for name, values in columns}


def _column(source: str, values: Sequence[str], order: np.ndarray) -> Column:
    names, codes = np.unique(np.array(values), return_inverse=True)
    codes = codes[order]
    if names.size <= MAX_VALUES:
        return Column(names.tolist(), codes)
    try:
        numbers = names.astype(np.float64)[codes]
    except ValueError:
        raise InputError(f"{source}: {names.size} different values are too many to break results down by") from None
    edges = np.unique(np.quantile(numbers, np.arange(1, NUM_NUMBER_BANDS) / NUM_NUMBER_BANDS))
    ends = [f"{edge:.4g}" for edge in edges]
    bands = [f"under {ends[0]}", *(f"{low} to {high}" for low, high in pairwise(ends)), f"{ends[-1]} or more"]
    return Column(bands, np.searchsorted(edges, numbers, side="right"))
