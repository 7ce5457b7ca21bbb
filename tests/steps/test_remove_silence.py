"""steps/data/remove_silence.py: copies of data directories without silence, the same for every number of jobs."""

from pathlib import Path

import numpy as np
import pytest

from spkid.audio import read_audio, write_wav
from spkid.features.deep_speaker import remove_silence
from spkid.kaldi import DataDir
from tests.shared import REPOSITORY
from tests.steps.running import refuse, succeed

PROGRAM = "data/remove_silence.py"


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """Five recordings, the n-th with n half seconds of tone between pauses; the last has nothing but a pause."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "utils").symlink_to(REPOSITORY / "utils")
    data = tmp_path / "data" / "train"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"s{number % 2}-u{number}" for number in range(5)]
    for number, name in enumerate(names):
        pause = 1e-4 * rng.standard_normal(4000)
        loud = np.concatenate([0.3 * np.sin(np.arange(8000)) for _ in range(number)] or [np.zeros(0)])
        write_wav(str(tmp_path / f"{name}.wav"), np.concatenate((pause, loud, pause)).astype(np.float32), 16000)
    names = sorted(names)
    (data / "wav.scp").write_text("".join(f"{name} {tmp_path / name}.wav\n" for name in names))
    (data / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in names))
    spk2utt = [
        f"{speaker} {' '.join(name for name in names if name.startswith(speaker))}\n" for speaker in ("s0", "s1")
    ]
    (data / "spk2utt").write_text("".join(spk2utt))
    return data


def waves(data_dir: Path) -> dict[str, np.ndarray]:
    return {name: read_audio(place)[0] for name, place in DataDir(data_dir).read("wav.scp").items()}


def test_speech_is_kept_and_what_has_none_is_named(data):
    said = succeed(PROGRAM, "--nj", 2, "--min-fraction", 0.5, data, "data/speech")
    assert "4 of 5 utterances" in said
    out = DataDir("data/speech")
    out.check(needs=("utt2spk", "wav.scp", "utt2dur"))
    assert out.utterances == ["s0-u2", "s0-u4", "s1-u1", "s1-u3"]
    originals = DataDir(data).read("wav.scp")
    for name, samples in waves(out.root).items():
        assert np.array_equal(samples, remove_silence(read_audio(originals[name])[0], 16000))
        assert abs(len(samples) / 16000 - float(out.read("utt2dur")[name])) < 1e-3
    assert "no chunk of it reaches 15 dB" in Path("data/speech/data/remove_silence_speech/failed").read_text()
    assert "done already" in succeed(PROGRAM, "--nj", 1, "--min-fraction", 0.5, data, "data/speech")
    one = succeed(PROGRAM, "--nj", 1, "--min-fraction", 0.5, data, "data/one")
    assert "4 of 5" in one
    for (name, left), (same, right) in zip(waves(Path("data/one")).items(), waves(out.root).items(), strict=True):
        assert name == same
        assert np.array_equal(left, right)
    assert "4 of 5" in refuse(PROGRAM, "--nj", 1, data, "data/strict")


def test_segments_become_utterances_of_their_own(data):
    (data / "wav.scp").write_text(f"reco {data.parents[1]}/s0-u4.wav\n")
    (data / "segments").write_text("s0-a reco 0.0 1.25\ns0-b reco 1.0 2.0\n")
    (data / "utt2spk").write_text("s0-a s0\ns0-b s0\n")
    (data / "spk2utt").write_text("s0 s0-a s0-b\n")
    succeed(PROGRAM, "--nj", 1, "--min-duration", 1.61, data, "data/speech")
    found = waves(Path("data/speech"))
    assert [len(found[name]) for name in ("s0-a", "s0-b")] == [25760, 25760]
    assert not found["s0-a"][16000:].any()
    assert found["s0-b"][15000:16000].any()
    assert not Path("data/speech/segments").exists()


def test_the_source_is_not_written_over(data):
    assert "is the source itself" in refuse(PROGRAM, data, data)
