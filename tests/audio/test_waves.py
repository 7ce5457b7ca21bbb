"""Tables of waves: order, segments, and one bad line among good ones."""

import io

import numpy as np
import pytest

from spkid.audio import ALL_CHANNELS, WAVE, Recording, SegmentLimits, Wave, WaveOptions, read_waves, waves
from spkid.audio.durations import utterance_durations
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.tables import TableWriter, open_table, read_table
from tests.audio.files import broken_files, tone, write


def scp(folder, entries) -> str:
    path = folder / "wav.scp"
    path.write_text("".join(f"{key} {value}\n" for key, value in entries.items()), encoding="utf-8")
    return f"scp:{path}"


def test_waves_come_in_the_order_of_the_script(tmp_path):
    entries = {name: write(tmp_path / f"{name}.wav", tone(0.1 * (i + 1))) for i, name in enumerate(("c", "a", "b"))}
    found = list(read_waves(scp(tmp_path, entries)))
    assert [key for key, _ in found] == ["c", "a", "b"]
    assert [wave.duration for _, wave in found] == [0.1, 0.2, 0.3]


def test_a_bad_recording_is_named_and_the_others_are_read(tmp_path):
    broken = broken_files(tmp_path)
    good = write(tmp_path / "good.wav", tone())
    entries = {f"{name}-id": str(path) for name, (path, _) in broken.items()} | {"command": "exit 1 |", "good": good}
    found = dict(read_waves(scp(tmp_path, entries)))
    assert list(found) == list(entries)
    for name, (path, words) in broken.items():
        problem = found[f"{name}-id"]
        assert isinstance(problem, InputError)
        assert str(path) in str(problem)
        assert words in str(problem)
    assert isinstance(found["command"], InputError)
    assert isinstance(found["good"], Wave)


def test_messages_about_rates_and_channels_come_once(tmp_path, capsys):
    entries = {f"u{i}": write(tmp_path / f"{i}.wav", tone(rate=8000, channels=2), rate=8000) for i in range(5)}
    options = WaveOptions(rate=16000, allow_upsample=True)
    assert all(len(wave.samples) == 16000 for _, wave in read_waves(scp(tmp_path, entries), options=options))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2


def test_only_the_allowed_direction_is_resampled(tmp_path):
    entries = {"low": write(tmp_path / "low.wav", tone(rate=8000), rate=8000)}
    ((_, problem),) = read_waves(scp(tmp_path, entries), options=WaveOptions(rate=16000, allow_downsample=True))
    assert "--allow-upsample" in str(problem)


@pytest.fixture
def recordings(tmp_path):
    """wav.scp of a long mono file and a stereo one, and a function that writes segments."""
    entries = {
        "long": write(tmp_path / "long.flac", np.concatenate([tone(10), tone(10, amplitude=100)])),
        "stereo": write(tmp_path / "stereo.wav", tone(2, channels=2)),
    }
    rspecifier = scp(tmp_path, entries)

    def segments(*lines: str) -> str:
        path = tmp_path / "segments"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(path)

    return rspecifier, segments


def test_segments_are_cut_where_they_say(recordings):
    rspecifier, segments = recordings
    whole = np.concatenate([tone(10), tone(10, amplitude=100)])[:, 0]
    path = segments("u1 long 0.5 1.25", "u2 long 9 11.5", "u3 long 19 -1", "u4 long 18 20.3", "u5 stereo 0 1 1")
    found = dict(read_waves(rspecifier, segments=path))
    expected = {"u1": (8000, 20000), "u2": (144000, 184000), "u3": (304000, 320000), "u4": (288000, 320000)}
    for utterance, (start, stop) in expected.items():
        np.testing.assert_array_equal(found[utterance].samples * 32768, whole[start:stop])
    np.testing.assert_array_equal(found["u5"].samples * 32768, tone(2, channels=2)[:16000, 1])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("u long 19 20.5", "recording of 20.00 s"),
        ("u long 20 21", "recording of 20.00 s"),
        ("u long 1 1.05", "too short"),
        ("u long 2 1", "cannot be"),
        ("u long -1 1", "cannot be"),
        ("u long 1 nan", "cannot be"),
        ("u long one 2", "is not a number"),
        ("u long 1", "expected 'recording start end [channel]'"),
        ("u other 0 1", "its recording other is not in wav.scp"),
        ("u stereo 0 1 2", "there is no channel 2"),
    ],
)
def test_a_segment_that_cannot_be_is_named_and_the_next_is_cut(recordings, line, words):
    rspecifier, segments = recordings
    found = dict(read_waves(rspecifier, segments=segments(line, "v long 0 1")))
    assert words in str(found["u"])
    assert len(found["v"].samples) == 16000


