"""The data check: what is wrong is named, counted and listed; what can be used is listed too; nothing is changed."""

import numpy as np
import pytest
import soundfile

from spkid.kaldi import DataDir
from spkid.kaldi.data_dir import write_spk2utt
from tests.steps.running import refuse, succeed

RATE = 16000


def speech(seconds=1.0, level=0.05, seed=0):
    return level * np.random.default_rng(seed).standard_normal(int(RATE * seconds))


@pytest.fixture
def data(tmp_path):
    """An utterance of every kind, of two speakers."""
    telephone = np.fft.irfft(np.fft.rfft(speech(2.0))[: RATE // 2], 2 * RATE)  # nothing above 4 kHz
    waves = {
        "ann-clipped": (np.clip(speech(level=1.0), -0.5, 0.5), RATE),
        "ann-fine": (speech(), RATE),
        "ann-offset": (speech() + 0.1, RATE),
        "ann-quiet": (speech(level=0.002), RATE),
        "ann-short": (speech(0.2), RATE),
        "ben-broken": (speech(), RATE),
        "ben-silent": (speech(level=1e-4), RATE),
        "ben-stereo": (np.stack([speech(), np.zeros(RATE)], axis=1), RATE),
        "ben-telephone": (telephone, RATE),
        "ben-wide": (speech(3), 44100),
    }
    root = tmp_path / "data"
    root.mkdir()
    for name, (samples, rate) in waves.items():
        soundfile.write(root / f"{name}.wav", samples, rate)
    whole = (root / "ben-broken.wav").read_bytes()
    (root / "ben-broken.wav").write_bytes(whole[: len(whole) // 2])
    (root / "wav.scp").write_text("".join(f"{name} {root}/{name}.wav\n" for name in waves))
    (root / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in waves))
    write_spk2utt(str(root / "spk2utt"), DataDir(root).table("utt2spk"))
    return root


def table(directory):
    lines = (directory / "utterances.tsv").read_text().splitlines()
    return {row.split("\t")[0]: dict(zip(lines[0].split("\t"), row.split("\t"), strict=True)) for row in lines[1:]}


def test_every_problem_is_found_once(data, tmp_path):
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    said = succeed("describe_data_dir.py", "--nj", 1, data, tmp_path / "out")
    found = {name: row["problems"] for name, row in table(tmp_path / "out").items()}
    assert found == {
        "ann-clipped": "clipped",
        "ann-fine": "-",
        "ann-offset": "offset",
        "ann-quiet": "quiet",
        "ann-short": "short",
        "ben-broken": "unreadable",
        "ben-silent": "silent",
        "ben-stereo": "-",
        "ben-telephone": "telephone band",
        "ben-wide": "-",
    }
    usable = (tmp_path / "out" / "usable").read_text().split()
    assert usable == [name for name, problem in found.items() if problem not in ("short", "unreadable", "silent")]
    assert "3 not usable" in said
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("44,100 Hz", "ben-broken", "The rates differ", "telephone band", "data:image/png"):
        assert words in page
    assert "http" not in page.replace("http-equiv", "")  # it opens offline
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()} == before
    DataDir(data).write_subset(tmp_path / "subset", usable)
    again = succeed("describe_data_dir.py", data, tmp_path / "out")
    assert "done already" in again


def test_utterances_are_the_segments(data, tmp_path):
    (data / "wav.scp").write_text(f"session {data}/ben-telephone.wav\n")
    (data / "utt2spk").write_text("ann-1 ann\nben-1 ben\nben-9 ben\n")
    (data / "spk2utt").write_text("ann ann-1\nben ben-1 ben-9\n")
    (data / "segments").write_text("ann-1 session 0 0.75\nben-1 session 0.75 2.0\nben-9 session 5 6\n")
    succeed("describe_data_dir.py", "--nj", 1, data, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["seconds"] for row in rows.values()] == ["0.750", "1.250", "0.000"]
    assert rows["ben-9"]["problems"] == "unreadable"
    assert "a segment from 5 to 6 s is asked" in (tmp_path / "out" / "report.html").read_text()


def test_no_audio_is_one_sentence(tmp_path):
    assert "no such data directory" in refuse("describe_data_dir.py", tmp_path / "none", tmp_path / "out")
