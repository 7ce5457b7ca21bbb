"""Recordings of one's own: folders and tables, blanks and letters of any script, what is left out, 8 kHz."""

import csv
import shutil
from pathlib import Path

import pytest

from local import directory
from local.common import layouts
from local.common.walking import LeftOut, files_below, unusable, word
from spkid.audio import read_audio
from spkid.kaldi import DataDir
from tests.local.voices import voices

PROGRAM = directory.DirectoryPreparation


def prepare(*words: object) -> int:
    return PROGRAM.run(["directory.py", *map(str, words)], exit=False)[1]


@pytest.fixture
def corpus(tmp_path):
    """Three speakers at 8 kHz: `speaker 00/day one/1.wav`, and a table of them."""
    root = tmp_path / "mine"
    layouts.directory(root, voices(3, 3, rate=8000, seconds=0.3), table=True)
    return root


def test_a_folder_a_speaker(corpus, tmp_path, capsys):
    assert prepare("--corpus", corpus, tmp_path / "data") == 0
    data = DataDir(tmp_path / "data")
    data.check(needs=("utt2spk", "wav.scp", "utt2dur"))
    assert data.speakers == ["speaker_00", "speaker_01", "speaker_02"]
    assert data.utterances[:3] == ["speaker_00-day_one-1", "speaker_00-day_two-0", "speaker_00-day_two-2"]
    assert read_audio(data.wav_scp["speaker_00-day_one-1"])[1] == 8000
    assert data.read("utt2dur")["speaker_00-day_one-1"] == "0.3100"
    said = capsys.readouterr().out
    assert "3 speakers, 9 utterances" in said
    assert "left out 1, not a file of the corpus: table.csv" in said
    assert prepare("--corpus", corpus, tmp_path / "data") == 0
    assert "done already" in capsys.readouterr().out


def test_odd_files(corpus, tmp_path, capsys):
    (corpus / "Zoë Ångström").mkdir()
    source = corpus / "speaker 00/day two/0.wav"
    shutil.copy(source, corpus / "Zoë Ångström/été.wav")
    shutil.copy(source, corpus / "speaker 00/day two/0.flac")
    shutil.copy(source, corpus / "loose.wav")
    (corpus / "speaker 01/empty.wav").write_bytes(b"")
    (corpus / "speaker 01/broken.wav").write_bytes(b"RIFFnoise")
    (corpus / "speaker 01/.hidden.wav").write_bytes(b"RIFFnoise")
    (corpus / "nobody").mkdir()
    layouts.save(corpus / "speaker 02/short.wav", voices(1, 1, rate=8000, seconds=0.05)[0].read(0), 8000)
    assert prepare("--corpus", corpus, tmp_path / "data") == 0
    data = DataDir(tmp_path / "data")
    assert len(data.utterances) == 10
    assert "Zoë_Ångström-été" in data.utterances
    assert read_audio(data.wav_scp["Zoë_Ångström-été"])[1] == 8000
    said = capsys.readouterr().out
    for sentence in (
        "left out 1, a second file of one name",
        "left out 1, in no speaker's folder: loose.wav",
        "left out 1, an empty file: speaker 01/empty.wav",
        "left out 1, cannot be read as audio",
        "left out 1, shorter than 0.1 s",
        "warning: 1 speakers have a single utterance, Zoë_Ångström among them",
    ):
        assert sentence in said


def test_a_table(corpus, tmp_path):
    assert prepare("--corpus", corpus, "--table", corpus / "table.csv", tmp_path / "data") == 0
    data = DataDir(tmp_path / "data")
    assert len(data.utterances) == 9
    assert data.read("spk2gender") == {"speaker_00": "f", "speaker_01": "m", "speaker_02": "f"}
    assert data.read("text")["speaker_00-day_one-1"] == "words number 1"


