"""utils/perturb_data_dir_speed.py: another speed, another pitch, another speaker."""

import numpy as np
import pytest

from spkid.audio import read_audio, write_wav
from spkid.kaldi import DataDir
from utils.perturb_data_dir_speed import PerturbDataDirSpeed

RATE = 16000


def run(*arguments):
    return PerturbDataDirSpeed.run(["perturb_data_dir_speed.py", *map(str, arguments)], exit=False)[1]


@pytest.fixture
def data(tmp_path):
    """Two utterances of two speakers: tones of 400 and 800 Hz, 0.5 s."""
    directory = tmp_path / "data"
    directory.mkdir()
    for number, frequency in ((1, 400), (2, 800)):
        tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(RATE // 2) / RATE)
        write_wav(str(tmp_path / f"{number}.wav"), tone.astype(np.float32), RATE)
    (directory / "wav.scp").write_text(f"s1-a {tmp_path}/1.wav\ns2-a {tmp_path}/2.wav\n")
    (directory / "utt2spk").write_text("s1-a s1\ns2-a s2\n")
    (directory / "spk2utt").write_text("s1 s1-a\ns2 s2-a\n")
    (directory / "spk2gender").write_text("s1 f\ns2 m\n")
    return directory


@pytest.mark.parametrize("factor", ["0.9", "1.1"])
def test_time_shrinks_and_pitch_rises_by_the_factor(data, tmp_path, factor):
    assert run(factor, data, tmp_path / "out") == 0
    copy = DataDir(tmp_path / "out")
    for utterance, frequency in ((f"sp{factor}-s1-a", 400), (f"sp{factor}-s2-a", 800)):
        samples, rate = read_audio(copy.wav_scp[utterance])
        assert rate == RATE
        assert len(samples) == pytest.approx(RATE / 2 / float(factor), abs=1)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
        assert np.argmax(spectrum) * RATE / (1 << 16) == pytest.approx(frequency * float(factor), abs=1)
        assert float(copy.read("utt2dur")[utterance]) == pytest.approx(len(samples) / RATE, abs=1e-4)


def test_copies_are_new_speakers(data, tmp_path):
    run("0.9", data, tmp_path / "out")
    copy = DataDir(tmp_path / "out")
    assert copy.utt2spk == {"sp0.9-s1-a": "sp0.9-s1", "sp0.9-s2-a": "sp0.9-s2"}
    assert copy.spk2utt == {"sp0.9-s1": ["sp0.9-s1-a"], "sp0.9-s2": ["sp0.9-s2-a"]}
    assert copy.read("spk2gender") == {"sp0.9-s1": "f", "sp0.9-s2": "m"}


@pytest.mark.parametrize("factor", ["1", "1.0", "0", "-1", "3", "nan", "fast"])
def test_factors_that_make_no_sense(data, tmp_path, capsys, factor):
    assert run("--", factor, data, tmp_path / "out") == 1
    assert f"{factor} is no factor" in capsys.readouterr().err


def test_a_broken_recording_is_named_and_nothing_is_left(data, tmp_path, capsys):
    (tmp_path / "2.wav").write_bytes(b"RIFF")
    assert run("0.9", data, tmp_path / "out") == 1
    assert "s2-a" in capsys.readouterr().err
    assert not (tmp_path / "out" / "wav.scp").exists()


def test_the_copy_cannot_be_its_own_source(data, capsys):
    assert run("0.9", data, data) == 1
    assert "its own source" in capsys.readouterr().err
