"""VoxCeleb: trees as published and as users have them, lists of trials, counts said, odd files left out and named."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from local import voxceleb
from local.common import layouts
from local.common.layouts import voxceleb1, voxceleb2
from local.common.voxceleb_lists import read_verification_list, utterance_id
from local.common.walking import File, LeftOut
from spkid.audio import read_audio, write_wav
from spkid.kaldi import DataDir
from tests.local.voices import serving, voices


def prepare(*words: object) -> int:
    return voxceleb.VoxCeleb.run(["voxceleb.py", "prepare", *map(str, words)], exit=False)[1]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("voxceleb")
    voxceleb1(root / "voxceleb1", voices(6, 4), num_test=2)
    voxceleb2(root / "voxceleb2", voices(5, 2), num_test=1)
    return root


@pytest.fixture
def own(corpora, tmp_path):
    """A copy of VoxCeleb1 that a test may spoil."""
    return Path(shutil.copytree(corpora / "voxceleb1", tmp_path / "voxceleb1"))


def test_published_trees(corpora, tmp_path, capsys):
    assert prepare("--voxceleb1", corpora / "voxceleb1", "--voxceleb2", corpora / "voxceleb2", tmp_path) == 0
    counts = {name: len(DataDir(tmp_path / name).utterances) for name in voxceleb.SPEAKERS}
    assert counts == {
        "voxceleb1": 24,
        "voxceleb1_train": 16,
        "voxceleb1_test": 8,
        "voxceleb2_train": 8,
        "voxceleb2_test": 2,
    }
    test = DataDir(tmp_path / "voxceleb1_test")
    assert test.speakers == ["id10270", "id10271"]
    assert test.read("spk2gender") == {"id10270": "f", "id10271": "m"}
    for utterance, path in test.wav_scp.items():
        assert utterance == "-".join(Path(path).with_suffix("").parts[-3:])
        assert read_audio(path)[1] == 16000
    trials = [line.split() for line in Path(test.path("trials_o")).read_text().splitlines()]
    assert len(trials) == 8 * 7 // 2
    assert all((one[:7] == other[:7]) == (kind == "target") for one, other, kind in trials)
    assert {utterance for trial in trials for utterance in trial[:2]} == set(test.utterances)
    assert len(Path(test.path("trials_o_cleaned")).read_text().splitlines()) == len(trials) - 1
    hard = Path(tmp_path / "voxceleb1/trials_h").read_text().splitlines()
    assert 0 < len(hard) < len(Path(tmp_path / "voxceleb1/trials_e").read_text().splitlines())
    said = capsys.readouterr().out
    assert "voxceleb1_test: 2 speakers (published: 40), 8 utterances (published: 4874)" in said
    assert "28 trials (published: 37720) over 8 files (published: 4715)" in said


def test_a_list_of_the_published_size_is_not_remarked_upon(own, tmp_path, capsys):
    """VoxCeleb1-O: 37,720 trials over 4,715 files, of which this corpus lacks most, which is said."""
    files = [f"id{10270 + n % 40}/video{n // 40:06d}/00001.wav" for n in range(4715)]
    lines = [f"{n % 2} {files[n % 4715]} {files[(n * 7 + 1) % 4715]}" for n in range(37720)]
    layouts.write_lines(own / "veri_test.txt", lines)
    layouts.write_lines(own / "veri_test2.txt", lines[:-1])
    assert prepare("--voxceleb1", own, tmp_path / "data") == 0
    said = capsys.readouterr().out
    assert "trials_o: 37720 trials over 4715 files; warning: 4715 of the files are not in the corpus" in said
    assert "trials_o_cleaned: 37719 trials (published: 37611) over 4715 files (published: 4708)" in said
    assert len((tmp_path / "data/voxceleb1_test/trials_o").read_text().splitlines()) == 37720


def test_again_returns_at_once_until_a_file_goes(own, tmp_path, capsys):
    prepare("--voxceleb1", own, tmp_path / "data")
    capsys.readouterr()
    assert prepare("--voxceleb1", own, tmp_path / "data") == 0
    assert "done already" in capsys.readouterr().out
    next(own.glob("dev/wav/*/*/*.wav")).unlink()
    assert prepare("--voxceleb1", own, tmp_path / "data") == 0
    assert "runs again: option files was '24 files" in capsys.readouterr().out
    (tmp_path / "data/voxceleb1_test/wav.scp").unlink()
    assert prepare("--voxceleb1", own, tmp_path / "data") == 0
    assert DataDir(tmp_path / "data/voxceleb1_test").has("wav.scp")


def test_features_stay_while_the_utterances_do(own, tmp_path):
    prepare("--voxceleb1", own, tmp_path / "data")
    feats = tmp_path / "data/voxceleb1_train/feats.scp"
    feats.write_text("".join(f"{u} x.ark:1\n" for u in DataDir(feats.parent).utterances))
    prepare("--voxceleb1", own, "--force", tmp_path / "data")
    assert feats.exists()
    next(own.glob("dev/wav/*/*/*.wav")).unlink()
    prepare("--voxceleb1", own, tmp_path / "data")
    assert not feats.exists(), "it has an utterance that is gone"


def test_odd_files_are_left_out_and_named(own, tmp_path, capsys):
    """Dev and test poured into one folder `wav`, as most users have it; among the recordings what does not belong."""
    poured = tmp_path / "vöx céleb/wav"
    for part in ("dev", "test"):
        shutil.copytree(own / part / "wav", poured, dirs_exist_ok=True)
    for name in ("vox1_meta.csv", "veri_test.txt"):
        shutil.copy(own / name, poured.parent)
    speaker = poured / "id10002"
    shutil.rmtree(speaker)
    first, second, *_ = sorted(poured.glob("*/*/*.wav"))
    first.write_bytes(b"")
    shutil.copy(second, second.with_suffix(".m4a"))
    (poured / "id10003/readme.txt").write_text("?")
    (poured / "id10003/.DS_Store").write_text("?")
    (poured / "id10003/stray.wav").write_bytes(second.read_bytes())
    (poured / "id00012/video").mkdir(parents=True)
    (poured / "id00012/video/00001.wav").write_bytes(second.read_bytes())
    (poured / "id10003/a|b").mkdir()
    (poured / "id10003/a|b/00001.wav").write_bytes(second.read_bytes())
    (poured / "id10003/line\nend").mkdir()
    (poured / "id10003/line\nend/00001.wav").write_bytes(second.read_bytes())
    assert prepare("--voxceleb1", poured.parent, tmp_path / "data") == 0
    train = DataDir(tmp_path / "data/voxceleb1_train")
    assert len(train.utterances) == 3 * 4 - 1
    assert all(value.startswith(str(poured)) for value in train.wav_scp.values())
    assert read_audio(train.wav_scp[train.utterances[0]])[1] == 16000
    said = capsys.readouterr().out
    for sentence in (
        "left out 1, an empty file",
        "left out 1, a second file of an utterance",
        "left out 1, not a file of the corpus: wav/id10003/readme.txt",
        "left out 1, not <speaker>/<video>/<number>: wav/id10003/stray.wav",
        "left out 1, of a speaker of VoxCeleb2, in the folder of VoxCeleb1",
        "left out 1, its name holds |",
        "left out 1, its name holds a line end",
        "warning: 1 speakers of vox1_meta.csv have no recording: id10002",
    ):
        assert sentence in said
    listed = (tmp_path / "data/.voxceleb/left_out").read_text().splitlines()
    assert len(listed) == 7


def fake_ffmpeg(folder: Path) -> None:
    """An `ffmpeg` that knows our `m4a`, which hold WAV; a file of four bytes it cannot decode."""
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != -i ]; do shift; done\nin=$2\nfor out; do :; done\n'
        'if [ "$(wc -c < "$in")" -eq 4 ]; then echo "$in: Invalid data" >&2; exit 1; fi\n'
        'if [ "$out" = - ]; then cat "$in"; else cat "$in" > "$out"; fi\n'
    )
    program.chmod(0o755)


@pytest.fixture
def compressed(tmp_path, monkeypatch):
    """VoxCeleb2 as published, as m4a, in a folder with blanks and a quote in its name, and an ffmpeg."""
    fake_ffmpeg(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    root = tmp_path / "Vox Céleb's 2"
    voxceleb2(root, voices(3, 2), num_test=1)
    for path in list(root.rglob("*.wav")):
        path.rename(path.with_suffix(".m4a"))
    return root


def test_m4a_through_a_pipe(compressed, tmp_path):
    assert prepare("--voxceleb2", compressed, tmp_path / "data") == 0
    test = DataDir(tmp_path / "data/voxceleb2_test")
    assert test.speakers == ["id00026"]
    for entry in test.wav_scp.values():
        assert entry.startswith("ffmpeg -nostdin -v error -i ")
        assert len(read_audio(entry)[0]) >= 800


def test_m4a_converted_once(compressed, tmp_path, capsys):
    broken = next(compressed.glob("dev/aac/*/*/*.m4a"))
    broken.write_bytes(b"oops")
    options = ["--voxceleb2", compressed, "--convert", tmp_path / "wav", tmp_path / "data"]
    assert prepare(*options) == 0
    assert "ffmpeg cannot decode it" in capsys.readouterr().out
    train = DataDir(tmp_path / "data/voxceleb2_train")
    assert len(train.utterances) == 3
    for name, path in train.wav_scp.items():
        assert Path(path).is_relative_to(tmp_path / "wav")
        assert name == "-".join(Path(path).with_suffix("").parts[-3:])
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "wav").rglob("*.wav")}
    assert prepare("--force", *options) == 0
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "wav").rglob("*.wav")}, "nothing made twice"


def test_voxceleb2_as_the_trainer_keeps_it(tmp_path, capsys):
    """One folder, the converted WAV beside the m4a, no word of dev and test but perhaps vox2_meta.csv."""
    voxceleb2(tmp_path / "corpus", voices(3, 2), num_test=1)
    for part in ("dev", "test"):
        shutil.copytree(tmp_path / "corpus" / part / "aac", tmp_path / "voxceleb2", dirs_exist_ok=True)
    for path in list((tmp_path / "voxceleb2").rglob("*.wav")):
        shutil.copy(path, path.with_suffix(".m4a"))
    assert prepare("--voxceleb2", tmp_path / "voxceleb2", tmp_path / "one") == 0
    said = capsys.readouterr().out
    assert "is taken for dev" in said
    assert "left out 6, a second file of an utterance" in said
    assert len(DataDir(tmp_path / "one/voxceleb2_train").utterances) == 6
    shutil.copy(tmp_path / "corpus/vox2_meta.csv", tmp_path / "voxceleb2")
    assert prepare("--voxceleb2", tmp_path / "voxceleb2", tmp_path / "two") == 0
    assert DataDir(tmp_path / "two/voxceleb2_test").speakers == ["id00026"]
    assert DataDir(tmp_path / "two/voxceleb2_train").read("spk2gender") == {"id00012": "f", "id00019": "m"}


def test_no_ffmpeg_to_convert_with(compressed, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert prepare("--voxceleb2", compressed, "--convert", tmp_path / "wav", tmp_path / "data") == 1
    assert "install it" in capsys.readouterr().err
    assert prepare("--voxceleb2", compressed, tmp_path / "data") == 0
    assert "warning: there is no ffmpeg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give --voxceleb1, --voxceleb2 or both"),
        (["--voxceleb1", "/nowhere"], "/nowhere: no such folder"),
    ],
)
def test_nothing_to_prepare(words, sentence, tmp_path, capsys):
    assert prepare(*words, tmp_path / "data") == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_folder_of_something_else(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    write_wav(str(tmp_path / "other/a.wav"), np.ones(100, np.float32), 16000)
    assert prepare("--voxceleb1", tmp_path / "other", tmp_path / "data") == 1
    assert "no recording of a VoxCeleb1 speaker" in capsys.readouterr().err


def test_ids():
    assert utterance_id("id10270/x6uYqmx31kE/00001.wav") == "id10270-x6uYqmx31kE-00001"
    assert utterance_id("./id10270/x6uYqmx31kE/00001.wav") == "id10270-x6uYqmx31kE-00001"
    assert utterance_id("/corpora/vox/id10270/x6uYqmx31kE/00001.wav") == "id10270-x6uYqmx31kE-00001"
    assert utterance_id("a b/c.d/é 1.flac") == "a_b-c.d-é_1"


def test_a_long_list_takes_seconds(tmp_path):
    """A tenth of E's trials over as many files as E has: read, mapped and checked within seconds."""
    random = np.random.default_rng(0)
    files = [f"id1{n // 120:04d}/video{n % 120 // 2:06d}/{n % 2:05d}.wav" for n in range(145_000)]
    pairs = random.integers(len(files), size=(50_000, 2))
    path = tmp_path / "list_test_all.txt"
    path.write_text("".join(f"{int(files[a][:7] == files[b][:7])} {files[a]} {files[b]}\n" for a, b in pairs))
    start = time.process_time()
    trials, utterances = read_verification_list(path)
    assert time.process_time() - start < 2
    assert len(trials) == 50_000
    assert len(utterances) <= 145_000