def write_table(path: Path, rows: list[dict], separator: str = ",") -> Path:
    with open(path, "w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), delimiter=separator, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_segments_of_long_recordings(corpus, tmp_path, separator):
    layouts.save(corpus / "meeting.wav", voices(1, 1, rate=8000, seconds=3)[0].read(0), 8000)
    rows = [
        {"Recording": "meeting.wav", "who": "ann b", "from_s": "0.5", "to_s": "1.25"},
        {"Recording": "meeting.wav", "who": "bob", "from_s": "1.25", "to_s": "2.5"},
        {"Recording": "meeting.wav", "who": "ann b", "from_s": "2.5", "to_s": ""},
    ]
    table = write_table(tmp_path / "table", rows, separator)
    words = ["--path-column", "Recording", "--speaker-column", "WHO", "--segments", "from_s,to_s"]
    assert prepare("--corpus", corpus, "--table", table, *words, tmp_path / "data") == 0
    data = DataDir(tmp_path / "data")
    data.check(needs=("utt2spk", "wav.scp", "segments"))
    assert data.speakers == ["ann_b", "bob"]
    (recording,) = data.wav_scp
    times = {(segment.start, segment.end) for segment in data.segments.values()}
    assert times == {(0.5, 1.25), (1.25, 2.5), (2.5, -1)}
    assert all(segment.recording == recording for segment in data.segments.values())


def test_utterances_of_a_table_keep_their_names(corpus, tmp_path):
    rows = [
        {"path": "speaker 00/day one/1.wav", "speaker": "s0", "utterance": "s0-first"},
        {"path": "speaker 01/day one/1.wav", "speaker": "s1", "utterance": "second one"},
    ]
    table = write_table(tmp_path / "t.csv", rows)
    assert prepare("--corpus", corpus, "--table", table, tmp_path / "data") == 0
    assert DataDir(tmp_path / "data").utterances == ["s0-first", "s1-second_one"]


def test_rows_without_a_file_are_named(corpus, tmp_path, capsys):
    rows = [
        {"path": "speaker 00/day one/1.wav", "speaker": "a"},
        {"path": "gone.wav", "speaker": "a"},
    ]
    assert prepare("--corpus", corpus, "--table", write_table(tmp_path / "t.csv", rows), tmp_path / "data") == 0
    assert "left out 1, there is no such file: t.csv, line 3: gone.wav" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words", "sentence"),
    [
        ("a,b\nx,y\n", [], "no column is called path or file"),
        ("path,b\nx,y\n", [], "--speaker-column names it"),
        ("path,speaker\nx\n", [], "line 2: has 1 cells where the header has 2"),
        ("path,speaker\n,ann\n", [], "line 2: path and speaker cannot be empty"),
        ("path,speaker\nx.wav,ann\n", [], "no recording could be used: there is no such file (1)"),
        ("path,speaker\nx.wav,ann\n", ["--speaker-column", "who"], "has no column who; its columns are path, speaker"),
        ("path,speaker,start\nspeaker 00/day one/1.wav,ann,soon\n", [], "'soon' is no number of seconds"),
        ("path,speaker\n" + "speaker 00/day one/1.wav,ann\n" * 2, [], "stands on an earlier line too"),
        ("", [], "no column is called"),
    ],
)
def test_tables_that_cannot_be_used(text, words, sentence, corpus, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(text)
    assert prepare("--corpus", corpus, "--table", tmp_path / "t.csv", *words, tmp_path / "data") == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert prepare("--corpus", tmp_path / "empty", tmp_path / "data") == 1
    assert "expected <speaker>/<recording>.wav" in capsys.readouterr().err


def test_m4a_through_ffmpeg(corpus, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/ffmpeg"
    program.write_text('#!/bin/sh\nwhile [ "$1" != -i ]; do shift; done\ncat "$2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for path in list(corpus.rglob("*.wav")):
        path.rename(path.with_suffix(".m4a"))
    assert prepare("--corpus", corpus, "--rate", 8000, tmp_path / "data") == 0
    entries = DataDir(tmp_path / "data").wav_scp.values()
    assert len(entries) == 9
    assert all(entry.startswith("ffmpeg ") and "-ar 8000" in entry for entry in entries)


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/again").symlink_to(tmp_path)
    left_out = LeftOut()
    assert files_below(tmp_path, (".wav",), left_out) == []
    assert any("circle" in why for why in left_out.by_reason)


def test_a_folder_whose_name_cannot_stand_in_a_table(tmp_path, capsys):
    (tmp_path / "a|b/ann").mkdir(parents=True)
    assert prepare("--corpus", tmp_path / "a|b", tmp_path / "data") == 1
    assert "cannot stand in wav.scp" in capsys.readouterr().err


def test_names():
    assert word("Anna  Maria\tB") == "Anna_Maria_B"
    assert unusable("é t é/ä.wav") is None
    assert unusable("a\nb.wav")
    assert unusable("a|b.wav")
    assert "UTF-8" in unusable(b"\xff.wav".decode("utf-8", "surrogateescape"))
