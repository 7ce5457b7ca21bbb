"""make_mfcc, make_fbank and compute_vad_decision as commands on real files: complete, resumed, refused, repeated."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spkid.kaldi.lists import read_id_map
from spkid.kaldi.tables import MATRIX, VECTOR, read_table
from tests.shared import REPOSITORY

UTTERANCES = 12


def write_corpus(directory, utterances=UTTERANCES, prefix="spk"):
    """A data directory of noisy tones of different lengths: wav.scp, utt2spk, spk2utt."""
    random = np.random.default_rng(7)
    (directory / "wav").mkdir(parents=True, exist_ok=True)
    wav, utt2spk = [], []
    for number in range(utterances):
        utterance = f"{prefix}{number // 4}-utt{number:02d}"
        path = directory / "wav" / f"{utterance}.wav"
        seconds = 0.4 + 0.15 * ((number * 5) % 7)
        time_axis = np.arange(int(16000 * seconds)) / 16000
        wave = 0.2 * np.sin(2 * np.pi * (200 + 40 * number) * time_axis) * (time_axis % 0.4 < 0.25)
        soundfile.write(path, wave + 0.001 * random.standard_normal(len(wave)), 16000)
        wav.append(f"{utterance} {path}\n")
        utt2spk.append(f"{utterance} {prefix}{number // 4}\n")
    (directory / "wav.scp").write_text("".join(wav))
    (directory / "utt2spk").write_text("".join(utt2spk))
    write_spk2utt(directory)


def write_spk2utt(directory):
    speakers = {}
    for utterance, speaker in read_id_map(str(directory / "utt2spk")).items():
        speakers.setdefault(speaker, []).append(utterance)
    lines = [f"{speaker} {' '.join(members)}\n" for speaker, members in sorted(speakers.items())]
    (directory / "spk2utt").write_text("".join(lines))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("corpus") / "train"
    write_corpus(directory)
    return directory


@pytest.fixture
def recipe(tmp_path, corpus, monkeypatch):
    """A recipe's directory with data/train and configurations, as the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/train").mkdir(parents=True)
    for name in ("wav.scp", "utt2spk", "spk2utt"):
        shutil.copy(corpus / name, tmp_path / "data/train" / name)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mfcc.conf").write_text("# wide band\n--num-ceps=20\n--num-mel-bins=24\n--snip-edges=false\n")
    (tmp_path / "conf/fbank.conf").write_text("--num-mel-bins=40\n")
    (tmp_path / "conf/vad.conf").write_text("--vad-energy-threshold=5.5\n--vad-frames-context=2\n")
    return tmp_path


