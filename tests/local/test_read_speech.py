"""AISHELL-1, LibriSpeech and CN-Celeb: the published trees, selections, odd files, downloads."""

import hashlib
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local import aishell, cn_celeb, librispeech
from local.common import layouts
from local.common.downloads import Archive
from local.common.walking import LeftOut
from spkid.kaldi import DataDir, InputError
from tests.local.voices import serving, voices


def run(program, *words: object) -> int:
    return program.run([program.EXAMPLE.split()[0].split("/")[1], *map(str, words)], exit=False)[1]


def lines(path) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text().splitlines()]


@pytest.fixture(scope="module")
def aishell_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora") / "data_aishell"
    layouts.aishell(root, voices(9, 4), num_dev=2, num_test=3)
    return root


class TestAishell:
    def test_published_tree(self, aishell_root, tmp_path, capsys):
        assert run(aishell.Aishell, "prepare", "--corpus", aishell_root, tmp_path) == 0
        train = DataDir(tmp_path / "train")
        assert train.speakers == ["S0002", "S0003", "S0004", "S0005"]
        assert train.utterances[0] == "S0002-BAC009S0002W0122"
        assert train.read("text")["S0002-BAC009S0002W0123"] == "words number 1"
        assert train.read("spk2gender")["S0003"] == "m"
        assert len(DataDir(tmp_path / "dev").utterances) == 8
        assert not DataDir(tmp_path / "test").has("trials")
        said = capsys.readouterr().out
        assert "train: 4 speakers (published: 340), 16 utterances (published: 120098)" in said

    def test_selection_as_of_the_laboratory_sheet(self, aishell_root, tmp_path, capsys):
        words = ["prepare", "--corpus", aishell_root, "--train-speakers", 2, "--utterances", 3]
        assert run(aishell.Aishell, *words, tmp_path / "one") == 0
        assert len(DataDir(tmp_path / "one/train").utterances) == 6
        test = DataDir(tmp_path / "one/test")
        assert len(test.utterances) == 9
        trials = lines(test.path("trials"))
        assert len(trials) == 9 * 8 // 2
        assert sum(kind == "target" for *_, kind in trials) == 3 * 3
        assert "(published" not in capsys.readouterr().out, "a selection is not compared"
        run(aishell.Aishell, *words, tmp_path / "two")
        assert DataDir(tmp_path / "two/train").utterances == DataDir(tmp_path / "one/train").utterances
        run(aishell.Aishell, *words, "--seed", 1, tmp_path / "two")
        assert DataDir(tmp_path / "two/train").utterances != DataDir(tmp_path / "one/train").utterances

    def test_the_sheet_s_numbers(self):
        """300 x 10 of 340 speakers, 20 x 10 of 20: 19,900 pairs, 900 of them of one speaker."""
        speakers = {f"S{n:04d}": [f"S{n:04d}-{u}" for u in range(60)] for n in range(340)}
        train = aishell.choose(speakers, 300, 10, 0)
        assert len(train) == 300
        assert all(len(set(files)) == 10 for files in train.values())
        assert 20 * 10 * (20 * 10 - 1) // 2 == 19_900
        assert 20 * 10 * 9 // 2 == 900
        with pytest.raises(InputError, match="300 speakers are wanted and 0 have"):
            aishell.choose(speakers, 300, 61, 0)

    def test_odd_files(self, aishell_root, tmp_path, capsys):
        root = tmp_path / "数据 aishell/data_aishell"
        shutil.copytree(aishell_root, root)
        shutil.rmtree(root / "wav/train/S0003")
        first = sorted((root / "wav/train/S0002").glob("*.wav"))
        first[0].write_bytes(b"")
        first[1].rename(first[1].with_name("BAC009S9999W0001.wav"))
        (root / "wav/train/stray.wav").write_bytes(first[2].read_bytes())
        (root / "transcript/aishell_transcript_v0.8.txt").write_text("BAC009S0002W0124 你 好\n", encoding="utf-8")
        assert run(aishell.Aishell, "prepare", "--corpus", root, tmp_path / "data") == 0
        train = DataDir(tmp_path / "data/train")
        assert train.speakers == ["S0002", "S0004", "S0005"]
        assert len(train.utterances) == 10
        assert not train.has("text"), "not all have words"
        assert not train.has("spk2gender"), "resource_aishell is not beside it"
        said = capsys.readouterr().out
        for sentence in ("1, an empty file", "1, the name does not hold the speaker's", "1, not wav/<train"):
            assert f"left out {sentence}" in said

    def test_download_unpacks_the_speakers_archives(self, tmp_path, monkeypatch):
        mirror = tmp_path / "mirror"
        layouts.aishell(mirror / "data_aishell", voices(3, 2), num_dev=1, num_test=1, archives=True)
        with tarfile.open(mirror / "data_aishell.tgz", "w:gz") as tar:
            tar.add(mirror / "data_aishell", "data_aishell")
        md5 = hashlib.md5((mirror / "data_aishell.tgz").read_bytes()).hexdigest()
        monkeypatch.setattr(aishell, "ARCHIVE", aishell.ARCHIVE._replace(md5=(md5,)))
        corpus = tmp_path / "downloads/data_aishell"
        with serving(mirror) as server:
            assert run(aishell.Aishell, "download", "--url", server.url, tmp_path / "downloads") == 0
            assert run(aishell.Aishell, "download", "--url", server.url, tmp_path / "downloads") == 0
            assert len(server.asked) == 1
        assert not list(corpus.rglob("*.tar.gz"))
        assert run(aishell.Aishell, "prepare", "--corpus", corpus, tmp_path / "data") == 0
        assert len(DataDir(tmp_path / "data/train").utterances) == 2

    def test_archives_that_were_not_unpacked(self, tmp_path, capsys):
        layouts.aishell(tmp_path / "data_aishell", voices(3), num_dev=1, num_test=1, archives=True)
        assert run(aishell.Aishell, "prepare", "--corpus", tmp_path / "data_aishell", tmp_path / "data") == 1
        assert "were not unpacked" in capsys.readouterr().err


