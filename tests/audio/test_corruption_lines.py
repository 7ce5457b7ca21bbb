"""Lines of wav.scp that end in wav-reverberate: read without a process, to the same bytes as a shell gives."""

import shlex
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.audio import Recording, corruption, read_audio, write_wav
from spkid.audio.corruption import AddedNoise, corruption_line, rendered
from spkid.kaldi import InputError

RATE = 8000


@pytest.fixture
def files(tmp_path):
    """speech.wav, noise.wav and room.wav in a folder with blanks and a quote in its name."""
    folder = tmp_path / "it's a földer (1)"
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = {}
    for name, length, level in (("speech", 8000, 0.1), ("noise", 3000, 0.05), ("room", 900, 0.3)):
        samples = level * random.standard_normal(length) * (np.exp(-np.arange(length) / 100) if name == "room" else 1)
        paths[name] = str(folder / f"{name}.wav")
        write_wav(paths[name], samples.astype(np.float32), RATE)
    return paths


def by_shell(entry: str) -> bytes:
    tools = Path(sys.executable).parent
    script = f"PATH={tools}:$PATH; {entry.removesuffix('|')}"
    return subprocess.run(script, shell=True, check=True, capture_output=True).stdout


def lines(files):
    nested = corruption_line(files["noise"], duration=1.0)
    roomy = corruption_line(files["noise"], response=files["room"])
    return {
        "noise": corruption_line(files["speech"], noises=[AddedNoise(files["noise"], 5, 0.25)]),
        "repeated": corruption_line(
            files["speech"], noises=[AddedNoise(nested, 10), AddedNoise(files["noise"], 0, 0.5)]
        ),
        "room": corruption_line(files["speech"], response=files["room"], noises=[AddedNoise(roomy, 3, 0.1)]),
        "longer": corruption_line(files["speech"], response=files["room"], shift=False),
        "piped": corruption_line(f'cat "{files["speech"]}" |', response=files["room"]),
        "twice": corruption_line(corruption_line(files["speech"], response=files["room"]), response=files["room"]),
    }


@pytest.mark.parametrize("kind", ["noise", "repeated", "room", "longer", "piped", "twice"])
def test_a_line_is_read_without_a_shell_to_the_same_bytes(kind, files):
    line = lines(files)[kind]
    ours = rendered(line)
    assert ours == by_shell(line)
    with Recording(line) as recording:
        np.testing.assert_array_equal(recording.read(), Recording.from_bytes(ours, "").read())


NAMES = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters=",|") | st.just(" "), min_size=1, max_size=12
).map(lambda name: f"/{name}/x.wav")


@settings(max_examples=200)
@given(source=NAMES, room=NAMES, noises=st.lists(NAMES, max_size=3), snr=st.integers(-20, 40))
def test_whatever_the_names_the_line_is_read_as_it_was_meant(source, room, noises, snr):
    """Blanks, quotes and the shell's own signs in names: what is written is what is read, by the shell's rules too."""
    added = [AddedNoise(name, snr, 0.5) for name in noises]
    line = corruption_line(source, response=room, noises=added)
    read = []

    def note(location, options):
        read.append((location, options.impulse_response, options.additive_signals.split(",") if noises else []))
        return np.zeros((1, 1), np.float32), RATE

    with patch.object(corruption, "corrupt_recording", note):
        assert rendered(line) is not None
    assert read == [(source, room, noises)]
    assert shlex.split(line.removesuffix("|"))[-2:] == [source, "-"]


@pytest.mark.parametrize("snr", [-5, 0, 7, 20])
def test_signal_to_noise_ratio(snr, files):
    """The result is scaled to the power of the speech: what is left beside the scaled speech is the noise."""
    background = corruption_line(files["noise"], duration=1.0)
    noisy, _ = read_audio(corruption_line(files["speech"], noises=[AddedNoise(background, snr)]))
    speech = read_audio(files["speech"])[0].astype(np.float64)
    scale = noisy @ speech / (speech @ speech)
    noise = noisy - scale * speech
    assert 10 * np.log10(np.mean((scale * speech) ** 2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.3)
    assert np.mean(noisy**2) == pytest.approx(np.mean(speech**2), rel=0.01)


@pytest.mark.parametrize(
    "entry",
    [
        "wav-reverberate $FILE - |",
        "wav-reverberate `echo a.wav` - |",
        "wav-reverberate a.wav out.wav; cat out.wav |",
        "sox a.wav -t wav - |",
        "wav-reverberate --help a - |",
        "wav-reverberate --verbose=1 a.wav - |",
        "wav-reverberate --volume=loud a.wav - |",
        "wav-reverberate --volum=2 a.wav - |",
        "wav-reverberate a.wav - | sox - -t wav - |",
        'wav-reverberate "$FILE" - |',
    ],
)
def test_what_needs_a_shell_is_left_to_it(entry):
    assert rendered(entry) is None


def test_a_real_command_before_it(files):
    line = f"cat '{files['speech'].replace(chr(39), chr(39) + chr(34) + chr(39) + chr(34) + chr(39))}' | head -c 4044 |"
    line = line.removesuffix("|") + "| wav-reverberate --volume=2 - - |"
    with pytest.raises(InputError, match="header promises"):
        rendered(line)


def test_mistakes_are_named(files):
    with pytest.raises(InputError, match="comma"):
        corruption_line(files["speech"], noises=[AddedNoise("a,b.wav", 5)])
    with pytest.raises(InputError, match=r"missing\.wav"):
        read_audio("wav-reverberate missing.wav - |")


def test_a_line_says_nothing(files, capfd):
    read_audio(lines(files)["repeated"])
    assert capfd.readouterr() == ("", "")