def step(name, *words, status=0):
    """Runs a step; returns what it said on both streams."""
    command = [sys.executable, str(REPOSITORY / "steps" / f"{name}.py"), *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == status, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


def make_mfcc(*words, status=0):
    return step("make_mfcc", *words, "data/train", "exp/make_mfcc", "mfcc", status=status)


def features(path="data/train/feats.scp"):
    return dict(read_table(f"scp:{path}", MATRIX))


def test_features_are_complete_in_order_and_described(recipe):
    said = make_mfcc("--nj", 3)
    assert f"mfcc of {UTTERANCES} of {UTTERANCES} utterances of data/train" in said
    utterances = list(read_id_map("data/train/utt2spk"))
    assert list(read_id_map("data/train/feats.scp")) == utterances
    frames = {utterance: str(len(matrix)) for utterance, matrix in features().items()}
    assert read_id_map("data/train/utt2num_frames") == frames
    durations = read_id_map("data/train/utt2dur")
    for utterance, path in read_id_map("data/train/wav.scp").items():
        assert float(durations[utterance]) == pytest.approx(soundfile.info(path).duration, abs=1e-4)
    record = json.loads(Path("data/train/feats.json").read_text())
    assert (record["type"], record["applied"]) == ("mfcc", [])
    assert record["options"]["num_ceps"] == 20
    assert record["options"]["snip_edges"] is False
    assert record["options"]["dither"] == 0.0
    log = Path("exp/make_mfcc/make_mfcc_train.1.log").read_text().splitlines()
    assert log[0].startswith("# compute-mfcc-feats ")
    assert "# Ended (code 0)" in log[-1]


def test_the_number_of_jobs_changes_no_value_and_repeats_nothing(recipe):
    make_mfcc("--nj", 1)
    alone = features()
    assert "done already" in make_mfcc("--nj", 3)
    said = make_mfcc("--nj", 3, "--force", "--cmd", "utils/run.py --max-jobs-run 1")
    assert "runs again: --force" in said
    together = features()
    assert alone.keys() == together.keys()
    assert all(np.array_equal(alone[utterance], together[utterance]) for utterance in alone)
    assert len(list(Path("mfcc").glob("*.ark"))) == 3
    make_mfcc("--nj", 2, "--force")
    assert len(list(Path("mfcc").glob("*.ark"))) == 2  # those of a third job are gone
    assert all(np.array_equal(alone[utterance], matrix) for utterance, matrix in features().items())


def test_fbank_plain_and_vad(recipe):
    step("make_fbank", "--compress", "false", "--nj", 2, "data/train", "exp/make_fbank", "fbank")
    assert {matrix.shape[1] for matrix in features().values()} == {40}
    make_mfcc("--compress=false", "--nj", 2)  # the same directory, another kind: no mixture is left
    assert json.loads(Path("data/train/feats.json").read_text())["type"] == "mfcc"
    frames = {utterance: len(matrix) for utterance, matrix in features().items()}
    said = step("compute_vad_decision", "--nj", 3, "data/train", "exp/make_vad", "mfcc")
    assert f"{UTTERANCES} of {UTTERANCES}" in said
    decisions = dict(read_table("scp:data/train/vad.scp", VECTOR))
    assert {utterance: len(vector) for utterance, vector in decisions.items()} == frames
    assert all(set(np.unique(vector)) <= {0.0, 1.0} for vector in decisions.values())
    assert 0 < np.concatenate(list(decisions.values())).mean() < 1
    assert "done already" in step("compute_vad_decision", "--nj", 1, "data/train", "exp/make_vad", "mfcc")
    make_mfcc("--nj", 2, "--force")
    assert "feats.scp changed" in step("compute_vad_decision", "data/train", "exp/make_vad", "mfcc")


def test_default_directories_are_kaldis(recipe):
    step("make_mfcc", "--nj", 2, "data/train")
    assert Path("data/train/log/make_mfcc_train.1.log").exists()
    assert Path("data/train/data/raw_mfcc_train.1.ark").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: Path("conf/mfcc.conf").write_text("--num-ceps=13\n"), "option snip_edges was False and is True"),
        (lambda: Path("data/train/feats.scp").unlink(), "output data/train/feats.scp is missing"),
        (lambda: Path("mfcc/raw_mfcc_train.1.ark").unlink(), "a file listed in output data/train/feats.scp changed"),
        (lambda: Path("mfcc/raw_mfcc_train.2.ark").write_bytes(b"x"), "a file listed in output data/train/feats.scp"),
    ],
)
def test_a_change_is_named_and_mended(recipe, change, reason):
    make_mfcc("--nj", 2)
    before = features()
    change()
    assert reason in make_mfcc("--nj", 2)
    assert features().keys() == before.keys()
    assert "done already" in make_mfcc("--nj", 2)


def test_only_the_part_whose_audio_changed_is_computed_again(recipe):
    copy = recipe / "replaced.wav"
    lines = Path("data/train/wav.scp").read_text().splitlines()
    shutil.copy(lines[0].split()[1], copy)
    Path("data/train/wav.scp").write_text("\n".join([f"{lines[0].split()[0]} {copy}", *lines[1:]]) + "\n")
    make_mfcc("--nj", 3)
    stamps = {path.name: path.stat().st_mtime_ns for path in Path("mfcc").glob("*.ark")}
    before = features()
    soundfile.write(copy, np.sin(np.arange(16000)), 16000)
    said = make_mfcc("--nj", 3)
    assert "a file listed in input data/train/wav.scp changed" in said
    assert "2 of 3 parts are finished" in said
    changed = [path.name for path in Path("mfcc").glob("*.ark") if path.stat().st_mtime_ns != stamps[path.name]]
    assert changed == ["raw_mfcc_train.1.ark"]
    now = features()
    different = [utterance for utterance in now if not np.array_equal(now[utterance], before[utterance])]
    assert different == [lines[0].split()[0]]


