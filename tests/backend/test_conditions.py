"""What is known about trials: speakers and properties of their sides."""

from pathlib import Path

import numpy as np
import pytest

from spkid.backend.conditions import TrialSides, read_conditions
from spkid.backend.trials import read_trials
from spkid.kaldi import DataDir, InputError


def data_dir(name, **files):
    Path(name).mkdir()
    for file, text in files.items():
        Path(name, file).write_text(text, encoding="utf-8")
    return DataDir(name)


@pytest.fixture
def trials(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trials").write_text("a1 a2 target\na1 b1 nontarget\nb1 c1 nontarget\n", encoding="utf-8")
    return read_trials("trials")


SPEAKERS = "a1 a\na2 a\nb1 b\nc1 c\n"


def shown(column):
    return [column.values[code] for code in column.codes]


class TestSides:
    def test_categories_name_both_sides(self, trials):
        data = data_dir("d", utt2spk=SPEAKERS, spk2gender="a f\nb f\nc m\n", utt2lang="a1 en\na2 fr\nb1 en\n")
        columns = TrialSides(trials, [data]).conditions()
        assert shown(columns["gender"]) == ["f", "f", "f-m"]
        assert shown(columns["same gender"]) == ["yes", "yes", "no"]
        assert shown(columns["utterance language"]) == ["en-fr", "en", "en-unknown"]
        assert "duration" not in columns

    def test_durations_are_of_the_shorter_side_and_of_whole_models(self, trials):
        data = data_dir("d", utt2spk=SPEAKERS, utt2dur="a1 1.5\na2 6\nb1 4\n")
        columns = TrialSides(trials, [data]).conditions((2, 5))
        assert shown(columns["duration"]) == ["under 2 s", "under 2 s", "unknown"]
        columns = TrialSides(trials, [data], {"a1": ["a1", "a2"], "b1": ["b1"]}).conditions((2, 5))
        assert shown(columns["duration"])[:2] == ["5 s or more", "2 to 5 s"]

    def test_directories_add_up_and_may_not_contradict(self, trials):
        one, two = data_dir("one", utt2spk="a1 a\na2 a\n"), data_dir("two", utt2spk="a1 a\nb1 b\nc1 c\n")
        left, right = TrialSides(trials, [one, two]).speakers()
        assert (left == right).tolist() == [True, False, False]
        with pytest.raises(InputError, match="no speaker for 2 ids of trials: b1 c1"):
            TrialSides(trials, [one]).speakers()
        with pytest.raises(InputError, match="a1 is x, and a in another directory"):
            TrialSides(trials, [one, data_dir("three", utt2spk="a1 x\n")])

    def test_models(self, trials):
        data = data_dir("d", utt2spk=SPEAKERS)
        sides = TrialSides(trials, [data], {"a1": ["a1", "a2"], "b1": ["b1"]})
        assert sides.self_comparisons() == 1  # a2 is in the model it is tested against
        assert sides.speaker("a1") == "a"
        assert sides.speaker("c") == "c"
        assert sides.speaker("nobody") is None
        with pytest.raises(InputError, match="the model a1 is made of utterances of 2 speakers"):
            TrialSides(trials, [data], {"a1": ["a1", "b1"]}).speakers()

    def test_a_duration_that_is_no_number(self, trials):
        data = data_dir("d", utt2spk=SPEAKERS, utt2dur="a1 long\na2 6\nb1 4\nc1 1\n")
        with pytest.raises(InputError, match="a duration of a1 is not a number"):
            TrialSides(trials, [data]).conditions()

    def test_too_many_categories_leave_whether_they_are_the_same(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        keys = [f"s{k:02d}-1" for k in range(12)]
        lines = [f"{a} {b} nontarget\n" for a in keys for b in keys if a < b]
        Path("many").write_text("".join(lines), encoding="utf-8")
        languages = "".join(f"s{k:02d} l{k}\n" for k in range(12))
        data = data_dir("d", utt2spk="".join(f"{key} {key[:3]}\n" for key in keys), spk2lang=languages)
        columns = TrialSides(read_trials("many"), [data]).conditions()
        assert list(columns) == ["same language"]
        assert set(shown(columns["same language"])) == {"no"}


def test_a_table_separated_by_blanks(trials):
    Path("table").write_text("x y noise\nb1 c1 loud\na1 b1 quiet\na1 a2 loud\n", encoding="utf-8")
    columns = read_conditions("table", trials)
    assert shown(columns["noise"]) == ["loud", "quiet", "loud"]
    assert columns["noise"].codes.dtype.kind == "i"
    assert np.array_equal(np.unique(columns["noise"].codes), [0, 1])
