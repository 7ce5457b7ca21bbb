"""speechocean762: who is in which set, names, what is said about a corpus that is not as published, the download."""

import functools
import http.server
import io
import json
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from local import speechocean762
from spkid.audio import write_wav
from spkid.kaldi import DataDir, InputError
from tests.shared import corpora

PROGRAM = Path(speechocean762.__file__)


def make_half(corpus: Path, half: str, speakers: range, utterances: int = 2) -> None:
    """A half in the published layout: tables with tabs, ids without the speaker's name."""
    (corpus / half).mkdir(parents=True)
    lines: dict[str, list[str]] = {"wav.scp": [], "utt2spk": [], "spk2gender": []}
    for number in speakers:
        folder = f"WAVE/SPEAKER{number:04d}"
        (corpus / folder).mkdir(parents=True, exist_ok=True)
        lines["spk2gender"].append(f"{number:04d}\t{'mf'[number % 2]}")
        for index in range(utterances):
            utterance = f"{number:05d}{index:04d}"
            samples = np.random.default_rng(number * 100 + index).normal(0, 0.1, 1600 + 160 * index)
            write_wav(str(corpus / folder / f"{utterance}.WAV"), samples.astype(np.float32), 16000)
            lines["wav.scp"].append(f"{utterance}\t{folder}/{utterance}.WAV")
            lines["utt2spk"].append(f"{utterance}\t{number:04d}")
    for name, content in lines.items():
        (corpus / half / name).write_text("\n".join(content) + "\n")


def prepare(corpus: Path, data: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROGRAM), "prepare", "--corpus", str(corpus), *options, str(data)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory):
    corpus = tmp_path_factory.mktemp("corpus")
    make_half(corpus, "train", range(1, 9))
    make_half(corpus, "test", range(11, 16))
    return corpus


def test_published_halves_are_the_split_and_dev_comes_out_of_train(small_corpus, tmp_path):
    result = prepare(small_corpus, tmp_path, "--dev-speakers", "2")
    assert result.returncode == 0, result.stderr
    speakers = {name: DataDir(tmp_path / name).speakers for name in ("train", "dev", "test")}
    assert speakers["test"] == [f"SPEAKER{number:04d}" for number in range(11, 16)]
    assert len(speakers["dev"]) == 2
    assert sorted(speakers["train"] + speakers["dev"]) == [f"SPEAKER{number:04d}" for number in range(1, 9)]


def test_tables_and_trials(small_corpus, tmp_path):
    assert prepare(small_corpus, tmp_path, "--dev-speakers", "2").returncode == 0
    test = DataDir(tmp_path / "test")
    assert test.utt2spk["SPEAKER0011-000110000"] == "SPEAKER0011"
    assert test.wav_scp["SPEAKER0011-000110001"] == str(small_corpus / "WAVE/SPEAKER0011/000110001.WAV")
    assert test.read("spk2gender")["SPEAKER0012"] == "m"
    assert test.read("utt2dur")["SPEAKER0011-000110001"] == "0.1100"
    trials = [line.split() for line in Path(test.path("trials")).read_text().splitlines()]
    assert len(trials) == 45
    assert len({frozenset(trial[:2]) for trial in trials}) == 45
    assert all((one[:11] == other[:11]) == (kind == "target") for one, other, kind in trials)
    balanced = Path(test.path("trials_balanced")).read_text().split()[2::3]
    assert balanced.count("target") == balanced.count("nontarget") == 5
    assert not (tmp_path / "train" / "trials").exists()


def test_no_development_set_trains_on_everybody(small_corpus, tmp_path):
    assert prepare(small_corpus, tmp_path, "--dev-speakers", "0").returncode == 0
    assert len(DataDir(tmp_path / "train").speakers) == 8
    assert not (tmp_path / "dev").exists()


def test_again_returns_at_once_and_says_so(small_corpus, tmp_path):
    prepare(small_corpus, tmp_path, "--dev-speakers", "2")
    assert "done already" in prepare(small_corpus, tmp_path, "--dev-speakers", "2").stdout


def test_without_a_test_half_the_last_thirty_speakers_are_the_test_set():
    numbers = [f"{number:04d}" for number in range(125)]
    sets = speechocean762.split_speakers(numbers, [], 15)
    assert sets["test"] == numbers[95:]
    assert {name: len(members) for name, members in sets.items()} == {"train": 80, "dev": 15, "test": 30}
    assert sorted(sets["train"] + sets["dev"]) == numbers[:95]
    assert max(map(int, sets["dev"])) > 75, "spread over all, not the first ones"


def test_development_groups_share_no_speaker():
    numbers = [f"{number:04d}" for number in range(125)]
    groups = [speechocean762.split_speakers(numbers, [], 15, group) for group in range(6)]
    assert len({speaker for sets in groups for speaker in sets["dev"]}) == 6 * 15
    assert all(sets["test"] == numbers[95:] and not set(sets["dev"]) & set(sets["train"]) for sets in groups)
    with pytest.raises(InputError, match="no development group 6: 95 speakers make 6"):
        speechocean762.split_speakers(numbers, [], 15, 6)


