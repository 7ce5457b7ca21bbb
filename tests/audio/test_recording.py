"""What a line of wav.scp may hold, and what it may not."""

import contextlib
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from spkid.audio import Recording, read_audio, write_wav
from spkid.audio.riff import read_riff_header
from spkid.kaldi import InputError
from tests.audio.files import BROKEN, broken_files, streamed, tone, wav_bytes, write
from tests.shared import corpora, golden


@pytest.mark.parametrize(
    ("suffix", "subtype", "bits"),
    [
        ("wav", "PCM_U8", 8),
        ("wav", "PCM_16", 16),
        ("wav", "PCM_24", 24),
        ("wav", "PCM_32", 32),
        ("wav", "FLOAT", 24),
        ("wav", "DOUBLE", 24),
        ("flac", "PCM_S8", 8),
        ("flac", "PCM_16", 16),
        ("flac", "PCM_24", 24),
    ],
)
def test_every_sample_format_gives_the_same_wave(tmp_path, suffix, subtype, bits):
    wave = tone()[:, 0] / np.float32(32768)
    samples, rate = read_audio(write(tmp_path / f"a.{suffix}", wave, subtype=subtype))
    assert rate == 16000
    assert samples.dtype == np.float32
    assert samples.shape == wave.shape
    np.testing.assert_allclose(samples, wave, atol=1.01 * 2.0 ** (1 - bits))


def test_sixteen_bits_are_exact(tmp_path):
    wave = np.array([-32768, -1, 0, 1, 32767] * 100, dtype=np.int16)
    for name in ("a.wav", "a.flac"):
        samples, _ = read_audio(write(tmp_path / name, wave))
        np.testing.assert_array_equal(samples * 32768, wave)


def test_golden_audio_is_read_as_soundfile_reads_it():
    path = golden("kaldi/wav/000010089.wav")
    expected, rate = soundfile.read(path, dtype="int16")
    samples, found = read_audio(str(path))
    assert found == rate
    np.testing.assert_array_equal(samples * 32768, expected)


def test_flac_of_the_corpus_is_read():
    path = next(iter(sorted(corpora("speechocean762/WAVE/SPEAKER0001").glob("*.flac"))))
    samples, rate = read_audio(str(path))
    assert rate == 16000
    assert 0.001 < samples.std() < 1


@given(start=st.integers(0, 15999), length=st.integers(0, 16000), flac=st.booleans())
def test_a_part_is_the_part_of_the_whole(tmp_path_factory, start, length, flac):
    path = tmp_path_factory.getbasetemp() / f"part.{'flac' if flac else 'wav'}"
    whole = tone(channels=2)
    if not path.exists():
        write(path, whole)
    stop = min(start + length, len(whole))
    with Recording(str(path)) as recording:
        assert (recording.num_samples, recording.channels, recording.rate) == (16000, 2, 16000)
        np.testing.assert_array_equal(recording.read(start, stop) * 32768, whole[start:stop])


def test_output_of_a_command(tmp_path):
    path = write(tmp_path / "a b.flac", tone())
    samples, _ = read_audio(f"cat {shlex.quote(path)} |")
    np.testing.assert_array_equal(samples * 32768, tone()[:, 0])


@pytest.mark.parametrize(
    ("riff", "length"), [(0x7FFFF024, 0x7FFFF000), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFFFFF), (0, 0)]
)
def test_a_pipe_may_not_know_its_length(tmp_path, riff, length):
    path = tmp_path / "streamed.wav"
    path.write_bytes(streamed(wav_bytes(tone()), riff, length))
    with Recording(f"cat {path} |") as recording:
        assert recording.num_samples == 16000
        np.testing.assert_array_equal(recording.read() * 32768, tone())


def test_a_pipe_that_breaks_off_is_an_error(tmp_path):
    path = write(tmp_path / "a.wav", tone())
    with pytest.raises(InputError, match="truncated"):
        Recording(f"head -c 5000 {path} |")


def test_a_command_that_fails_is_an_error():
    with pytest.raises(InputError, match=r"exit 3.* failed with status 3"):
        Recording("exit 3 |")


def test_entry_of_an_archive(tmp_path):
    first, second = wav_bytes(tone()), wav_bytes(tone(0.5, channels=2))
    archive = tmp_path / "wav.ark"
    archive.write_bytes(b"a " + first + b"b " + second)
    samples, _ = read_audio(f"{archive}:2")
    np.testing.assert_array_equal(samples * 32768, tone()[:, 0])
    with Recording(f"{archive}:{len(first) + 4}") as recording:
        np.testing.assert_array_equal(recording.read() * 32768, tone(0.5, channels=2))
    with pytest.raises(InputError, match="no WAV begins at byte 3"):
        Recording(f"{archive}:3")


