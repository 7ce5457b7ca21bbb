"""wav-to-duration, extract-segments and wav-copy as commands, on sound and on broken audio."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.audio.files import BROKEN, broken_files, streamed, tone, wav_bytes, write
from tests.shared import REPOSITORY, golden


def run(tool: str, *arguments, data: bytes | None = None, cwd=None) -> subprocess.CompletedProcess:
    """Runs a tool as its console command does."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", f"spkid.bin.{tool}", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, env=environment, cwd=cwd, check=False)


def test_durations_of_the_golden_audio():
    folder = golden("kaldi/wav.scp").parent
    done = run("wav_to_duration", "scp:wav.scp", "ark,t:-", cwd=folder)
    assert done.returncode == 0
    found = dict(line.split() for line in done.stdout.decode().splitlines())
    for line in (folder / "wav.scp").read_text().splitlines():
        key, path = line.split()
        assert float(found[key]) == pytest.approx(soundfile.info(folder / path).duration, rel=1e-6)


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("tool", ["wav_copy", "extract_segments"])
def test_broken_audio_ends_in_one_sentence(tmp_path, tool, kind):
    path, words = broken_files(tmp_path)[kind]
    (tmp_path / "wav.scp").write_text(f"some-id {path}\n")
    (tmp_path / "segments").write_text("some-id some-id 0 -1\n")
    middle = [tmp_path / "segments"] if tool == "extract_segments" else []
    report = tmp_path / "report.json"
    done = run(tool, f"--report={report}", f"scp:{tmp_path}/wav.scp", *middle, f"ark:{tmp_path}/out.ark")
    error = done.stderr.decode()
    assert done.returncode == 1
    assert "Traceback" not in error
    sentences = [line for line in error.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert len(sentences) == 1
    assert "some-id" in sentences[0]
    assert str(path) in sentences[0]
    assert words in sentences[0]
    assert "some-id" in report.read_text()


def test_one_bad_file_among_good_ones_is_left_out(tmp_path):
    path, _ = broken_files(tmp_path)["truncated.flac"]
    good = write(tmp_path / "good.wav", tone(0.5))
    (tmp_path / "wav.scp").write_text(f"bad {path}\ngood {good}\n")
    done = run("wav_to_duration", "--read-entire-file=true", f"scp:{tmp_path}/wav.scp", "ark,t:-")
    assert done.returncode == 0
    assert done.stdout == b"good 0.5\n"
    assert b"bad" in done.stderr


def test_segments_stream_into_the_next_tool(tmp_path):
    path = write(tmp_path / "a.flac", tone(3, channels=2))
    (tmp_path / "wav.scp").write_text(f"rec cat {path} |\n")
    (tmp_path / "segments").write_text("a rec 0 1 0\nb rec 1 2.5 1\nc rec 2 3.2\n")
    done = run("extract_segments", f"scp:{tmp_path}/wav.scp", tmp_path / "segments", "ark:-")
    assert done.returncode == 0
    durations = run("wav_to_duration", "ark:-", "ark,t:-", data=done.stdout)
    assert durations.stdout == b"a 1\nb 1.5\nc 1\n"
    (tmp_path / "all.ark").write_bytes(done.stdout)
    copied = run("wav_copy", f"{tmp_path}/all.ark:2", tmp_path / "a.wav")
    assert copied.returncode == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], tone(1, channels=2)[:, 0])


def test_a_streamed_wav_comes_in_by_standard_input(tmp_path):
    data = streamed(wav_bytes(tone()), 0xFFFFFFFF, 0xFFFFFFFF)
    done = run("wav_copy", "-", tmp_path / "a.wav", data=data)
    assert done.returncode == 0
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], tone()[:, 0])


def test_copies_are_exact(tmp_path):
    folder = golden("kaldi/wav.scp").parent
    done = run("wav_copy", "wav/000010089.wav", tmp_path / "a.wav", cwd=folder)
    assert done.returncode == 0
    expected = soundfile.read(folder / "wav/000010089.wav", dtype="int16")[0]
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], expected)