def test_a_killed_run_goes_on_where_it_was(recipe):
    """Part 2 of 3 cannot run at first (its launcher call fails): parts 1 and 3 are kept."""
    (recipe / "flaky.py").write_text(
        "import subprocess, sys\n"
        f"words = [sys.executable, {str(REPOSITORY / 'utils/run.py')!r}]\n"
        "status = subprocess.run([*words, 'JOB=1,3', *sys.argv[2:]], close_fds=False).returncode\n"
        "sys.exit(status or 1)\n"
    )
    said = make_mfcc("--nj", 3, "--cmd", "flaky.py", status=1)
    assert "make_mfcc_train.2.log" in said
    assert not Path("data/train/feats.scp").exists()
    stamps = {path.name: path.stat().st_mtime_ns for path in Path("mfcc").glob("*.ark")}
    assert sorted(stamps) == ["raw_mfcc_train.1.ark", "raw_mfcc_train.3.ark"]
    said = make_mfcc("--nj", 3)
    assert "goes on: 2 of 3 parts are finished" in said
    assert all((Path("mfcc") / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    resumed = features()
    for name in ("utt2num_frames", "utt2dur"):
        assert list(read_id_map(f"data/train/{name}")) == list(resumed)
    make_mfcc("--nj", 1, "--force")
    whole = features()
    assert all(np.array_equal(resumed[utterance], whole[utterance]) for utterance in whole)


def test_a_run_killed_in_the_middle_leaves_nothing_half(recipe):
    slow = recipe / "slow.sh"
    slow.write_text('#!/bin/sh\nsleep 1\ncat "$1"\n')
    slow.chmod(0o755)
    scp = read_id_map("data/train/wav.scp")
    Path("data/train/wav.scp").write_text("".join(f"{key} {slow} {path} |\n" for key, path in scp.items()))
    program = str(REPOSITORY / "steps/make_mfcc.py")
    command = [sys.executable, program, "--nj", "2", "data/train", "exp/make_mfcc", "mfcc"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: "compute-mfcc-feats --config" in read("exp/make_mfcc/make_mfcc_train.1.log"))
    second = make_mfcc(status=1)
    assert f"in use by process {process.pid}" in second
    process.terminate()
    assert process.wait(timeout=20) == 143
    assert not Path("data/train/feats.scp").exists()
    assert not list(Path("mfcc").glob("*.ark"))
    Path("data/train/wav.scp").write_text("".join(f"{key} {path}\n" for key, path in scp.items()))
    make_mfcc("--nj", 2)
    assert len(features()) == UTTERANCES


def test_two_sets_share_the_directories_at_the_same_time(recipe):
    write_corpus(recipe / "data/test", 8, "other")
    commands = [
        [sys.executable, str(REPOSITORY / "steps/make_mfcc.py"), "--nj", "2", f"data/{name}", "exp/make_mfcc", "mfcc"]
        for name in ("train", "test")
    ]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert (len(features()), len(features("data/test/feats.scp"))) == (UTTERANCES, 8)
    shutil.copytree("data/test", "more/train")
    Path("more/train/feats.scp").unlink()
    said = step("make_mfcc", "more/train", "exp/make_mfcc", "mfcc", status=1)
    assert "belong to data/train" in said


def test_segments(recipe):
    wav = read_id_map("data/train/wav.scp")
    segments = [f"{name}-{part} {name} {0.2 * part:.2f} {0.2 * part + 0.15:.2f}\n" for name in wav for part in (0, 1)]
    Path("data/train/segments").write_text("".join(segments))
    Path("data/train/utt2spk").write_text("".join(f"{line.split()[0]} {line.split('-')[0]}\n" for line in segments))
    write_spk2utt(Path("data/train"))
    make_mfcc("--nj", 3)
    assert list(features()) == [line.split()[0] for line in segments]
    assert set(read_id_map("data/train/utt2num_frames").values()) == {"15"}


def test_a_corrupt_file_is_named_counted_and_kept_out(recipe):
    bad = recipe / "bad.wav"
    bad.write_bytes(b"RIFF not audio at all")
    scp = read_id_map("data/train/wav.scp")
    victim = list(scp)[5]
    scp[victim] = str(bad)
    Path("data/train/wav.scp").write_text("".join(f"{key} {path}\n" for key, path in scp.items()))
    # a job for each utterance, so that one job has nothing to show; 11 of 12 is less than 95%
    said = make_mfcc("--nj", 50, status=1)
    assert f"{victim} is left out" in said
    assert "bad.wav" in said
    assert "11 of 12" in said
    assert not Path("data/train/feats.scp").exists()
    said = make_mfcc("--nj", 50, "--min-fraction", "0.9")
    assert "mfcc of 11 of 12 utterances" in said
    assert victim not in features()
    assert len(features()) == UTTERANCES - 1
    record = json.loads(Path("mfcc/make_mfcc_train/.done.json").read_text())
    assert list(record["ids"]["failed"]) == [victim]
    assert Path("mfcc/make_mfcc_train/failed").read_text().startswith(f"{victim} ")
    said = step("compute_vad_decision", "data/train", "exp/make_vad", "mfcc")
    assert "11 of 11" in said


def test_bad_input_is_found_before_any_work(recipe):
    Path("data/train/spk2utt").unlink()
    assert "spk2utt" in make_mfcc(status=1)
    assert not Path("mfcc").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--mfcc-config", "conf/none.conf"], ["conf/none.conf", "no such file"]),
        (["--mfcc-confg", "conf/mfcc.conf"], ["unknown option --mfcc-confg", "--mfcc-config"]),
        (["--nj", "0"], ["--nj is at least 1"]),
        (["--cmd", "no/launcher"], ["no/launcher"]),
    ],
)
def test_wrong_options_are_one_sentence(recipe, words, parts):
    said = make_mfcc(*words, status=1)
    assert len(said.splitlines()) == 1
    for part in parts:
        assert part in said