def test_a_file_name_may_end_like_an_offset(tmp_path):
    path = tmp_path / "take:12"
    path.write_bytes(wav_bytes(tone()))
    assert Recording(str(path)).num_samples == 16000


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_audio_is_an_error_that_names_the_file(tmp_path, kind):
    path, words = broken_files(tmp_path)[kind]
    with pytest.raises(InputError) as caught:
        read_audio(str(path))
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=80), cut=st.integers(0, 60), position=st.integers(0, 43), value=st.integers(0, 255))
def test_a_damaged_header_is_read_or_refused_but_never_a_surprise(tmp_path_factory, data, cut, position, value):
    header = bytearray(wav_bytes(tone(0.01)))
    header[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    for content in (bytes(header[: len(header) - cut]), b"RIFF" + data, b"RIFF\0\0\0\0WAVE" + data):
        path.write_bytes(content)
        with contextlib.suppress(InputError):  # and no other exception
            samples, _ = read_audio(str(path))
            assert len(samples) <= len(content)


def test_long_files_of_the_rf64_kind(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(), 16000, format="RF64")
    with open(path, "rb") as stream:
        assert read_riff_header(stream)[1].data == 32000
    np.testing.assert_array_equal(read_audio(str(path))[0] * 32768, tone()[:, 0])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="truncated"):
        read_audio(str(path))


def test_flac_that_does_not_say_how_long_it_is_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    data = bytearray(Path(write(path, tone())).read_bytes())
    assert int.from_bytes(data[21:26], "big") & ((1 << 36) - 1) == 16000  # 36 bits of the STREAMINFO block
    data[21:26] = (int.from_bytes(data[21:26], "big") >> 36 << 36).to_bytes(5, "big")
    path.write_bytes(data)
    for name in (str(path), f"cat {path} |"):
        with pytest.raises(InputError, match=r"does not say how long it is .* let the command write WAV"):
            Recording(name)


def test_channels(tmp_path, capsys):
    path = write(tmp_path / "a.wav", tone(channels=2))
    for channel in (0, 1):
        samples, _ = read_audio(path, channel=channel)
        np.testing.assert_array_equal(samples * 32768, tone(channels=2)[:, channel])
    with pytest.raises(InputError, match=r"a\.wav: has 2 channel\(s\), there is no channel 2"):
        read_audio(path, channel=2)
    samples, _ = read_audio(path)
    np.testing.assert_array_equal(samples * 32768, tone(channels=2)[:, 0])
    assert "2 channels; the first is taken" in capsys.readouterr().err


def test_another_rate_is_refused_or_resampled_as_asked(tmp_path, capsys):
    path = write(tmp_path / "a.wav", tone(rate=44100), rate=44100)
    with pytest.raises(InputError, match="44100 Hz, 16000 Hz is wanted: --allow-downsample=true"):
        read_audio(path, rate=16000)
    samples, rate = read_audio(path, rate=16000, resample=True)
    assert rate == 16000
    assert samples.dtype == np.float32
    assert len(samples) == 16000
    assert "resampling from 44100 to 16000 Hz" in capsys.readouterr().err
    middle = slice(1000, 15000)  # a tone is a tone at any rate
    np.testing.assert_allclose(samples[middle], tone()[middle, 0] / 32768, atol=2e-3)
    with pytest.raises(InputError, match="--allow-upsample=true"):
        read_audio(path, rate=48000)


def test_zeros_are_said(tmp_path, capsys):
    path = write(tmp_path / "a.wav", tone(amplitude=0))
    samples, _ = read_audio(path)
    assert not samples.any()
    assert f"{path}: all samples are zero" in capsys.readouterr().err


def test_written_waves_are_sixteen_bits_and_clipped(tmp_path):
    path = str(tmp_path / "a.wav")
    write_wav(path, np.array([[0.5, -1.0], [2.0, -3.0]], dtype=np.float32), 8000)
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == 8000
    np.testing.assert_array_equal(samples, [[16384, -32768], [32767, -32768]])


def test_reading_imports_nothing_that_is_slow(tmp_path):
    path = write(tmp_path / "a.wav", tone())
    code = f"import sys; from spkid.audio import read_audio; read_audio({path!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy", "torch", "pandas", "kaldiio"} & set(loaded)


def test_a_long_recording_is_decoded_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("spkid.audio.recording.BLOCK_SAMPLES", 1000)
    samples = np.random.default_rng(3).uniform(-0.5, 0.5, (5003, 2)).astype(np.float32)
    soundfile.write(tmp_path / "long.flac", samples, 16000, "PCM_24")
    whole = soundfile.read(tmp_path / "long.flac", dtype="float32")[0]
    with Recording(str(tmp_path / "long.flac")) as recording:
        for start, stop in ((0, 5003), (7, 4007), (4000, 5003), (100, 200)):
            assert np.array_equal(recording.read(start, stop), whole[start:stop])
