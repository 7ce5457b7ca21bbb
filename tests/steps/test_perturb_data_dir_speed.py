"""steps/data/perturb_data_dir_speed.py: another speed, another pitch, another speaker."""

import numpy as np
import pytest

from spkid.audio import read_audio, write_wav
from spkid.kaldi import DataDir
from tests.shared import REPOSITORY
from tests.steps.running import refuse, succeed

RATE = 16000
PROGRAM = "data/perturb_data_dir_speed.py"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two utterances of two speakers: tones of 400 and 800 Hz, 0.5 s."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "utils").symlink_to(REPOSITORY / "utils")
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
    assert "2 of 2 utterances" in succeed(PROGRAM, "--nj", 2, factor, data, tmp_path / "out")
    copy = DataDir(tmp_path / "out")
    for utterance, frequency in ((f"sp{factor}-s1-a", 400), (f"sp{factor}-s2-a", 800)):
        samples, rate = read_audio(copy.wav_scp[utterance])
        assert rate == RATE
        assert len(samples) == pytest.approx(RATE / 2 / float(factor), abs=1)
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
        assert np.argmax(spectrum) * RATE / (1 << 16) == pytest.approx(frequency * float(factor), abs=1)
        assert float(copy.read("utt2dur")[utterance]) == pytest.approx(len(samples) / RATE, abs=1e-4)


def test_copies_are_new_speakers(data, tmp_path):
    succeed(PROGRAM, "0.9", data, tmp_path / "out")
    copy = DataDir(tmp_path / "out")
    assert copy.utt2spk == {"sp0.9-s1-a": "sp0.9-s1", "sp0.9-s2-a": "sp0.9-s2"}
    assert copy.spk2utt == {"sp0.9-s1": ["sp0.9-s1-a"], "sp0.9-s2": ["sp0.9-s2-a"]}
    assert copy.read("spk2gender") == {"sp0.9-s1": "f", "sp0.9-s2": "m"}


def test_the_number_of_jobs_changes_no_sample_and_what_is_done_is_not_done_again(data, tmp_path):
    for jobs in (1, 2):
        succeed(PROGRAM, "--nj", jobs, "1.1", data, tmp_path / f"out{jobs}")
    one, two = (DataDir(tmp_path / f"out{jobs}").wav_scp for jobs in (1, 2))
    assert one.keys() == two.keys()
    assert all(np.array_equal(read_audio(one[name])[0], read_audio(two[name])[0]) for name in one)
    assert "done already" in succeed(PROGRAM, "--nj", 1, "1.1", data, tmp_path / "out2")


def test_a_part_that_was_finished_is_kept(data, tmp_path):
    whole = (tmp_path / "2.wav").read_bytes()
    (tmp_path / "2.wav").write_bytes(b"RIFF")
    assert "s2-a" in refuse(PROGRAM, "--nj", 2, "0.9", data, tmp_path / "out")
    assert not (tmp_path / "out" / "wav.scp").exists()
    (tmp_path / "2.wav").write_bytes(whole)
    assert "1 of 2 parts are finished" in succeed(PROGRAM, "--nj", 2, "0.9", data, tmp_path / "out")


def test_jobs_are_cut_by_duration(data, tmp_path):
    (data / "wav.scp").write_text("".join(f"s{n}-a {tmp_path}/{min(n, 2)}.wav\n" for n in (1, 2, 3, 4)))
    (data / "utt2spk").write_text("".join(f"s{n}-a s{n}\n" for n in (1, 2, 3, 4)))
    (data / "spk2utt").write_text("".join(f"s{n} s{n}-a\n" for n in (1, 2, 3, 4)))
    (data / "spk2gender").unlink()
    (data / "utt2dur").write_text("s1-a 9\ns2-a 3\ns3-a 3\ns4-a 3\n")
    succeed(PROGRAM, "--nj", 2, "0.9", data, tmp_path / "out")
    places = DataDir(tmp_path / "out").wav_scp.values()
    assert [place.rpartition(".ark")[0].rpartition(".")[2] for place in places] == ["1", "2", "2", "2"]


def test_segments_become_utterances_of_their_own(data, tmp_path):
    (data / "segments").write_text("s1-x s1-a 0.1 0.3\ns2-x s2-a 0.0 0.5\n")
    (data / "utt2spk").write_text("s1-x s1\ns2-x s2\n")
    (data / "spk2utt").write_text("s1 s1-x\ns2 s2-x\n")
    succeed(PROGRAM, "0.9", data, tmp_path / "out")
    copy = DataDir(tmp_path / "out")
    assert not copy.has("segments")
    assert {name: len(read_audio(place)[0]) for name, place in copy.wav_scp.items()} == {
        "sp0.9-s1-x": pytest.approx(0.2 * RATE / 0.9, abs=1),
        "sp0.9-s2-x": pytest.approx(0.5 * RATE / 0.9, abs=1),
    }


@pytest.mark.parametrize("factor", ["1", "1.0", "0", "-1", "3", "nan", "fast"])
def test_factors_that_make_no_sense(data, tmp_path, factor):
    assert f"{factor} is no factor" in refuse(PROGRAM, "--", factor, data, tmp_path / "out")


def test_utterances_that_are_lost_are_left_out_where_that_is_allowed(data, tmp_path):
    (tmp_path / "2.wav").write_bytes(b"RIFF")
    succeed(PROGRAM, "--min-fraction", 0.5, "0.9", data, tmp_path / "out")
    assert DataDir(tmp_path / "out").utt2spk == {"sp0.9-s1-a": "sp0.9-s1"}


def test_the_copy_cannot_be_its_own_source(data):
    assert "is the source itself" in refuse(PROGRAM, "0.9", data, data)