def test_a_tree_of_forty_thousand_files_takes_seconds(tmp_path):
    names = (f"dev/aac/id{s:05d}/video{v:06d}/{n:05d}.m4a" for s in range(200) for v in range(20) for n in range(10))
    found = [File(name, 1) for name in names]
    start = time.process_time()
    corpus = voxceleb.read_tree(tmp_path, 2, found, LeftOut())
    assert time.process_time() - start < 3
    assert len(corpus.files) == 40_000


def test_lists_are_fetched_and_kept(corpora, tmp_path, capsys):
    mirror = tmp_path / "mirror"
    shutil.copytree(corpora / "voxceleb1", mirror)
    shutil.copy(corpora / "voxceleb2/vox2_meta.csv", mirror)
    command = ["voxceleb.py", "download", str(tmp_path / "lists")]
    with serving(mirror) as server:
        assert voxceleb.VoxCeleb.run([*command, "--url", server.url], exit=False)[1] == 0
        assert "the audio is given on request" in capsys.readouterr().out
        assert len(server.asked) == 8
        assert voxceleb.VoxCeleb.run([*command, "--url", server.url], exit=False)[1] == 0
        assert len(server.asked) == 8
    assert (tmp_path / "lists/veri_test.txt").read_bytes() == (mirror / "veri_test.txt").read_bytes()
    assert prepare("--voxceleb1", corpora / "voxceleb1", "--lists", tmp_path / "lists", tmp_path / "data") == 0
    assert (tmp_path / "data/voxceleb1/trials_h_cleaned").exists()
