"""utils/plot_audio.py: what it prints is what the labels say; what cannot be drawn is one sentence."""

import numpy as np
import pytest
import soundfile

from spkid.kaldi.tables import VECTOR, TableWriter
from tests.steps.running import refuse, succeed


@pytest.fixture
def recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", 0.1 * np.sin(np.arange(16000) / 5.0), 8000)
    (tmp_path / "one.lab").write_text("0.0 1.0 V\n1.0 2.0 S\n")
    (tmp_path / "two.txt").write_text("0.5\t1.5\tspeech\n")
    return tmp_path


def test_it_tells_the_amount_of_speech_and_compares(recording):
    printed = succeed("plot_audio.py", "--labels", "one.lab", "--labels", "two.txt", "a.wav", "a.png")
    assert "a.wav: 2.00 s at 8000 Hz" in printed
    assert "one.lab: 1.00 s of speech (50.0%) in 1 pieces" in printed
    assert "agree in 50.0% of the time; speech only in one.lab 0.50 s, only in two.txt 0.50 s" in printed
    assert (recording / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_vad_table_is_a_track_too(recording):
    (recording / "data").mkdir()
    (recording / "data/wav.scp").write_text("utt a.wav\n")
    with TableWriter("ark,scp:vad.ark,vad.scp", VECTOR) as writer:
        writer.write("utt", np.repeat(np.array([0, 1], np.float32), 100))
    printed = succeed("plot_audio.py", "--data", "data", "--vad", "vad.scp", "--seconds", 1, "utt", "a.png")
    assert "vad.scp: 1.00 s of speech (50.0%)" in printed
    assert "has no decisions for" in refuse("plot_audio.py", "--vad", "vad.scp", "a.wav", "b.png")
    assert "no entry for nobody" in refuse("plot_audio.py", "--data", "data", "nobody", "b.png")
    assert not (recording / "b.png").exists()


def test_tracks_can_be_named(recording):
    tracks = ["--labels", "one.lab", "--labels", "two.txt"]
    printed = succeed("plot_audio.py", *tracks, "--name", "truth", "--name", "found", "a.wav", "a.png")
    assert "truth: 1.00 s of speech" in printed
    assert "speech only in truth 0.50 s, only in found 0.50 s" in printed
    for names in (["--name", "truth"], ["--name", "one", "--name", "one"]):
        assert "a --name of its own" in refuse("plot_audio.py", *tracks, *names, "a.wav", "b.png")


def test_it_refuses_a_third_track_and_a_start_after_the_end(recording):
    three = [word for _ in range(3) for word in ("--labels", "one.lab")]
    assert "at most two tracks" in refuse("plot_audio.py", *three, "a.wav", "b.png")
    assert "lasts 2.00 s" in refuse("plot_audio.py", "--start", 3, "a.wav", "b.png")


@pytest.mark.parametrize("samples", [1, 100])
def test_a_recording_shorter_than_a_window_is_drawn(recording, samples):
    soundfile.write("short.wav", np.full(samples, 0.1), 8000)
    succeed("plot_audio.py", "short.wav", "short.png")
    assert (recording / "short.png").exists()