@pytest.fixture(scope="module")
def libri_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora") / "LibriSpeech"
    people = voices(5, 3)
    layouts.librispeech(root, {"train-clean-100": people[:3], "test-clean": people[3:]})
    return root


class TestLibriSpeech:
    def test_published_tree(self, libri_root, tmp_path, capsys):
        assert run(librispeech.LibriSpeech, "prepare", "--corpus", libri_root, tmp_path) == 0
        train = DataDir(tmp_path / "train_clean_100")
        assert train.speakers == ["19", "26", "33"]
        assert train.utterances[:3] == ["19-119-0000", "19-119-0001", "19-919-0000"]
        assert train.read("spk2gender") == {"19": "f", "26": "m", "33": "f"}
        assert train.read("text")["19-919-0000"] == "WORDS NUMBER 2"
        assert len(DataDir(tmp_path / "test_clean").utterances) == 6
        assert (
            "train_clean_100: 3 speakers (published: 251), 9 utterances (published: 28539)" in capsys.readouterr().out
        )

    def test_only_the_subsets_asked_for(self, libri_root, tmp_path, capsys):
        assert run(librispeech.LibriSpeech, "prepare", "--corpus", libri_root, "--subsets", "test-clean", tmp_path) == 0
        assert not (tmp_path / "train_clean_100").exists()
        assert run(librispeech.LibriSpeech, "prepare", "--corpus", libri_root, "--subsets", "dev-clean", tmp_path) == 1
        assert "no subset dev-clean" in capsys.readouterr().err
        assert run(librispeech.LibriSpeech, "prepare", "--corpus", libri_root, "--subsets", "train", tmp_path) == 1
        assert "there is no subset train; there are dev-clean" in capsys.readouterr().err

    def test_odd_files(self, libri_root, tmp_path, capsys):
        root = Path(shutil.copytree(libri_root, tmp_path / "Bücher mit Blank/LibriSpeech"))
        train = root / "train-clean-100"
        (train / "19/119/19-119-0000.flac").write_bytes(b"")
        (train / "19/119/19-119-0000 (copy).flac").write_bytes(b"x")
        shutil.copy(train / "19/119/19-119-0001.flac", train / "26/126/19-119-0001.flac")
        shutil.rmtree(train / "33")
        (root / "SPEAKERS.TXT").unlink()
        assert run(librispeech.LibriSpeech, "prepare", "--corpus", root, tmp_path / "data") == 0
        data = DataDir(tmp_path / "data/train_clean_100")
        assert data.speakers == ["19", "26"]
        assert len(data.utterances) == 5
        assert data.has("text")
        assert not data.has("spk2gender")
        said = capsys.readouterr().out
        assert "left out 2, not <speaker>/<chapter>/" in said
        assert "left out 1, in a transcript, but not there: 19-119-0000" in said

    def test_subsets_share_a_folder(self, libri_root, tmp_path, monkeypatch):
        mirror = tmp_path / "mirror"
        mirror.mkdir()
        for subset in ("train-clean-100", "test-clean"):
            with tarfile.open(mirror / f"{subset}.tar.gz", "w:gz") as tar:
                tar.add(libri_root / subset, f"LibriSpeech/{subset}")
                tar.add(libri_root / "SPEAKERS.TXT", "LibriSpeech/SPEAKERS.TXT")
            md5 = hashlib.md5((mirror / f"{subset}.tar.gz").read_bytes()).hexdigest()
            monkeypatch.setitem(librispeech.SUBSETS, subset, librispeech.SUBSETS[subset]._replace(md5=md5))
        words = ["download", "--subsets", "train-clean-100,test-clean"]
        with serving(mirror) as server:
            assert run(librispeech.LibriSpeech, *words, "--url", server.url, tmp_path / "downloads") == 0
            assert run(librispeech.LibriSpeech, *words, "--url", server.url, tmp_path / "downloads") == 0
            assert server.asked == ["/train-clean-100.tar.gz", "/test-clean.tar.gz"]
        assert (
            run(librispeech.LibriSpeech, "prepare", "--corpus", tmp_path / "downloads/LibriSpeech", tmp_path / "d") == 0
        )
        assert DataDir(tmp_path / "d/test_clean").has("spk2gender")

    def test_addresses(self):
        assert librispeech.archive_of("train-clean-5").url.endswith("/resources/31/train-clean-5.tar.gz")
        assert librispeech.archive_of("test-clean") == Archive(
            "https://www.openslr.org/resources/12/test-clean.tar.gz",
            ("32fa31d27d2e1cad72775fee3f4849a9",),
            "LibriSpeech/test-clean",
            2620,
        )

    def test_speakers_of_another_form(self, tmp_path):
        (tmp_path / "SPEAKERS.TXT").write_text("; a comment\n19 | F | x | 1 | A\n20, M\n")
        with pytest.raises(InputError, match="line 3"):
            librispeech.read_genders(tmp_path / "SPEAKERS.TXT")


