"""The programs of utils/ that work on data directories, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spkid.kaldi.tables import MATRIX, TableWriter
from tests.audio.files import broken_files, tone, write
from tests.kaldi.data_dirs import BROKEN, BROKEN_SEGMENTS, SPEAKERS, UTTERANCES, edit, make_data_dir, with_segments
from tests.shared import REPOSITORY


def run(program: str, *arguments, text: str | None = None, locale: str = "C") -> subprocess.CompletedProcess:
    """Runs utils/<program>.py with the environment that path.sh makes."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "LC_ALL": locale}
    command = [sys.executable, REPOSITORY / "utils" / f"{program}.py", *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)


def fails(done: subprocess.CompletedProcess) -> str:
    """The one sentence of a program that refuses."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr + done.stdout
    sentences = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(sentences) == 1, done.stderr
    return sentences[0]


def succeeds(done: subprocess.CompletedProcess) -> str:
    """The output of a program that does its work."""
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def data(tmp_path) -> Path:
    return make_data_dir(tmp_path / "data")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("kind", BROKEN)
def test_validate_says_what_is_wrong_and_fix_repairs_it(data, kind):
    break_it, words, repairable = BROKEN[kind]
    break_it(data)
    assert words in fails(run("validate_data_dir", data))
    if repairable:
        succeeds(run("fix_data_dir", data))
        succeeds(run("validate_data_dir", data))


@pytest.mark.parametrize("kind", BROKEN_SEGMENTS)
def test_validate_looks_at_segments(data, kind):
    break_it, words, _ = BROKEN_SEGMENTS[kind]
    break_it(with_segments(data))
    assert words in fails(run("validate_data_dir", data))


def test_validate_takes_kaldis_options(data):
    for name in ("feats.scp", "wav.scp"):
        (data / name).unlink()
    (data / "text").write_bytes(b"\xff\n")
    options = ["--no-feats", "--no-wav", "--no-text", "--no-spk-sort", "--non-print"]
    assert "is in order" in succeeds(run("validate_data_dir", *options, data))
    for option in ("--no-feats", "--no-wav", "--no-text"):
        fails(run("validate_data_dir", *(other for other in options if other != option), data))


def test_validate_warns(data):
    (data / "feats.scp").unlink()
    subset = data.parent / "subset"
    succeeds(run("subset_data_dir", "--utt-list", data / "utt2spk", data, subset))
    lines_of_eve = edit("utt2spk", lambda x: x[:-2])
    lines_of_eve(subset)
    succeeds(run("fix_data_dir", subset))
    done = run("validate_data_dir", "--no-feats", subset)
    assert succeeds(done)
    assert "warning: " in done.stderr
    assert "single utterance, the first is eve" in done.stderr


def test_an_unknown_option_names_the_nearest(data):
    assert "--no-feats" in fails(run("validate_data_dir", "--no-feat", data))


def test_an_unwritable_place_is_named(data, tmp_path):
    (tmp_path / "file").write_text("x")
    assert str(tmp_path / "file") in fails(run("subset_data_dir", "--first", data, 3, tmp_path / "file" / "subset"))
    assert str(tmp_path / "file") in fails(run("copy_data_dir", data, tmp_path / "file" / "copy"))
    assert str(tmp_path / "file") in fails(run("combine_data", tmp_path / "file" / "all", data))
    assert "none" in fails(run("make_trials", data, tmp_path / "none" / "trials"))
    (data / ".backup").write_text("x")
    edit("wav.scp", lambda x: x[::-1])(data)
    assert ".backup" in fails(run("fix_data_dir", data))


def test_split(data):
    succeeds(run("split_data", data, 2))
    succeeds(run("split_data", "--per-utt", data, 6))
    assert sorted(path.name for path in data.glob("split*")) == ["split2", "split6utt"]
    assert [len(lines(data / "split6utt" / str(i + 1) / "utt2spk")) for i in range(6)] == [2] * 6
    assert "4 speakers cannot be split into 9 parts" in fails(run("split_data", data, 9))
    assert "is not a number" in fails(run("split_data", data, "two"))


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--first"], 5),
        (["--last"], 5),
        (["--shortest"], 5),
        (["--seed", "7"], 5),
        (["--speakers"], 6),
        (["--per-spk"], 2),
    ],
)
def test_subset(data, tmp_path, options, number):
    succeeds(run("subset_data_dir", *options, data, number, tmp_path / "subset"))
    succeeds(run("validate_data_dir", tmp_path / "subset"))
    assert len(lines(tmp_path / "subset" / "wav.scp")) == (8 if "--per-spk" in options else number)


def test_subset_by_list(data, tmp_path):
    (tmp_path / "speakers").write_text("bob\neve f\n")
    succeeds(run("subset_data_dir", "--spk-list", tmp_path / "speakers", data, tmp_path / "subset"))
    assert [line[:3] for line in lines(tmp_path / "subset" / "utt2spk")] == ["bob"] * 3 + ["eve"] * 3
    (tmp_path / "speakers").write_text("zoe\n")
    done = run("subset_data_dir", "--spk-list", tmp_path / "speakers", data, tmp_path / "subset")
    assert "has no speaker zoe" in fails(done)
    done = run("subset_data_dir", "--first", "--last", data, 1, tmp_path / "subset")
    assert "only one way of choosing" in fails(done)
    assert "expected <data-dir> <number>" in fails(run("subset_data_dir", data, tmp_path / "subset"))


def test_copy_and_combine(data, tmp_path):
    succeeds(run("copy_data_dir", "--utt-prefix=rev-", "--spk-prefix=rev-", data, tmp_path / "copy"))
    assert lines(tmp_path / "copy" / "spk2gender") == ["rev-ann f", "rev-bob m", "rev-cid m", "rev-eve f"]
    succeeds(run("combine_data", tmp_path / "all", data, tmp_path / "copy"))
    succeeds(run("validate_data_dir", tmp_path / "all"))
    assert len(lines(tmp_path / "all" / "feats.scp")) == 24
    assert "the id ann-0 stands in" in fails(run("combine_data", tmp_path / "all2", data, data))


def test_maps_there_and_back(data):
    utt2spk, spk2utt = (data / "utt2spk").read_text(), (data / "spk2utt").read_text()
    assert succeeds(run("utt2spk_to_spk2utt", data / "utt2spk")) == spk2utt
    assert succeeds(run("spk2utt_to_utt2spk", data / "spk2utt")) == utt2spk
    shuffled = "".join(f"{line}\n" for line in reversed(utt2spk.splitlines()))
    assert succeeds(run("utt2spk_to_spk2utt", text=shuffled)) == spk2utt
    assert succeeds(run("spk2utt_to_utt2spk", text=spk2utt)) == utt2spk
    assert "ann-0 stands on more than one line" in fails(run("utt2spk_to_spk2utt", text="ann-0 a\nann-0 b\n"))


def test_filter_scp(data, tmp_path):
    (tmp_path / "list").write_text("bob-1 and more\neve-0\n")
    kept = succeeds(run("filter_scp", tmp_path / "list", data / "text"))
    assert [line.split()[0] for line in kept.splitlines()] == ["bob-1", "eve-0"]
    assert "some  words\tof" in kept
    others = succeeds(run("filter_scp", "--exclude", tmp_path / "list", text=(data / "utt2spk").read_text()))
    assert len(others.splitlines()) == 10
    (tmp_path / "speakers").write_text("bob\n")
    assert len(succeeds(run("filter_scp", "-f", 2, tmp_path / "speakers", data / "utt2spk")).splitlines()) == 3
    assert "line 1 has no field 3" in fails(run("filter_scp", "-f", 3, tmp_path / "speakers", data / "utt2spk"))


def test_numbers_of_frames(data):
    lengths = dict(zip(UTTERANCES, range(12), strict=True))
    with TableWriter(f"ark,scp:{data}/feats.ark,{data}/feats.scp", MATRIX) as writer:
        for utterance, length in lengths.items():
            writer.write(utterance, np.zeros((length, 3), dtype=np.float32))
    assert "12 utterances, 66 frames" in succeeds(run("get_utt2num_frames", data))
    assert lines(data / "utt2num_frames") == [f"{utterance} {length}" for utterance, length in lengths.items()]
    succeeds(run("validate_data_dir", data))
    (data / "feats.ark").write_bytes(b"")
    assert "feats.ark" in fails(run("get_utt2num_frames", data))


def test_durations(data):
    for number, utterance in enumerate(UTTERANCES):
        write(data.parent / "audio" / f"{utterance}.wav", tone(0.25 * (number + 1)))
    assert "12 utterances" in succeeds(run("get_utt2dur", data))
    assert lines(data / "utt2dur") == [f"{u} {0.25 * (n + 1):.7g}" for n, u in enumerate(UTTERANCES)]
    succeeds(run("validate_data_dir", data))
    (data / "wav.scp").unlink()
    succeeds(run("get_utt2dur", "--frame-shift=0.02", data))
    assert lines(data / "utt2dur")[0] == "ann-0 1.96"


def test_durations_with_segments_find_the_one_out_of_range(data):
    for name in ("ann-0", "ann-1"):
        write(data.parent / "audio" / f"{name}.wav", tone(6))
    with_segments(data)
    (data / "reco2dur").unlink()
    succeeds(run("get_utt2dur", data))
    assert lines(data / "reco2dur") == ["r1 6", "r2 6"]
    assert lines(data / "utt2dur")[0] == "ann-0 0.9"
    edit("segments", lambda x: ["ann-0 r1 5 8", *x[1:]])(data)
    assert "utterance ann-0 from 5 to 8 s lies outside" in fails(run("validate_data_dir", data))


def test_durations_name_every_bad_recording(data):
    broken = broken_files(data.parent)
    (data / "wav.scp").write_text("".join(f"{name} {path}\n" for name, (path, _) in broken.items()))
    before = lines(data / "utt2dur")
    done = run("get_utt2dur", data)
    assert "cannot be read (named above)" in fails(done)
    assert lines(data / "utt2dur") == before
    for name in ("empty.wav", "truncated.wav", "text.wav", "missing.wav", "sphere.sph", "no_samples.wav"):
        path, words = broken[name]
        assert any(str(path) in line and words in line for line in done.stderr.splitlines())


def test_trials(data, tmp_path):
    assert "12 target and 54 nontarget" in succeeds(run("make_trials", data, tmp_path / "trials"))
    assert lines(tmp_path / "trials")[:3] == ["ann-0 ann-1 target", "ann-0 ann-2 target", "ann-0 bob-0 nontarget"]
    assert "12 target and 12 nontarget" in succeeds(run("make_trials", "--balanced", data, tmp_path / "balanced"))
    assert set(lines(tmp_path / "balanced")) < set(lines(tmp_path / "trials"))
    succeeds(run("subset_data_dir", "--per-spk", data, 1, tmp_path / "enrolment"))
    assert "4 nontarget" not in succeeds(run("make_trials", "--models", tmp_path / "enrolment", data, tmp_path / "m"))
    assert {line.split()[0] for line in lines(tmp_path / "m")} == set(SPEAKERS)
    assert "13 of each are wanted" in fails(run("make_trials", "--balanced", "--targets=13", data, tmp_path / "x"))
    assert "give both" in fails(run("make_trials", "--targets=13", data, tmp_path / "x"))


@pytest.mark.parametrize("program", ["split_data", "subset_data_dir", "make_trials", "filter_scp"])
def test_help_shows_an_example(program):
    assert f"utils/{program}.py" in succeeds(run(program, "--help"))


def test_trials_of_one_utterance_are_none_and_said_so(tmp_path, data):
    succeeds(run("subset_data_dir", "--first", data, "1", tmp_path / "one"))
    result = run("make_trials", tmp_path / "one", tmp_path / "trials")
    assert "warning: no target trials" in result.stderr
    assert "warning: no nontarget trials" in result.stderr
