"""results.json is read with what the reader needs, or one sentence says what it lacks."""

import json

import pytest

from spkid.jobs.results import read_results
from spkid.kaldi import InputError

NEEDED = ("eer", "trials.md5")


def test_a_file_with_all_that_is_needed_is_read_whole(tmp_path):
    content = {"eer": 0.1, "trials": {"md5": "0", "count": 3}, "other": None}
    (tmp_path / "results.json").write_text(json.dumps(content))
    assert read_results(tmp_path / "results.json", NEEDED, "steps/evaluate.py") == content


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, r"results\.json: No such file or directory: run steps/evaluate\.py first"),
        ("{", "not a JSON file"),
        ("[1]", "no eer, trials.md5: not of steps/evaluate.py"),
        ('{"eer": 1, "trials": 3}', "no trials.md5: not of steps/evaluate.py"),
        ('{"eer": 1, "trials": {}}', "no trials.md5"),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_results(tmp_path / "results.json", NEEDED, "steps/evaluate.py")