def test_limits_of_segments_are_options(recordings):
    rspecifier, segments = recordings
    path = segments("u1 long 1 1.05", "u2 long 19 21")
    found = dict(read_waves(rspecifier, segments=path, limits=SegmentLimits(min_length=0.01, max_overshoot=2)))
    assert [len(wave.samples) for wave in found.values()] == [800, 16000]


def test_consecutive_segments_open_their_recording_once(recordings, monkeypatch):
    rspecifier, segments = recordings
    opened, read = [], []

    class Counting(Recording):
        def __init__(self, rxfilename):
            opened.append(rxfilename)
            super().__init__(rxfilename)

        def read(self, start=0, stop=None):
            read.append(stop - start)
            return super().read(start, stop)

    monkeypatch.setattr(waves, "Recording", Counting)
    path = segments(*(f"u{i:02d} long {i} {i + 0.5}" for i in range(19)), "v stereo 0 1", "w stereo 1 2")
    assert len(list(read_waves(rspecifier, segments=path))) == 21
    assert len(opened) == 2
    assert max(read) == 16000


def test_a_bad_recording_fails_all_its_segments_and_is_tried_once(tmp_path, monkeypatch):
    tried = []

    class Counting(Recording):
        def __init__(self, rxfilename):
            tried.append(rxfilename)
            super().__init__(rxfilename)

    monkeypatch.setattr(waves, "Recording", Counting)
    path = tmp_path / "segments"
    path.write_text("a r 0 1\nb r 1 2\n", encoding="utf-8")
    found = list(read_waves(scp(tmp_path, {"r": str(tmp_path / "none.wav")}), segments=str(path)))
    assert [isinstance(problem, InputError) for _, problem in found] == [True, True]
    assert len(tried) == 1


def test_waves_pass_through_archives(tmp_path):
    stereo = tone(0.3, channels=2) / np.float32(32768)
    archive, script = tmp_path / "wav.ark", tmp_path / "ark.scp"
    with TableWriter(f"ark,scp:{archive},{script}", WAVE) as writer:
        writer.write("a", Wave(tone()[:, 0] / np.float32(32768), 16000))
        writer.write("b", Wave(stereo, 8000))
    for rspecifier in (f"ark:{archive}", f"scp:{script}", f"ark:cat {archive} |"):
        found = dict(read_waves(rspecifier, options=WaveOptions(channel=ALL_CHANNELS)))
        np.testing.assert_array_equal(found["a"].samples[:, 0] * 32768, tone()[:, 0])
        np.testing.assert_array_equal(found["b"].samples, stereo)
        assert found["b"].rate == 8000
    with open_table(f"scp:{script}", WAVE) as table:
        assert table["b"].samples.shape == (4800, 2)


def test_a_truncated_archive_is_an_error(tmp_path):
    archive = tmp_path / "wav.ark"
    with TableWriter(f"ark:{archive}", WAVE) as writer:
        writer.write("a", Wave(tone()[:, 0] / np.float32(32768), 16000))
    archive.write_bytes(archive.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"id a: .*the archive is truncated"):
        list(read_table(f"ark:{archive}", WAVE))


def test_a_wave_of_unknown_length_reaches_to_the_end_of_its_stream():
    from tests.audio.files import streamed, wav_bytes

    data = streamed(wav_bytes(tone()), 0xFFFFFFFF, 0xFFFFFFFF)
    np.testing.assert_array_equal(WAVE.read(io.BytesIO(data)).samples * 32768, tone())


def test_durations_of_utterances_and_recordings(tmp_path):
    (tmp_path / "utt2spk").write_text("a s\nb s\n")
    scp(tmp_path, {"r1": write(tmp_path / "1.wav", tone(3)), "r2": write(tmp_path / "2.flac", tone(1.5))})
    (tmp_path / "segments").write_text("a r1 1 -1\nb r2 0.25 1.6\n")
    durations = utterance_durations(DataDir(tmp_path), jobs=2)
    assert durations.utterances == {"a": 2.0, "b": 1.25}
    assert durations.recordings == {"r1": 3.0, "r2": 1.5}
    (tmp_path / "segments").unlink()
    assert utterance_durations(DataDir(tmp_path)).utterances == {"r1": 3.0, "r2": 1.5}
