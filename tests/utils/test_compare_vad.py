"""utils/compare_vad.py: a row for each detector and set, of what steps/evaluate_vad.py found."""

import json

import numpy as np
import pytest

from spkid.kaldi.tables import VECTOR, TableWriter
from tests.steps.running import refuse, succeed

TRUTH = np.repeat([0.0, 1.0, 0.0], [40, 30, 30]).astype(np.float32)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Labels of one recording, and two detectors of which one is 10 frames late."""
    monkeypatch.chdir(tmp_path)
    for name, late in {"truth": 0, "good": 0, "late": 10}.items():
        with TableWriter(f"ark,scp:{name}.ark,{name}.scp", VECTOR) as writer:
            writer.write("a", np.roll(TRUTH, late))
    for name in ("good", "late"):
        for ratio in ("20", "0"):
            succeed("evaluate_vad.py", "--collar", 5, "truth.scp", f"{name}.scp", f"{name}/results/{ratio}")
    return tmp_path


def test_table_and_picture(work):
    (work / "late/final.json").write_text('{"parameters": 284929}')
    words = ["--system", "good=good", "--system", "late one=late", "--table", "table.md", "--picture", "picture.png"]
    printed = succeed("compare_vad.py", *words, "20", "0")
    assert (work / "table.md").read_text() == printed
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    assert rows[2] == ["the more frequent class", "", "20", "70.00%", "", "", ""]
    assert rows[3] == ["good", "", "20", "100.00%", "0.00%", "0.00%", "100.00%"]
    assert rows[4] == ["late one", "284,929", "20", "80.00%", "33.33%", "14.29%", "0.00%"]
    assert len(rows) == 2 + 2 * 3
    assert (work / "picture.png").read_bytes().startswith(b"\x89PNG")
    (work / "good/results/street").symlink_to(work / "good/results")
    succeed("compare_vad.py", "--system", "g=good", "--picture", "street.png", "street/20", "street/0")
    assert (work / "street.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_is_one_sentence(work):
    assert "name one or more sets" in refuse("compare_vad.py", "--system", "good=good")
    assert "give a name and a directory" in refuse("compare_vad.py", "--system", "good", "20")
    assert "10/results.json: No such file" in refuse("compare_vad.py", "--system", "good=good", "10")
    path = work / "late/results/20/results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "frames": 99}))
    assert "not measured on the same set 20" in refuse(
        "compare_vad.py", "--system", "good=good", "--system", "late=late", "20"
    )
    (work / "good/results/clean").symlink_to(work / "good/results/20")
    assert "clean is not a number" in refuse("compare_vad.py", "--system", "g=good", "--picture", "x.png", "clean")
