"""The synthetic corpus of egs/mini: the same audio every time, nothing half-written, sets apart."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from local import mini
from local.common.synthetic_speech import in_fresh_processes, load_espeak, record
from local.mini import TEST_GRAMMAR, TEST_VOICES, TRAIN_GRAMMAR, TRAIN_VOICES, corpus, synthesize_missing
from spkid.audio import read_audio
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.tables import MATRIX, TableWriter
from tests.shared import REPOSITORY

PROGRAM = Path(mini.__file__)
UTTERANCES = corpus(TRAIN_VOICES, TRAIN_GRAMMAR, 0) + corpus(TEST_VOICES, TEST_GRAMMAR, 0)
# One of each kind of voice: the noise of breath and of rough voices is what differs from run to run in espeak-ng.
SOME = [
    next(one for one in UTTERANCES if one.voice.variant == variant)
    for variant in ("f1", "f5", "Annie", "m1", "klatt2", "edward", "sandro", "Alicia", "robert")
]


@pytest.fixture(scope="module")
def loader():
    return load_espeak()


@pytest.fixture
def small_corpus(monkeypatch):
    """Two voices for training, two for test."""
    monkeypatch.setattr(mini, "TRAIN_VOICES", (TRAIN_VOICES[0], TRAIN_VOICES[12]))
    monkeypatch.setattr(mini, "TEST_VOICES", (TEST_VOICES[0], TEST_VOICES[6]))


def prepare(*options: str) -> int:
    """Runs `mini.py prepare` in this process and in the current directory."""
    return mini.Mini.run(["mini.py", "prepare", *options, "data/train", "data/test"], exit=False)[1]


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("*.wav")}


def test_voices_and_sentences_of_training_and_test_are_different():
    assert (len(TRAIN_VOICES), len(TEST_VOICES)) == (28, 12)
    voices = TRAIN_VOICES + TEST_VOICES
    assert len({(one.accent, one.variant) for one in voices}) == 40
    assert len({one.speaker for one in voices}) == 40
    assert not {phrase for row in TRAIN_GRAMMAR for phrase in row} & {phrase for row in TEST_GRAMMAR for phrase in row}
    assert len({one.text for one in UTTERANCES}) == len(UTTERANCES) == 600
    assert all(one.name.startswith(one.voice.speaker) for one in UTTERANCES)


def test_audio_depends_neither_on_order_nor_on_the_number_of_processes(loader, tmp_path):
    assert synthesize_missing(SOME, tmp_path / "one", 0, loader, nj=1) == len(SOME)
    synthesize_missing(SOME[::-1], tmp_path / "three", 0, loader, nj=3)
    first = digests(tmp_path / "one")
    assert first == digests(tmp_path / "three")
    assert len(set(first.values())) == len(SOME)
    synthesize_missing(SOME[:2], tmp_path / "other", 1, loader, nj=2)
    assert not set(digests(tmp_path / "other").values()) & set(first.values())


def test_audio_is_sixteen_kilohertz_speech_of_some_seconds_that_does_not_clip(loader, tmp_path):
    synthesize_missing(SOME, tmp_path, 0, loader, nj=2)
    levels = []
    for path in tmp_path.glob("*.wav"):
        wave, rate = read_audio(str(path))
        assert rate == 16000
        assert 2.5 < len(wave) / rate < 8
        assert np.abs(wave).max() < 0.995
        levels.append(20 * np.log10(np.sqrt(np.mean(wave**2))))
    assert min(levels) > -40
    assert max(levels) < -15
    assert max(levels) - min(levels) > 2  # the microphones' levels differ


def test_only_what_is_missing_is_made_again(loader, tmp_path):
    synthesize_missing(SOME[:4], tmp_path, 0, loader, nj=2)
    before = digests(tmp_path)
    kept = tmp_path / f"{SOME[0].name}.wav"
    stamp = kept.stat().st_mtime_ns
    (tmp_path / f"{SOME[1].name}.wav").unlink()
    assert synthesize_missing(SOME[:4], tmp_path, 0, loader, nj=2) == 1
    assert digests(tmp_path) == before
    assert kept.stat().st_mtime_ns == stamp
    assert synthesize_missing(SOME[:4], tmp_path, 7, loader, nj=2) == 4  # another seed keeps nothing
    assert not set(digests(tmp_path).values()) & set(before.values())


def test_killed_in_the_middle_it_goes_on_and_ends_in_the_same_files(loader, tmp_path):
    command = [sys.executable, PROGRAM, "prepare", "--nj", "2", "data/train", "data/test"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wavs = tmp_path / "corpus" / "wav"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and len(list(wavs.glob("*.wav"))) < 10:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    made = sorted(path.stem for path in wavs.glob("*.wav"))
    assert 10 <= len(made) < 600
    assert not (tmp_path / "data").exists()
    time.sleep(1)  # the sentences that were being read end by themselves
    by_name = {one.name: one for one in UTTERANCES}
    synthesize_missing([by_name[name] for name in made], tmp_path / "again", 0, loader, nj=2)
    assert digests(wavs).items() >= digests(tmp_path / "again").items()


def test_prepare_writes_valid_directories_and_all_pairs_and_returns_at_once_the_second_time(
    small_corpus, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    assert prepare() == 0
    assert "synthetic" in capfd.readouterr().out
    train, test = DataDir("data/train"), DataDir("data/test")
    for data in (train, test):
        assert data.check(needs=("wav.scp", "text", "spk2utt", "spk2gender", "utt2dur")) == []
        assert len(data.utterances) == 30
        for name, path in data.wav_scp.items():
            wave, rate = read_audio(path)
            assert float(data.read("utt2dur")[name]) == pytest.approx(len(wave) / rate, abs=1e-3)
    assert not set(train.speakers) & set(test.speakers)
    trials = [line.split() for line in Path("data/test/trials").read_text().splitlines()]
    assert len(trials) == len({frozenset(trial[:2]) for trial in trials}) == 30 * 29 // 2
    assert sum(kind == "target" for *_, kind in trials) == 2 * 15 * 14 // 2
    assert all((test.utt2spk[one] == test.utt2spk[other]) == (kind == "target") for one, other, kind in trials)

    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert prepare() == 0
    assert "done already" in capfd.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps

    Path("data/test/utt2spk").unlink()
    assert prepare() == 0
    assert "60 utterances, 0 of them made now" in capfd.readouterr().out
    assert DataDir("data/test").check(needs=("wav.scp",)) == []
    assert json.loads(Path("corpus/.done.json").read_text())["facts"] == {"utterances": 60, "made": 0}


def test_of_another_number_of_utterances_the_features_are_gone_and_of_the_same_they_stay(
    small_corpus, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert prepare("--utterances", "2") == 0
    features = Path("data/train/feats.scp")
    with TableWriter(f"ark,scp:feats.ark,{features}", MATRIX) as writer:
        for name in DataDir("data/train").utterances:
            writer.write(name, np.zeros((2, 3), np.float32))
    assert prepare("--utterances", "2", "--force") == 0
    assert features.exists()
    assert prepare("--utterances", "3") == 0
    assert not features.exists()
    assert len(DataDir("data/train").utterances) == 6


def test_without_espeak_it_says_in_one_line_what_to_install(tmp_path):
    (tmp_path / "espeakng_loader.py").write_text("raise ImportError('No module named espeakng_loader')\n")
    run = subprocess.run(
        [sys.executable, PROGRAM, "prepare", "data/train", "data/test"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "pip install espeakng-loader" in run.stderr
    assert not (tmp_path / "data").exists()


def test_a_command_it_does_not_have_is_named(capfd):
    assert mini.Mini.run(["mini.py", "prepair", "a", "b"], exit=False)[1] == 1
    assert "there is no command prepair" in capfd.readouterr().err


def test_recording_depends_on_the_generator_alone_and_stays_in_range():
    speech = np.sin(np.arange(16000) * 0.2).astype(np.float32)
    one, same, other = (record(speech, 16000, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other)
    loud = record(1e-3 * (np.arange(16000) % 4000 == 0), 16000, np.random.default_rng(0))  # clicks: peaks over the mean
    assert np.abs(loud).max() <= 0.99


class TestFreshProcesses:
    def test_every_item_has_a_process_of_its_own(self, tmp_path):
        def work(name: str) -> None:
            (tmp_path / name).write_text(str(os.getpid()))

        assert sorted(in_fresh_processes(work, ["a", "b", "c", "d"], nj=3)) == ["a", "b", "c", "d"]
        processes = {(tmp_path / name).read_text() for name in "abcd"}
        assert len(processes) == 4
        assert str(os.getpid()) not in processes

    def test_a_failure_is_told_with_the_item_and_the_reason(self):
        def work(name: str) -> None:
            if name == "b":
                raise ValueError("the tape is torn")

        with pytest.raises(InputError, match="b: the tape is torn"):
            list(in_fresh_processes(work, ["a", "b", "c"], nj=2))

    def test_a_crash_is_told_too(self):
        with pytest.raises(InputError, match="a: the process that made it ended with status"):
            list(in_fresh_processes(lambda _: os.kill(os.getpid(), signal.SIGKILL), ["a"], nj=1))