@pytest.fixture(scope="module")
def cn_roots(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    layouts.cn_celeb1(root / "CN-Celeb_flac", voices(5, 4), num_test=2)
    layouts.cn_celeb2(root / "CN-Celeb2_flac", voices(2, 2))
    return root


class TestCnCeleb:
    def test_published_trees(self, cn_roots, tmp_path, capsys):
        words = ["--cn-celeb1", cn_roots / "CN-Celeb_flac", "--cn-celeb2", cn_roots / "CN-Celeb2_flac", tmp_path]
        assert run(cn_celeb.CnCeleb, "prepare", *words) == 0
        train, test = DataDir(tmp_path / "cnceleb_train"), DataDir(tmp_path / "cnceleb_eval")
        assert train.speakers == ["id00000", "id00001", "id00002", "id10000", "id10001"]
        assert test.speakers == ["id00800", "id00801"], "who is tested is not trained on"
        assert train.read("utt2cond")["id00001-singing-01-001"] == "singing"
        assert test.read("utt2cond")["id00800-enroll"] == "enroll"
        trials = lines(test.path("trials"))
        assert {name for trial in trials for name in trial[:2]} == set(test.utterances)
        assert all((one[:7] == two[:7]) == (kind == "target") for one, two, kind in trials)
        said = capsys.readouterr().out
        assert "5 speakers (published: 2793)" in said
        assert "8 recordings of test speakers in data/ are not trained on" in said
        assert "12 trials (published: 3484292) over 8 files" in said

    def test_without_lists(self, cn_roots, tmp_path, capsys):
        root = Path(shutil.copytree(cn_roots / "CN-Celeb_flac", tmp_path / "名人"))
        shutil.rmtree(root / "dev")
        shutil.rmtree(root / "eval")
        next((root / "data/id00000").glob("*.flac")).write_bytes(b"")
        (root / "data/notes.txt").write_text("?")
        assert run(cn_celeb.CnCeleb, "prepare", "--cn-celeb1", root, tmp_path / "data") == 0
        assert DataDir(tmp_path / "data/cnceleb_train").speakers == ["id00000", "id00001", "id00002"]
        assert not (tmp_path / "data/cnceleb_eval").exists()
        assert "left out 1, an empty file" in capsys.readouterr().out

    def test_an_archive_in_three_files(self, cn_roots, tmp_path, monkeypatch):
        mirror = tmp_path / "mirror"
        mirror.mkdir()
        with tarfile.open(mirror / "whole", "w:gz") as tar:
            tar.add(cn_roots / "CN-Celeb2_flac", "CN-Celeb2_flac")
        whole, md5 = (mirror / "whole").read_bytes(), []
        size = -(-len(whole) // 3)
        for number, ending in enumerate(("aa", "ab", "ac")):
            piece = whole[number * size : (number + 1) * size]
            (mirror / f"cn-celeb2_v2.tar.gz{ending}").write_bytes(piece)
            md5.append(hashlib.md5(piece).hexdigest())
        archive = cn_celeb.ARCHIVES["2"]._replace(md5=tuple(md5))
        monkeypatch.setitem(cn_celeb.ARCHIVES, "2", archive)
        with serving(mirror) as server:
            words = ["download", "--corpora", "2", "--url", server.url, tmp_path / "downloads"]
            assert run(cn_celeb.CnCeleb, *words) == 0
            assert run(cn_celeb.CnCeleb, *words) == 0
            assert len(server.asked) == 3
        assert len(list((tmp_path / "downloads").rglob("*.flac"))) == 4
        assert not list((tmp_path / "downloads").glob("cn-celeb2*"))

    def test_a_trial_of_another_form(self, tmp_path):
        (tmp_path / "trials.lst").write_text("id00800-enroll test/id00800-singing-01-001.wav yes\n")
        with pytest.raises(InputError, match=r"trials\.lst, line 1"):
            cn_celeb.read_trials(tmp_path / "trials.lst")


@pytest.mark.parametrize(
    ("program", "words", "sentence"),
    [
        (aishell.Aishell, ["--corpus", "EMPTY"], "--corpus names the folder data_aishell"),
        (aishell.Aishell, ["--corpus", "/nowhere"], "/nowhere: no such folder"),
        (librispeech.LibriSpeech, ["--corpus", "EMPTY"], "--corpus names the folder LibriSpeech"),
        (cn_celeb.CnCeleb, ["--cn-celeb1", "EMPTY"], "has no data/<speaker>/ and no eval/"),
        (cn_celeb.CnCeleb, [], "give --cn-celeb1"),
    ],
)
def test_another_folder(program, words, sentence, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(program, "prepare", *[str(empty) if word == "EMPTY" else word for word in words], tmp_path / "data") == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_left_out_files_are_counted_by_reason(tmp_path):
    left_out, said = LeftOut(), []
    for number in range(5):
        left_out.add("odd", f"file\n{number}")
    left_out.report(said.append)
    assert said == ["warning: left out 5, odd: 'file\\n0', 'file\\n1', 'file\\n2' and 2 more"]
    left_out.write(tmp_path / "left_out")
    assert len((tmp_path / "left_out").read_text().splitlines()) == 5


def test_audio_of_the_layouts_is_what_the_voices_say(tmp_path):
    (voice,) = voices(1, 1)
    layouts.save(tmp_path / "a.flac", voice.read(0), voice.rate)
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.flac")[0], voice.read(0), atol=1 / 32768)
