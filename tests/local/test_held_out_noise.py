"""local/held_out_noise.py: what is tested with was not there to train with."""

import numpy as np
import pytest

from local.held_out_noise import HeldOutNoise
from spkid.audio import read_audio, write_wav
from spkid.kaldi import DataDir

RATE = 4000


@pytest.fixture
def folders(tmp_path):
    """Two buildings, a noise whose second half is louder, and 14 voices of one frequency each."""
    draw = np.random.default_rng(0)
    for path in ("rirs/house", "rirs/office", "noises/kitchen", "noises/babble"):
        (tmp_path / path).mkdir(parents=True)
    for number in range(3):
        response = np.zeros(40, np.float32)
        response[number] = 0.5
        write_wav(str(tmp_path / f"rirs/house/{number}.wav"), response, RATE)
        write_wav(str(tmp_path / f"rirs/office/{number}.wav"), response, RATE)
    noise = draw.uniform(-0.1, 0.1, 24 * RATE).astype(np.float32)
    noise[12 * RATE :] *= 5
    write_wav(str(tmp_path / "noises/kitchen/a.wav"), noise, RATE)
    for number in range(14):
        tone = 0.3 * np.sin(2 * np.pi * (100 + 100 * number) * np.arange(2 * RATE) / RATE)
        write_wav(str(tmp_path / f"noises/babble/{number:02}.wav"), tone.astype(np.float32), RATE)
    return tmp_path


def prepare(folders, *options):
    words = ["--rirs", folders / "rirs", "--noises", folders / "noises", "--rate", RATE, *options, folders / "data"]
    _, status = HeldOutNoise.run(["held_out_noise.py", *map(str, words)], exit=False)
    return status


def audio(directory):
    return {name: read_audio(place)[0] for name, place in DataDir(directory).wav_scp.items()}


def test_halves_share_no_recording(folders):
    assert prepare(folders) == 0
    data = folders / "data"
    assert all("house" in name for name in audio(data / "rooms_test"))
    assert all("office" in name for name in audio(data / "rooms_train"))
    assert len((data / "rooms_test/rir_list").read_text().splitlines()) == 3
    assert all(np.abs(samples).max() < 0.11 for samples in audio(data / "noises_train").values())
    test = audio(data / "noises_test")
    pieces = [samples for name, samples in test.items() if name.startswith("kitchen")]
    assert len(pieces) == 3  # 12 s: at 0, 1 and 2 s
    assert all(np.abs(samples).max() > 0.4 and len(samples) == 10 * RATE for samples in pieces)
    assert sorted(audio(data / "voices_train")) == [f"babble-{number:02}" for number in range(7)]
    for name, samples in test.items():
        if name.startswith("babble"):
            spectrum = np.abs(np.fft.rfft(samples))
            heard = np.flatnonzero(spectrum > 0.1 * spectrum.max()) * RATE / len(samples)
            assert heard.min() > 790  # the voices from 800 Hz on are those to test with
    assert sum(name.startswith("babble") for name in test) == len(pieces)


@pytest.mark.parametrize(("gone", "said"), [("rirs/office", "two folders"), ("noises/babble", "babble")])
def test_too_few_are_refused(folders, gone, said, capsys):
    for file in (folders / gone).iterdir():
        file.unlink()
    assert prepare(folders) == 1
    assert said in capsys.readouterr().err


def test_second_run_does_nothing(folders, capsys):
    prepare(folders)
    capsys.readouterr()
    assert prepare(folders) == 0
    assert "done already" in capsys.readouterr().out