def test_results_of_different_trials_are_not_compared(tmp_path, capsys):
    for name, md5, eer in (("a", "1", 0.05), ("b", "1", 0.04), ("c", "2", 0.04)):
        (tmp_path / name).mkdir()
        results = {"eer": eer, "trials": {"md5": md5, "file": "data/test/trials"}}
        (tmp_path / name / "results.json").write_text(json.dumps(results))

    def compare(one, other):
        arguments = ["speechocean762.py", "compare", str(tmp_path / one), str(tmp_path / other)]
        return speechocean762.Speechocean762.run(arguments, exit=False)[1]

    assert compare("a", "b") == 0
    assert "5.00%, of the system 4.00%, ratio 0.80" in capsys.readouterr().out
    assert compare("a", "c") == 1
    assert "different trials" in capsys.readouterr().err
    (tmp_path / "c" / "results.json").write_text("{}")
    assert compare("a", "c") == 1
    assert "steps/evaluate.py" in capsys.readouterr().err


def test_too_few_speakers():
    with pytest.raises(InputError, match="too few"):
        speechocean762.split_speakers([f"{number}" for number in range(31)], [], 0)


def without_line(path: Path, index: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:index] + lines[index + 1 :]))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda corpus: (corpus / "WAVE/SPEAKER0003/000030001.WAV").unlink(), "000030001.WAV"),
        (lambda corpus: (corpus / "WAVE/SPEAKER0003/000030001.WAV").write_bytes(b""), "missing or empty"),
        (lambda corpus: (corpus / "WAVE/SPEAKER0003/000030001.WAV").write_bytes(b"RIFFnoise"), "SPEAKER0003-000030001"),
        (lambda corpus: without_line(corpus / "train/utt2spk", 0), "utt2spk: has no line for utterance 000010000"),
        (lambda corpus: without_line(corpus / "train/spk2gender", 0), "spk2gender: has no line for speaker 0001"),
        (lambda corpus: (corpus / "train/wav.scp").unlink(), "wav.scp"),
        (lambda corpus: (corpus / "train").rename(corpus / "Train"), "no folder 'train'"),
    ],
)
def test_a_corpus_that_is_not_as_published(tmp_path, damage, sentence):
    make_half(tmp_path / "corpus", "train", range(1, 5))
    make_half(tmp_path / "corpus", "test", range(5, 8))
    damage(tmp_path / "corpus")
    result = prepare(tmp_path / "corpus", tmp_path / "data", "--dev-speakers", "1")
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1, "one sentence, no traceback"


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        Quiet.asked += 1
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(tmp_path, small_corpus):
    """A server whose folder holds the small corpus as an archive."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with tarfile.open(folder / "speechocean762.tar.gz", "w:gz") as tar:
        tar.add(small_corpus, "speechocean762")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/speechocean762.tar.gz"
        server.shutdown()
        thread.join()


def download(*options: str) -> int:
    return speechocean762.Speechocean762.run(["speechocean762.py", "download", *options], exit=False)[1]


def test_download_gives_a_corpus_that_can_be_prepared(mirror, tmp_path):
    assert download("--url", mirror[1], str(tmp_path / "downloads")) == 0
    corpus = tmp_path / "downloads/speechocean762"
    assert speechocean762.is_complete(corpus)
    assert not list((tmp_path / "downloads").glob("*.tar.gz*"))
    assert prepare(corpus, tmp_path / "data", "--dev-speakers", "2").returncode == 0


def test_nothing_is_fetched_where_the_corpus_is_complete(mirror, tmp_path):
    download("--url", mirror[1], str(tmp_path / "downloads"))
    before = Quiet.asked
    assert download("--url", mirror[1], str(tmp_path / "downloads")) == 0
    assert Quiet.asked == before
    next((tmp_path / "downloads/speechocean762/WAVE").rglob("*.WAV")).unlink()
    assert download("--url", mirror[1], str(tmp_path / "downloads")) == 0
    assert speechocean762.is_complete(tmp_path / "downloads/speechocean762")


def test_an_archive_of_something_else_is_refused(mirror, tmp_path, capsys):
    folder, url = mirror
    with tarfile.open(folder / "speechocean762.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("other/file"), io.BytesIO())
    assert download("--url", url, str(tmp_path / "downloads")) == 1
    assert "lacks a table or a recording" in capsys.readouterr().err
    assert not (tmp_path / "downloads/speechocean762").exists()


def test_the_shared_half():
    utterances = speechocean762.read_half(corpora("speechocean762"), "train")
    assert len(utterances) == 2500
    assert not speechocean762.missing_files(utterances)
    speakers = sorted({one.speaker for one in utterances})
    assert len(speakers) == 125
    assert utterances[0].name == "SPEAKER0001-000010011"
    assert all(one.name.startswith(one.speaker) and one.gender in "mf" for one in utterances)
