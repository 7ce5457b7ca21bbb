"""The VoxCeleb trainer's lists as data directories and trials."""

from pathlib import Path

import pytest

from local.common import layouts
from spkid.kaldi import DataDir
from tests.local.voices import voices
from tests.steps.running import refuse, succeed

PROGRAM = "import_voxceleb_lists.py"


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """voxceleb1 and voxceleb2 as the trainer's dataprep leaves them, and its two lists."""
    monkeypatch.chdir(tmp_path)
    layouts.voxceleb1(Path("corpus"), voices(4, 4), num_test=2)
    Path("corpus/test/wav").rename("voxceleb1")
    Path("corpus/dev/wav").rename("voxceleb2")
    paths = sorted(path.relative_to("voxceleb2") for path in Path("voxceleb2").rglob("*.wav"))
    layouts.write_lines(Path("train_list.txt"), [f"{path.parts[0]} {path}" for path in paths])
    Path("corpus/veri_test.txt").rename("veri_test.txt")
    return tmp_path


ALL = ["--train-list", "train_list.txt", "--train-path", "voxceleb2"]
ALL += ["--test-list", "veri_test.txt", "--test-path", "voxceleb1"]


def test_both_lists(trainer):
    said = succeed(PROGRAM, *ALL, "data")
    assert "12 target and 16 nontarget trials over 8 files" in said
    train, test = DataDir("data/train"), DataDir("data/test")
    train.check(needs=("wav.scp",))
    test.check(needs=("wav.scp",))
    assert train.speakers == ["id10001", "id10002"]
    assert test.speakers == ["id10270", "id10271"]
    assert all(Path(path).is_absolute() for path in train.wav_scp.values())
    originals = [line.split() for line in Path("veri_test.txt").read_text().splitlines()]
    trials = [line.split() for line in Path("data/test/trials").read_text().splitlines()]
    for (label, *files), (*ids, kind) in zip(originals, trials, strict=True):
        assert (kind == "target") == (label == "1")
        assert ids == [file.removesuffix(".wav").replace("/", "-") for file in files]
    assert "done already" in succeed(PROGRAM, *ALL, "data")


def test_one_list(trainer):
    succeed(PROGRAM, *ALL[:4], "data")
    assert not Path("data/test").exists()


def test_files_that_are_missing(trainer):
    first, second, *_ = sorted(Path("voxceleb2").rglob("*.wav"))
    first.unlink()
    second.write_bytes(b"")
    said = succeed(PROGRAM, *ALL, "data")
    assert "left out 1, there is no such file: id10001" in said
    assert "left out 1, an empty file: id10001" in said
    assert len(DataDir("data/train").utterances) == 6


def test_speakers_that_are_not_in_the_path(trainer):
    paths = sorted(path.relative_to("voxceleb2") for path in Path("voxceleb2").rglob("*.wav"))
    layouts.write_lines(Path("train_list.txt"), [f"person{path.parts[0]}\t{path}" for path in paths])
    succeed(PROGRAM, *ALL[:4], "data")
    data = DataDir("data/train")
    assert data.speakers == ["personid10001", "personid10002"]
    assert all(utterance.startswith(f"{speaker}-") for utterance, speaker in data.utt2spk.items())


@pytest.mark.parametrize(
    ("list_name", "text", "sentence"),
    [
        ("train_list.txt", "id10001\n", "train_list.txt, line 1: expected 'speaker path'"),
        ("train_list.txt", "a a/b.wav\na a/b.flac\n", "line 2: a/b.flac and a/b.wav would both be utterance a-b"),
        ("train_list.txt", "\n", "holds no line"),
        ("veri_test.txt", "2 a/b.wav a/c.wav\n", "line 1: expected '0 or 1, file, file'"),
        ("veri_test.txt", "1 a/b.wav\n", "line 1: expected"),
        ("veri_test.txt", "", "holds no trial"),
        ("veri_test.txt", "1 a/b.wav a/c.wav\n", "none of its 2 files is below"),
    ],
)
def test_lists_that_cannot_be_understood(list_name, text, sentence, trainer):
    Path(list_name).write_text(text)
    assert sentence in refuse(PROGRAM, *ALL, "data")


def test_what_goes_together(trainer):
    assert "go together" in refuse(PROGRAM, "--train-list", "train_list.txt", "data")
    assert "give --train-list" in refuse(PROGRAM, "data")
    assert "no such folder" in refuse(PROGRAM, *ALL[:3], "nowhere", "data")
