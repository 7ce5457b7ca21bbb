"""steps/data: copies with noise and in rooms, as Kaldi writes them; the same every time; ratios as stated."""

import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spkid.audio import read_audio, write_wav
from spkid.audio.room_lists import Response, RoomNoise, write_room_list
from spkid.kaldi import DataDir
from spkid.kaldi.lists import write_id_map
from tests.shared import REPOSITORY
from tests.steps.running import refuse, succeed

RATE = 8000
AUGMENT, REVERBERATE = "data/augment_data_dir.py", "data/reverberate_data_dir.py"


def samples_of(seed, seconds, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def write_dir(directory: Path, recordings: dict[str, np.ndarray], **tables: dict) -> DataDir:
    directory.mkdir(parents=True)
    paths = {}
    for name, samples in recordings.items():
        paths[name] = directory / f"wäv of {name}.wav"
        write_wav(str(paths[name]), samples, RATE)
    write_id_map(directory / "wav.scp", paths)
    tables.setdefault("utt2spk", {name: name.partition("-")[0] for name in recordings})
    for name, table in tables.items():
        write_id_map(directory / name, table)
    speakers = {}
    for utterance, speaker in tables["utt2spk"].items():
        speakers.setdefault(speaker, []).append(utterance)
    write_id_map(directory / "spk2utt", {speaker: " ".join(sorted(own)) for speaker, own in speakers.items()})
    return DataDir(directory)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """data/train of four utterances with what earlier stages left there, data/noise of three noises, room lists."""
    monkeypatch.chdir(tmp_path)
    recordings = {f"s{n // 2}-u{n}": samples_of(n, 1 + 0.25 * n) for n in range(4)}
    write_dir(Path("data/train"), recordings, spk2gender={"s0": "f", "s1": "m"})
    archive = Path("vad.ark").resolve()
    archive.write_bytes(b"\0")
    for name in ("vad.scp", "feats.scp"):
        write_id_map(f"data/train/{name}", dict.fromkeys(recordings, f"{archive}:0"))
    write_id_map("data/train/utt2num_frames", dict.fromkeys(recordings, 98))
    write_dir(Path("data/noise"), {f"n{n}": samples_of(10 + n, 0.3 + 0.1 * n, 0.02 * (n + 1)) for n in range(3)})
    rooms = {}
    for number in range(4):
        response = samples_of(20 + number, 0.1, 0.3) * np.exp(-np.arange(RATE // 10) / 80).astype(np.float32)
        response[8] = 1
        rooms[f"r{number}"] = response
    write_dir(Path("data/rirs"), rooms)
    paths = DataDir("data/rirs").wav_scp
    write_room_list("rir_list", [Response(name, f"room{n // 2}", paths[name]) for n, name in enumerate(rooms)])
    noises = list(DataDir("data/noise").wav_scp.values())
    write_room_list(
        "noise_list",
        [
            RoomNoise("1", noises[0], isotropic=True, room="room0"),
            RoomNoise("2", noises[1], background=False),
            RoomNoise("3", noises[2], background=True),
        ],
    )
    return tmp_path


def options_of(entry: str) -> dict[str, str]:
    words = shlex.split(entry.removesuffix("|"))
    assert words[0] == "wav-reverberate"
    return dict(word[2:].split("=", 1) for word in words if word.startswith("--"))


def test_foreground_noises_follow_one_another(recipe):
    words = ["--utt-suffix", "noise", "--fg-interval", 1, "--fg-snrs", "15:10:5:0", "--fg-noise-dir", "data/noise"]
    assert "4 recordings of data/train with noise" in succeed(AUGMENT, *words, "data/train", "data/train_noise")
    copy = DataDir("data/train_noise")
    copy.check(needs=("utt2spk", "wav.scp", "vad.scp"))
    assert copy.utterances == ["s0-u0-noise", "s0-u1-noise", "s1-u2-noise", "s1-u3-noise"]
    assert copy.speakers == ["s0", "s1"]
    assert copy.read("utt2uniq")["s1-u2-noise"] == "s1-u2"
    assert copy.read("spk2gender") == {"s0": "f", "s1": "m"}
    assert not copy.has("feats.scp")
    assert not copy.has("utt2num_frames")
    durations = {path: 0.3 + 0.1 * n for n, path in enumerate(DataDir("data/noise").wav_scp.values())}
    for number, entry in enumerate(copy.wav_scp.values()):
        options = options_of(entry)
        starts = [float(start) for start in options["start-times"].split(",")]
        lengths = [durations[path] for path in options["additive-signals"].split(",")]
        assert starts[0] == 0
        for start, following, length in zip(starts, starts[1:], lengths, strict=False):
            assert following == pytest.approx(start + length + 1, abs=0.02)
        assert starts[-1] < 1 + 0.25 * number <= starts[-1] + lengths[-1] + 1
        assert set(options["snrs"].split(",")) <= {"15", "10", "5", "0"}
        assert len(read_audio(entry)[0]) == RATE * (1 + 0.25 * number), "as long as the original: vad.scp fits"


@pytest.mark.parametrize("snr", [0, 10])
def test_background_noise_has_the_stated_ratio(snr, recipe):
    words = ["--utt-suffix", "babble", "--bg-snrs", snr, "--num-bg-noises", "1", "--bg-noise-dir", "data/noise"]
    succeed(AUGMENT, *words, "data/train", "data/copy")
    for utterance, entry in DataDir("data/copy").wav_scp.items():
        noisy = read_audio(entry)[0].astype(np.float64)
        speech = read_audio(DataDir("data/train").wav_scp[utterance.removesuffix("-babble")])[0].astype(np.float64)
        scale = noisy @ speech / (speech @ speech)
        rest = noisy - scale * speech
        assert 10 * np.log10(np.mean((scale * speech) ** 2) / np.mean(rest**2)) == pytest.approx(snr, abs=0.6)


def test_babble_is_of_several_voices_as_long_as_the_speech(recipe):
    words = ["--utt-suffix", "babble", "--num-bg-noises", "3:4:5", "--bg-noise-dir", "data/noise"]
    succeed(AUGMENT, *words, "data/train", "data/copy")
    for number, entry in enumerate(DataDir("data/copy").wav_scp.values()):
        noises = options_of(entry)["additive-signals"].split(",")
        assert 3 <= len(noises) <= 5
        assert all(f"--duration={1 + 0.25 * number:g} " in noise for noise in noises)


def test_the_same_every_time_and_whatever_else_is_there(recipe):
    words = ["--utt-suffix", "x", "--fg-noise-dir", "data/noise", "--bg-noise-dir", "data/noise"]
    succeed(AUGMENT, *words, "data/train", "data/one")
    succeed("subset_data_dir.py", "data/train", 2, "data/some")
    succeed(AUGMENT, *words, "data/some", "data/two")
    succeed(AUGMENT, *words, "--random-seed", 1, "data/train", "data/three")
    one, two, three = (DataDir(f"data/{name}").wav_scp for name in ("one", "two", "three"))
    assert {name: one[name] for name in two} == two
    assert one != three
    assert "done already" in succeed(AUGMENT, *words, "data/train", "data/one")
    assert "option random_seed was 123" in succeed(AUGMENT, *words, "--random-seed", 5, "data/train", "data/one")


def test_speakers_of_copies_can_be_others(recipe):
    words = ["--utt-suffix", "x", "--modify-spk-id", "true", "--bg-noise-dir", "data/noise"]
    succeed(AUGMENT, *words, "data/train", "data/one")
    assert DataDir("data/one").speakers == ["s0-x", "s1-x"]


@pytest.mark.parametrize("program", [AUGMENT, REVERBERATE])
def test_segments_are_of_the_copies_recordings(program, recipe):
    segments = {"s0-a": "s0-u0 0 0.5", "s0-b": "s0-u0 0.5 1", "s1-a": "s1-u2 0.1 1.2"}
    recordings = {"s0-u0": samples_of(0, 1), "s1-u2": samples_of(1, 1.5)}
    utt2spk = {name: name[:2] for name in segments}
    write_dir(Path("data/segmented"), recordings, segments=segments, utt2spk=utt2spk)
    if program == AUGMENT:
        words, rename = ["--utt-suffix", "x", "--bg-noise-dir", "data/noise"], "{}-x".format
    else:
        words, rename = ["--rir-set-parameters", "rir_list", "--prefix", "rev"], "rev1-{}".format
    succeed(program, *words, "data/segmented", "data/copy")
    copy = DataDir("data/copy")
    copy.check(needs=("utt2spk", "wav.scp", "segments"))
    assert copy.utterances == sorted(map(rename, segments))
    assert copy.segments[rename("s0-b")].recording == rename("s0-u0")
    assert sorted(copy.wav_scp) == sorted(map(rename, recordings))


def test_lines_run_in_a_shell(recipe):
    """What Kaldi's tools would do with the entry: run it."""
    words = ["--utt-suffix", "x", "--bg-noise-dir", "data/noise", "--fg-noise-dir", "data/noise"]
    succeed(AUGMENT, *words, "data/train", "data/copy")
    entry = next(iter(DataDir("data/copy").wav_scp.values()))
    script = f"PATH={Path(sys.executable).parent}:$PATH; {entry.removesuffix('|')}"
    done = subprocess.run(script, shell=True, capture_output=True, check=True)
    Path("by_shell.wav").write_bytes(done.stdout)
    np.testing.assert_array_equal(read_audio("by_shell.wav")[0], read_audio(entry)[0])


def test_rooms(recipe):
    words = [
        "--rir-set-parameters",
        "0.5, rir_list",
        "--rir-set-parameters",
        "rir_list",
        "--source-sampling-rate",
        RATE,
    ]
    assert "one copy of the 4 recordings" in succeed(REVERBERATE, *words, "data/train", "data/reverb")
    copy = DataDir("data/reverb")
    assert copy.utterances == DataDir("data/train").utterances, "ids of a single copy stay, as in Kaldi"
    responses = set(DataDir("data/rirs").wav_scp.values())
    for utterance, entry in copy.wav_scp.items():
        assert options_of(entry)["impulse-response"] in responses
        clean, reverberant = read_audio(DataDir("data/train").wav_scp[utterance])[0], read_audio(entry)[0]
        assert len(clean) == len(reverberant)
        assert np.mean(reverberant**2) == pytest.approx(np.mean(clean**2), rel=0.1)
    assert copy.has("vad.scp")


def test_replications_and_the_original(recipe):
    words = ["--rir-set-parameters", "rir_list", "--num-replications", 2, "--include-original-data", "true"]
    succeed(REVERBERATE, *words, "data/train", "data/rvb")
    copy = DataDir("data/rvb")
    copy.check(needs=("utt2spk", "wav.scp", "vad.scp", "utt2uniq"))
    assert len(copy.utterances) == 12
    assert copy.speakers == ["rvb0-s0", "rvb0-s1", "rvb1-s0", "rvb1-s1", "rvb2-s0", "rvb2-s1"]
    assert copy.wav_scp["rvb0-s0-u0"] == DataDir("data/train").wav_scp["s0-u0"]
    assert copy.wav_scp["rvb1-s0-u0"] != copy.wav_scp["rvb2-s0-u0"]
    assert Counter(copy.read("utt2uniq").values()) == dict.fromkeys(DataDir("data/train").utterances, 3)


def test_noises_of_the_room_and_from_points(recipe):
    words = ["--rir-set-parameters", "rir_list", "--noise-set-parameters", "noise_list", "--background-snrs", "7"]
    words += ["--foreground-snrs", "13", "--max-noises-per-minute", 120]
    succeed(REVERBERATE, *words, "--num-replications", 5, "data/train", "data/rvb")
    rooms = {path: f"room{n // 2}" for n, path in enumerate(DataDir("data/rirs").wav_scp.values())}
    isotropic, foreground, background = DataDir("data/noise").wav_scp.values()
    seen = Counter()
    for entry in DataDir("data/rvb").wav_scp.values():
        options = options_of(entry)
        room = rooms[options["impulse-response"]]
        noises = options.get("additive-signals", "").split(",")
        snrs = options.get("snrs", "").split(",")
        starts = options.get("start-times", "").split(",")
        for noise, snr, start in zip(noises, snrs, starts, strict=True):
            inner = options_of(noise)
            kind = next(path for path in (isotropic, foreground, background) if path in noise)
            seen[kind] += 1
            assert snr == ("13" if kind == foreground else "7")
            assert ("duration" in inner) == (kind != foreground)
            assert kind == foreground or start == "0"
            if kind == isotropic:
                assert room == "room0"
            else:
                assert rooms[inner["impulse-response"]] == room, "a point of the same room"
        read_audio(entry)
    assert min(seen.values()) > 0
    assert len(seen) == 3


def test_probabilities_of_nothing(recipe):
    words = ["--rir-set-parameters", "rir_list", "--noise-set-parameters", "noise_list", "--speech-rvb-probability", 0]
    words += ["--pointsource-noise-addition-probability", 0, "--isotropic-noise-addition-probability", 0]
    succeed(REVERBERATE, *words, "data/train", "data/same")
    assert DataDir("data/same").wav_scp == DataDir("data/train").wav_scp


def test_weights_are_how_often_a_list_is_drawn_from(recipe):
    paths = list(DataDir("data/rirs").wav_scp.values())
    write_room_list("often", [Response("a", "A", paths[0])])
    write_room_list("seldom", [Response("b", "B", paths[1]), Response("c", "C", paths[2])])
    words = ["--rir-set-parameters", "0.75, often", "--rir-set-parameters", "seldom", "--num-replications", 100]
    succeed(REVERBERATE, *words, "data/train", "data/rvb")
    drawn = Counter(options_of(entry)["impulse-response"] for entry in DataDir("data/rvb").wav_scp.values())
    assert drawn[paths[0]] / drawn.total() == pytest.approx(0.75, abs=0.08)
    assert drawn[paths[1]] / drawn.total() == pytest.approx(0.125, abs=0.06)


def test_without_shift_what_counts_on_the_length_goes(recipe):
    words = ["--rir-set-parameters", "rir_list", "--shift-output", "false"]
    succeed(REVERBERATE, *words, "data/train", "data/longer")
    copy = DataDir("data/longer")
    assert not copy.has("vad.scp")
    entry = copy.wav_scp["s0-u0"]
    assert len(read_audio(entry)[0]) == RATE + RATE // 10 - 1


def test_the_stages_of_voxceleb_v2(recipe):
    """Stages 2 and 3 of Kaldi's egs/voxceleb/v2/run.sh, with utils/*.sh as utils/*.py."""
    words = ["--rir-set-parameters", "0.5, rir_list", "--rir-set-parameters", "0.5, rir_list"]
    words += ["--speech-rvb-probability", 1, "--pointsource-noise-addition-probability", 0]
    words += ["--isotropic-noise-addition-probability", 0, "--num-replications", 1, "--source-sampling-rate", RATE]
    succeed(REVERBERATE, *words, "data/train", "data/train_reverb")
    succeed("copy_data_dir.py", "--utt-suffix=-reverb", "data/train_reverb", "data/train_reverb.new")
    options = {
        "noise": ["--fg-interval", 1, "--fg-snrs", "15:10:5:0", "--fg-noise-dir", "data/noise"],
        "music": ["--bg-snrs", "15:10:8:5", "--num-bg-noises", 1, "--bg-noise-dir", "data/noise"],
        "babble": ["--bg-snrs", "20:17:15:13", "--num-bg-noises", "3:4:5:6:7", "--bg-noise-dir", "data/noise"],
    }
    for name, words in options.items():
        succeed(AUGMENT, "--utt-suffix", name, *words, "data/train", f"data/train_{name}")
    copies = ["data/train_reverb.new", *(f"data/train_{name}" for name in options)]
    succeed("combine_data.py", "data/train_aug", *copies)
    succeed("subset_data_dir.py", "data/train_aug", 10, "data/train_aug_10")
    succeed("fix_data_dir.py", "data/train_aug_10")
    succeed("combine_data.py", "data/train_combined", "data/train_aug_10", "data/train")
    combined = DataDir("data/train_combined")
    combined.check(needs=("wav.scp", "vad.scp"))
    assert len(combined.utterances) == 10 + 4
    assert combined.speakers == ["s0", "s1"], "copies are of the same speakers"
    assert not combined.has("feats.scp"), "features of some only"


@pytest.mark.parametrize(
    ("program", "words", "sentence"),
    [
        (AUGMENT, ["--utt-suffix", "x", "data/train", "data/x"], "--fg-noise-dir, --bg-noise-dir or both"),
        (AUGMENT, ["--bg-noise-dir", "data/noise", "data/train", "data/x"], "a copy needs other ids"),
        (AUGMENT, ["--utt-suffix", "x", "--bg-noise-dir", "nowhere", "data/train", "data/x"], "nowhere"),
        (
            AUGMENT,
            ["--utt-suffix", "x", "--bg-snrs", "15,10", "--bg-noise-dir", "data/noise", "data/train", "data/x"],
            "numbers between colons",
        ),
        (
            AUGMENT,
            ["--utt-suffix", "x", "--num-bg-noises", "0", "--bg-noise-dir", "data/noise", "data/train", "data/x"],
            "--num-bg-noises takes whole numbers",
        ),
        (REVERBERATE, ["--rir-set-parameters", "nowhere", "data/train", "data/x"], "nowhere: no such file"),
        (REVERBERATE, ["--rir-set-parameters", "0.5 rirs", "data/train", "data/x"], "write '0.5, rir_list'"),
        (REVERBERATE, ["--rir-set-parameters", "2, rir_list", "data/train", "data/x"], "no weight from 0 to 1"),
        (REVERBERATE, ["--rir-set-parameters", "0, rir_list", "data/train", "data/x"], "nothing could be drawn"),
        (REVERBERATE, ["--rir-set-parameters", "noise_list", "data/train", "data/x"], "expected '--rir-id"),
        (
            REVERBERATE,
            ["--rir-set-parameters", "rir_list", "--source-sampling-rate", "16000", "data/train", "data/x"],
            "there is no sox",
        ),
    ],
)
def test_mistakes(program, words, sentence, recipe, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert sentence in refuse(program, *words)


def test_noises_and_responses_of_another_rate(recipe):
    for path in DataDir("data/noise").wav_scp.values():
        write_wav(path, samples_of(0, 1), 2 * RATE)
    for path in DataDir("data/rirs").wav_scp.values():
        write_wav(path, samples_of(0, 0.1), 2 * RATE)
    said = refuse(AUGMENT, "--utt-suffix", "x", "--bg-noise-dir", "data/noise", "data/train", "data/x")
    assert "is sampled at 16000 Hz and recording s0-u0 of data/train at 8000 Hz" in said
    said = refuse(REVERBERATE, "--rir-set-parameters", "rir_list", "data/train", "data/y")
    assert "give --source-sampling-rate" in said


def test_a_comma_in_a_noise_s_name(recipe):
    write_dir(Path("data/o,dd"), {"n": samples_of(0, 1)})
    words = ["--utt-suffix", "x", "--bg-noise-dir", "data/o,dd"]
    assert "cannot hold a comma" in refuse(AUGMENT, *words, "data/train", "data/x")


@pytest.mark.parametrize("program", [AUGMENT, REVERBERATE])
def test_help_shows_an_example(program):
    words = [sys.executable, REPOSITORY / "steps" / program, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "Example:" in done.stdout
