"""Speech with labels: the laboratory's .mat lists, and .voz, .lab, Audacity and RTTM labels beside recordings."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from local import vad_lab
from local.common import layouts
from spkid.audio import read_audio
from spkid.kaldi import DataDir
from spkid.kaldi.tables import MATRIX, VECTOR, read_table
from tests.local.voices import voices

RATE = 8000
SPEECH = [(0.2, 0.5), (0.7, 1.0)]


def run(*words: object) -> int:
    return vad_lab.VadLab.run(["vad_lab.py", *map(str, words)], exit=False)[1]


def vectors(data: Path) -> dict[str, np.ndarray]:
    return dict(read_table(f"scp:{data / 'vad.scp'}", VECTOR))


class TestMat:
    def make(self, root):
        random = np.random.default_rng(0)
        recordings = [(random.standard_normal((40 + n, 60)), (np.arange(40 + n) // 10) % 2) for n in range(3)]
        layouts.vad_matlab(root, "train", recordings)
        return recordings

    def test_features_and_labels(self, tmp_path, capsys):
        recordings = self.make(tmp_path)
        assert run("mat", "--list", tmp_path / "train.lst", tmp_path / "data") == 0
        data = DataDir(tmp_path / "data")
        data.check(needs=("feats.scp", "vad.scp", "utt2num_frames"))
        assert data.utterances == ["train_000", "train_001", "train_002"]
        for (features, labels), (_, ours), voiced in zip(
            recordings,
            read_table(f"scp:{data.path('feats.scp')}", MATRIX),
            vectors(tmp_path / "data").values(),
            strict=True,
        ):
            np.testing.assert_allclose(ours, features[:, :20], rtol=1e-6)
            np.testing.assert_array_equal(voiced, labels)
        assert "3 recordings, 123 frames, 48.8% of them speech" in capsys.readouterr().out
        assert run("mat", "--list", tmp_path / "train.lst", tmp_path / "data") == 0
        assert "done already" in capsys.readouterr().out
        run("mat", "--list", tmp_path / "train.lst", "--columns", 60, tmp_path / "data")
        assert next(iter(read_table(f"scp:{data.path('feats.scp')}", MATRIX)))[1].shape == (40, 60)

    def test_damaged_and_missing_files(self, tmp_path, capsys):
        self.make(tmp_path)
        (tmp_path / "mat/train_001.mat").write_bytes(b"MATLAB 5.0, not really")
        assert run("mat", "--list", tmp_path / "train.lst", tmp_path / "data") == 0
        assert len(DataDir(tmp_path / "data").utterances) == 2
        assert "left out 1, damaged" in capsys.readouterr().out
        (tmp_path / "mat/train_002.mat").unlink()
        assert run("mat", "--list", tmp_path / "train.lst", tmp_path / "data") == 1
        assert "names mat/train_002.mat, but there is no file" in capsys.readouterr().err


@pytest.fixture
def corpus(tmp_path):
    """Four recordings of a good second, in a folder with blanks and accents; no labels yet."""
    (voice,) = voices(1, 4, rate=RATE, seconds=1.2)
    for number in range(4):
        layouts.save(tmp_path / "llamadas té/día uno" / f"call {number}.wav", voice.read(number), RATE)
    return tmp_path / "llamadas té"


@pytest.mark.parametrize("kind", ["voz", "lab", "txt", "rttm"])
def test_labels_beside_recordings(kind, corpus, tmp_path, capsys):
    for path in corpus.rglob("*.wav"):
        name = path.with_name(path.stem.replace(" ", "_") + path.suffix) if kind == "rttm" else path
        name = path.rename(name)
        layouts.labels(name.with_suffix(f".{kind}"), SPEECH, 1.2, RATE)
    assert run("labels", "--corpus", corpus, tmp_path / "data") == 0
    data = DataDir(tmp_path / "data")
    data.check(needs=("wav.scp", "vad.scp", "utt2dur"))
    assert data.utterances == [f"día_uno-call_{number}" for number in range(4)]
    decisions = vectors(tmp_path / "data")["día_uno-call_0"]
    assert len(decisions) == 1 + (round(1.2 * RATE) - 200) // 80
    centres = 0.01 * np.arange(len(decisions)) + 0.0125
    expected = sum((centres >= start) & (centres < end) for start, end in SPEECH)
    np.testing.assert_array_equal(decisions, expected)
    assert "speech" in capsys.readouterr().out


def test_labels_elsewhere_and_one_file_for_all(corpus, tmp_path):
    for path in list(corpus.rglob("*.wav")):
        path.rename(path.with_name(path.name.replace(" ", "_")))
    lines = []
    for path in sorted(corpus.rglob("*.wav")):
        target = tmp_path / "hand" / path.relative_to(corpus).with_suffix(".rttm")
        layouts.labels(target, SPEECH, 1.2, RATE)
        lines += target.read_text().splitlines()
    layouts.write_lines(tmp_path / "all.rttm", lines)
    assert run("labels", "--corpus", corpus, "--labels", tmp_path / "hand", tmp_path / "one") == 0
    assert run("labels", "--corpus", corpus, "--labels", tmp_path / "all.rttm", tmp_path / "two") == 0
    one, two = vectors(tmp_path / "one"), vectors(tmp_path / "two")
    assert len(one) == 4
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_frames_around_their_middles(corpus, tmp_path):
    path = next(corpus.rglob("call 0.wav"))
    layouts.labels(path.with_suffix(".lab"), SPEECH, 1.2, RATE)
    words = ["--snip-edges", "false", tmp_path / "data"]
    assert run("labels", "--corpus", corpus, *words) == 0
    (decisions,) = vectors(tmp_path / "data").values()
    assert len(decisions) == 120
    np.testing.assert_array_equal(np.flatnonzero(decisions), [*range(20, 50), *range(70, 100)])


def test_what_cannot_be_used_is_named(corpus, tmp_path, capsys):
    first, second, third, fourth = sorted(corpus.rglob("*.wav"))
    layouts.labels(first.with_suffix(".lab"), SPEECH, 1.2, RATE)
    second.with_suffix(".lab").write_text("one two three\n")
    third.write_bytes(b"")
    layouts.labels(fourth.with_suffix(".voz"), SPEECH, 1.2, RATE)
    fourth.with_suffix(".voz").write_text("0102")
    shutil.copy(first, first.with_name("unlabelled.wav"))
    assert run("labels", "--corpus", corpus, tmp_path / "data") == 0
    assert len(DataDir(tmp_path / "data").utterances) == 1
    said = capsys.readouterr().out
    assert "left out 1, without labels" in said
    assert "left out 1, an empty file" in said
    assert "left out 2, cannot be used" in said


def test_labels_of_which_none_fits(corpus, tmp_path, capsys):
    assert run("labels", "--corpus", corpus, tmp_path / "data") == 1
    assert "no recording with labels: without labels (4)" in capsys.readouterr().err
    assert run("labels", "--corpus", corpus, "--labels", tmp_path / "no.rttm", tmp_path / "data") == 1
    assert "no.rttm: no such file" in capsys.readouterr().err


class TestNoise:
    def test_recordings_are_resampled_and_cut(self, tmp_path, capsys):
        layouts.save(tmp_path / "noises/street 1.wav", np.tile([0.1, -0.1], 16000 * 5 // 4).astype(np.float32), 16000)
        (tmp_path / "noises/broken.wav").write_bytes(b"RIFF, not really")
        words = ["noise", "--corpus", tmp_path / "noises", "--rate", 8000, "--piece", 1, tmp_path / "data"]
        assert run(*words) == 0
        assert "left out 1, cannot be used" in capsys.readouterr().out
        data = DataDir(tmp_path / "data")
        data.check(needs=("wav.scp", "utt2dur"))
        assert data.read("utt2dur") == {"street_1-000": "1.0000", "street_1-001": "1.0000"}  # 0.5 s are too short
        assert run(*words) == 0
        assert "done already" in capsys.readouterr().out

    def test_halves_have_no_second_in_common(self, tmp_path, capsys):
        """Of a single file the halves are its own; of several they are files, the middle one in the first."""
        one, three = tmp_path / "one", tmp_path / "three"
        layouts.save(one / "a.wav", np.repeat([0.1, 0.5], 8000 * 3).astype(np.float32), 8000)
        for number in range(3):
            layouts.save(three / f"{number}.wav", np.full(8000, 0.1 * (number + 1), np.float32), 8000)
        for folder, half, expected in ((one, "first", 0.1), (one, "second", 0.5)):
            assert run("noise", "--corpus", folder, "--half", half, tmp_path / half) == 0
            assert "1 pieces of noise, 3 s" in capsys.readouterr().out
            samples, _ = read_audio(DataDir(tmp_path / half).wav_scp["a-000"])
            np.testing.assert_allclose(samples, expected, atol=1e-4)
        for half, names in (("first", ["0-000", "1-000"]), ("second", ["2-000"]), ("all", ["0-000", "1-000", "2-000"])):
            assert run("noise", "--corpus", three, "--half", half, tmp_path / f"files_{half}") == 0
            assert DataDir(tmp_path / f"files_{half}").utterances == names

    def test_voices_speak_at_once_and_none_of_the_other_half(self, tmp_path, capsys):
        seconds = np.arange(8000 * 2) / 8000
        for number in range(14):
            tone = 0.3 * np.sin(2 * np.pi * (100 + 100 * number) * seconds)
            layouts.save(tmp_path / f"babble_tones/{number:02}.wav", tone.astype(np.float32), 8000)
        words = ["noise", "--corpus", tmp_path / "babble_tones", "--piece", 2]
        for half, low, high in (("first", 100, 700), ("second", 800, 1400)):
            assert run(*words, "--half", half, tmp_path / half) == 0
            assert "7 pieces of noise, 14 s" in capsys.readouterr().out
            for path in DataDir(tmp_path / half).wav_scp.values():
                samples, _ = read_audio(path)
                spectrum = np.abs(np.fft.rfft(samples))
                heard = np.flatnonzero(spectrum > 0.1 * spectrum.max()) / 2
                assert low - 10 < heard.min() < heard.max() < high + 10
                assert 3 <= len({round(one / 100) for one in heard}) <= 7
        (tmp_path / "babble_tones/13.wav").unlink()
        assert run(*words, "--half", "second", tmp_path / "few") == 1
        assert "6 voices in the second half are too few for babble" in capsys.readouterr().err

    def test_synthetic_noises_follow_from_the_half(self, tmp_path, capsys):
        for half, name in (("first", "one"), ("first", "again"), ("second", "other")):
            assert run("noise", "--piece", 1, "--half", half, tmp_path / name) == 0
        contents = [
            [path.read_bytes() for path in sorted((tmp_path / name / "wav").iterdir())]
            for name in ("one", "again", "other")
        ]
        assert contents[0] == contents[1]
        assert not set(contents[0]) & set(contents[2])
        assert "6 pieces of noise, 6 s" in capsys.readouterr().out