def test_an_unknown_key_in_the_configuration_is_named(recipe):
    Path("conf/mfcc.conf").write_text("--num-cep=20\n")
    said = make_mfcc(status=1)
    assert "--num-cep" in said
    assert "--num-ceps" in said


def test_ids_and_names_with_odd_characters_never_reach_a_shell(recipe):
    ids = sorted(["a$(id>trap)", "b;c", "d'e", "f`id>trap`g", 'h"i', "j*k", "lüm", "n\\o", "p|q", "r&s", "t>u", "#v"])
    scp = read_id_map("data/train/wav.scp")
    odd = recipe / "data" / "odd's $(touch trap) & set"
    odd.mkdir()
    (odd / "wav.scp").write_text("".join(f"{key} {path}\n" for key, path in zip(ids, scp.values(), strict=True)))
    (odd / "utt2spk").write_text("".join(f"{key} {key}\n" for key in ids))
    (odd / "spk2utt").write_text("".join(f"{key} {key}\n" for key in ids))
    step("make_mfcc", "--nj", 3, odd, "exp/odd dir", "mfcc $x;y")
    step("compute_vad_decision", "--nj", 3, odd, "exp/odd dir", "mfcc $x;y")
    assert list(features(odd / "feats.scp")) == ids
    assert not list(recipe.rglob("trap*"))


def test_an_unwritable_directory_is_one_sentence(recipe):
    (recipe / "mfcc").write_text("a file where the directory should be")
    said = make_mfcc(status=1)
    assert "mfcc" in said
    assert len(said.splitlines()) == 1
    if os.geteuid() != 0:  # the superuser writes anywhere
        (recipe / "mfcc").unlink()
        (recipe / "mfcc").mkdir(mode=0o500)
        assert "Permission denied" in make_mfcc(status=1)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(recipe):
    disk = recipe / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small file system to fill: {mounted.stderr.strip()}")
    try:
        said = step("make_mfcc", "--compress=false", "--nj", 2, "data/train", "exp/make_mfcc", disk, status=1)
        assert "No space left on device" in said
        assert not Path("data/train/feats.scp").exists()
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        step("make_mfcc", "--compress=false", "--nj", 2, "data/train", "exp/make_mfcc", disk)
        assert len(features()) == UTTERANCES
    finally:
        subprocess.run(["umount", disk], check=True)


def read(path):
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
