"""The PAV laboratory's lists and `.mcp` files: speakers, numbers, what is left out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from local import pav
from local.common import layouts
from local.common.walking import LeftOut
from spkid.data.front_end import read_record
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.tables import MATRIX, read_table
from tests.local.voices import voices


def prepare(*words: object) -> int:
    return pav.Pav.run(["pav.py", *map(str, words)], exit=False)[1]


@pytest.fixture
def corpus(tmp_path):
    """Twelve speakers with six files of 16 coefficients each: three to train on, one to validate, two to test with."""
    random = np.random.default_rng(0)
    matrices = [[random.standard_normal((20 + n, 16)) + speaker for n in range(6)] for speaker in range(12)]
    layouts.pav(tmp_path / "pav", matrices, num_test=2, num_valid=1)
    return tmp_path / "pav"


def words_of(corpus: Path) -> list[object]:
    lists = corpus / "lists"
    words = ["--db-path", corpus / "mcp", "--tr-list-file", lists / "train.list"]
    return [*words, "--va-list-file", lists / "valid.list", "--te-list-file", lists / "test.list"]


def test_lists_and_features(corpus, tmp_path, capsys):
    assert prepare(*words_of(corpus), tmp_path / "data") == 0
    counts = {name: len(DataDir(tmp_path / "data" / name).utterances) for name in ("train", "dev", "test")}
    assert counts == {"train": 36, "dev": 12, "test": 24}
    train = DataDir(tmp_path / "data/train")
    assert train.utt2spk["SES010-BLOCK01-SA010S00"] == "SES010"
    assert train.read("utt2path")["SES010-BLOCK01-SA010S00"] == "BLOCK01/SES010/SA010S00"
    assert train.read("utt2num_frames")["SES010-BLOCK01-SA010S02"] == "22"
    for utterance, matrix in read_table(f"scp:{train.path('feats.scp')}", MATRIX):
        raw = (corpus / "mcp" / f"{train.read('utt2path')[utterance]}.mcp").read_bytes()
        np.testing.assert_array_equal(matrix, np.frombuffer(raw[8:], "<f4").reshape(-1, 16))
    record = read_record(train.root)
    assert (record.type, record.options) == ("mcp", {"dims": 16})
    indices = json.loads(Path(train.path("spk2idx.json")).read_text())
    assert indices == {f"SES{number:03d}": number for number in range(12)}
    assert "train: 12 speakers (published: 157), 36 utterances (published: 2355)" in capsys.readouterr().out
    assert prepare(*words_of(corpus), tmp_path / "data") == 0
    assert "done already" in capsys.readouterr().out


def test_odd_files(corpus, tmp_path, capsys):
    root = Path(shutil.move(corpus, tmp_path / "Sesión 1 (PAV)"))
    files = root / "mcp/BLOCK00"
    (files / "SES000/SA000S00.mcp").unlink()
    (files / "SES001/SA001S00.mcp").write_bytes(b"")
    (files / "SES002/SA002S00.mcp").write_bytes(np.array([5, 16], "<i4").tobytes() + b"short")
    (files / "SES003/SA003S00.mcp").write_bytes(np.array([0, 16], "<i4").tobytes())
    (files / "SES004/other.mcp").write_bytes(b"?")
    shutil.rmtree(files / "SES005")
    with open(root / "lists/train.list", "a") as stream:
        stream.write("\nBLOCK00/SES006/SA006S00\n")
    assert prepare(*words_of(root), tmp_path / "data") == 0
    train = DataDir(tmp_path / "data/train")
    assert len(train.utterances) == 36 - 4 - 3
    assert "SES005" not in train.speakers
    said = capsys.readouterr().out
    for sentence in (
        "left out 7, there is no such file",
        "left out 1, an empty file",
        "left out 1, damaged",
        "left out 1, without a frame",
        "left out 1, on a second line of the list",
    ):
        assert sentence in said


def test_numbers_of_speakers_that_are_given(corpus, tmp_path, capsys):
    """The original's file has the key spk2idx among its speakers, which it counted as one."""
    indices = {f"SES{number:03d}": 11 - number for number in range(12)}
    (tmp_path / "spk2idx.json").write_text(json.dumps({**indices, "spk2idx": "lists/spk2idx.json"}))
    assert prepare(*words_of(corpus), "--spk2idx", tmp_path / "spk2idx.json", tmp_path / "data") == 0
    assert json.loads((tmp_path / "data/train/spk2idx.json").read_text()) == indices
    (tmp_path / "spk2idx.json").write_text(json.dumps({"SES000": 0}))
    assert prepare(*words_of(corpus), "--spk2idx", tmp_path / "spk2idx.json", tmp_path / "data") == 1
    assert "lacks 11 speakers" in capsys.readouterr().err
    (tmp_path / "spk2idx.json").write_text(json.dumps({"SES000": 0, "SES001": 2}))
    assert prepare(*words_of(corpus), "--spk2idx", tmp_path / "spk2idx.json", tmp_path / "data") == 1
    assert "not numbered from 0 to 1" in capsys.readouterr().err


def test_recordings_instead_of_features(tmp_path):
    (voice,) = voices(1, 2)
    for number in range(2):
        layouts.save(tmp_path / f"wav/BLOCK00/SES000/SA000S0{number}.wav", voice.read(number), voice.rate)
    layouts.write_lines(tmp_path / "train.list", ["BLOCK00/SES000/SA000S00", "BLOCK00/SES000/SA000S01"])
    words = ["--db-path", tmp_path / "wav", "--tr-list-file", tmp_path / "train.list", "--ext", "wav"]
    assert prepare(*words, tmp_path / "data") == 0
    DataDir(tmp_path / "data/train").check(needs=("wav.scp",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("SES000/SA000S00\n", "line 1: expected 'BLOCKnn/SESnnn/name'"),
        ("/BLOCK00/SES000/SA000S00\n", "line 1: expected"),
        ("\n", "names no file"),
        ("A/B/C\nA/B/C D\nA/B/C_D\n", "would both be utterance B-A-C_D"),
    ],
)
def test_lists_that_cannot_be_used(text, sentence, tmp_path):
    (tmp_path / "train.list").write_text(text)
    with pytest.raises(InputError, match=sentence):
        pav.read_list(tmp_path / "train.list", LeftOut())


def test_a_list_of_another_folder(corpus, tmp_path, capsys):
    words = ["--db-path", tmp_path, "--tr-list-file", corpus / "lists/train.list", tmp_path / "data"]
    assert prepare(*words) == 1
    assert "none of its files is below" in capsys.readouterr().err
    assert prepare("--db-path", tmp_path, tmp_path / "data") == 1
    assert "give --tr-list-file" in capsys.readouterr().err
