"""What happens to crops: each transform does what it says, and the same wherever it is done."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from spkid.audio import WaveOptions
from spkid.audio.reverberation import power
from spkid.data.audio_batches import AudioBatches
from spkid.data.audio_options import audio_options
from spkid.data.audio_source import AudioSource, SpeechFrames
from spkid.data.augment_band import limit_band
from spkid.data.augment_room import put_into_room, simulate_response
from spkid.data.augmentation import (
    AUGMENTATIONS,
    augmentation_directories,
    build_augmentation,
    check_augmentation,
    copies_of_speakers,
)
from spkid.data.batches import SpecAugment, chunk_rng, iterate
from spkid.data.crops import Cropper
from spkid.data.plan import EpochPlan
from spkid.kaldi import InputError
from spkid.kaldi.tables import write_id_map
from tests.data.audio_data import RATE, archive, make_audio, voice, write_vad
from tests.shared import corpora

torch.set_num_threads(1)
OPTIONS = audio_options("fbank", {"num_mel_bins": 20})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train with audio and decisions on speech; noise, voices, rooms to augment with."""
    folder = tmp_path_factory.mktemp("augmentation")
    train = make_audio(folder / "train", speakers=3, utterances=4)
    source = AudioSource(train, WaveOptions(RATE))
    write_vad(train, {name: source.length(index) for index, name in enumerate(source.ids)}, OPTIONS)
    archive(folder / "noise", {"short": voice(500, 0.4), "long": voice(501, 3.0)})
    archive(folder / "voices", {f"v{number}": voice(600 + number, 1.5) for number in range(8)})
    rng = np.random.default_rng(0)
    archive(folder / "rooms", {f"r{number}": 0.5 * simulate_response(rng, RATE, 0.3, 3.0) for number in range(4)})
    return folder


def rng(draw: int = 0) -> np.random.Generator:
    return chunk_rng(0, 0, "utterance", draw)


def build(*sections):
    return build_augmentation(sections, RATE)


def every_kind(folder) -> list[dict]:
    choices = [
        {"name": "none"},
        {"name": "noise", "dir": str(folder / "noise")},
        {"name": "music", "dir": str(folder / "noise"), "probability": 0.7},
        {"name": "babble", "dir": str(folder / "voices")},
        {"name": "reverberation", "dir": str(folder / "rooms")},
        {"name": "simulated_room"},
    ]
    return [
        {"name": "speed", "new_speakers": True},
        {"name": "one_of", "choices": choices},
        {"name": "band_limit", "probability": 0.5},
        {"name": "gain", "probability": 0.5},
    ]


# The same wherever it is done


@pytest.mark.parametrize("vad", [False, True])
def test_batches_are_the_same_bytes_whatever_the_number_of_processes(folder, vad):
    source = AudioSource(folder / "train", WaveOptions(RATE))
    cropper = Cropper(source, OPTIONS, SpeechFrames(folder / "train") if vad else None)
    labels = np.arange(12) // 4
    plan = EpochPlan(np.arange(12).reshape(3, 4), np.zeros((3, 4), int), np.array([40, 60, 50]))
    chain, masks = build(*every_kind(folder)), SpecAugment(1, 5, 1, 3)

    def read(workers, numbers=(0, 1, 2), epoch=0):
        batches = AudioBatches(cropper, labels, 3, plan, 0, epoch, chain, masks, 20)
        batches = pickle.loads(pickle.dumps(batches))  # processes may be started in any way
        found = []
        for one in iterate(batches, list(numbers), workers):
            parts = (one.inputs, one.labels, one.frames, one.masks)
            found.append((one.ids, [None if part is None else part.numpy().tobytes() for part in parts]))
        return found

    expected = read(0)
    assert read(1) == expected
    assert read(2) == expected
    assert read(0, (1, 2)) == expected[1:]  # an interrupted epoch
    assert read(0, epoch=1) != expected


def test_transforms_can_be_sent_to_processes_started_afresh(folder):
    chain = pickle.loads(pickle.dumps(build(*every_kind(folder))))
    wave = voice(1, 1.0)
    expected = [build(*every_kind(folder)).apply(wave, rng(draw)) for draw in range(8)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(chain.apply, [(wave, rng(draw)) for draw in range(8)])
    assert all(np.array_equal(left, right) for left, right in zip(found, expected, strict=True))


def test_lengths_stay_and_signals_are_not_written_to(folder):
    chain = build(*every_kind(folder))
    for draw in range(40):
        wave = voice(draw, 0.6)
        before = wave.copy()
        changed = chain.apply(wave, rng(draw))
        assert changed.shape == wave.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        assert np.array_equal(wave, before)


def test_probabilities(folder):
    wave = voice(1, 0.2)
    for name, options in (("gain", {}), ("noise", {"dir": str(folder / "noise")})):
        chain = build({"name": name, "probability": 0.3, **options})
        changed = sum(not np.array_equal(chain.apply(wave, rng(draw)), wave) for draw in range(400))
        assert 80 < changed < 160
    choices = [{"name": "none"}, {"name": "gain", "db": [6, 6]}, {"name": "gain", "db": [-6, -6]}]
    chain = build({"name": "one_of", "choices": choices})
    levels = [round(10 * np.log10(power(chain.apply(wave, rng(draw))) / power(wave))) for draw in range(600)]
    assert all(150 < levels.count(level) < 250 for level in (-6, 0, 6))


# What each does


@pytest.mark.parametrize(("name", "files"), [("noise", 1), ("music", 1), ("babble", 4)])
def test_noise_has_the_ratio_asked_for(folder, name, files):
    wave = voice(1, 1.0)
    directory = str(folder / ("voices" if name == "babble" else "noise"))
    chain = build({"name": name, "dir": directory, "snr": [7, 7], "files": [files, files]})
    for draw in range(20):
        added = chain.apply(wave, rng(draw)) - wave
        ratio = 10 * np.log10(power(wave) / power(added))
        assert ratio == pytest.approx(7 - 10 * np.log10(files), abs=0.02 if files == 1 else 1.0)


def test_noise_is_a_part_of_the_file_or_the_file_repeated(folder):
    short, long = voice(500, 0.4), voice(501, 3.0)
    wave = voice(1, 1.0)
    windows = {
        name: np.lib.stride_tricks.sliding_window_view(signal, len(wave))[: len(part)]
        for name, part, signal in (("short", short, np.tile(short, 4)), ("long", long, long))
    }
    chain = build({"name": "noise", "dir": str(folder / "noise"), "snr": [0, 0]})
    places = set()
    for draw in range(12):
        added = chain.apply(wave, rng(draw)) - wave
        likeness = {
            name: np.array([rows[:, :50] @ added[:50] / np.linalg.norm(rows[:, :50], axis=1)]).ravel()
            for name, rows in windows.items()
        }
        name = max(likeness, key=lambda one: likeness[one].max())
        place = int(likeness[name].argmax())
        assert np.corrcoef(windows[name][place], added)[0, 1] > 0.9999
        places.add((name, place))
    assert len(places) > 8
    assert {name for name, _ in places} == {"short", "long"}


def test_silent_noise_adds_nothing(tmp_path):
    archive(tmp_path, {"silence": np.zeros(8000, np.float32)})
    wave = voice(1, 0.3)
    chain = build({"name": "noise", "dir": str(tmp_path)})
    assert np.array_equal(chain.apply(wave, rng()), wave)
    silence = np.zeros(800, np.float32)
    assert np.array_equal(chain.apply(silence, rng()), silence)


def test_a_room_is_a_convolution_without_its_delay():
    wave = voice(1, 0.5)
    response = np.zeros(4000, np.float32)
    response[1000], response[1800] = 0.8, -0.6  # unit energy
    wet = put_into_room(wave, response, keep_power=False)
    expected = 0.8 * wave
    expected[800:] -= 0.6 * wave[:-800]
    np.testing.assert_allclose(wet, expected, atol=1e-5)
    np.testing.assert_allclose(put_into_room(wave, 30 * response, keep_power=False), expected, atol=1e-5)
    assert power(put_into_room(wave, 30 * response, keep_power=True)) == pytest.approx(power(wave), rel=1e-4)


@pytest.mark.parametrize(("rt60", "ratio"), [(0.2, 0.0), (0.8, 10.0), (0.5, -5.0)])
def test_simulated_rooms_decay_as_asked(rt60, ratio):
    responses = [simulate_response(np.random.default_rng(seed), RATE, rt60, ratio) for seed in range(60)]
    for response in responses:
        tail = response[1:]
        assert 10 * np.log10(response[0] ** 2 / np.square(tail).sum()) == pytest.approx(ratio, abs=0.01)
        assert np.flatnonzero(tail)[0] >= 0.002 * RATE - 2
    tails = [response[np.flatnonzero(response)[1] :] for response in responses]
    energy = np.mean([np.square(tail) for tail in tails], axis=0)
    half = len(energy) // 2
    early, late = energy[: half // 10].mean(), energy[half : half + half // 10].mean()
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=2)  # half of the time, half of the 60 dB


def test_a_band_is_kept_and_the_rest_is_gone():
    time = np.arange(RATE) / RATE
    frequencies = (100, 1000, 3000, 6000)
    wave = sum(np.sin(2 * np.pi * frequency * time) for frequency in frequencies).astype(np.float32)
    limited = limit_band(wave, RATE, 300, 3400)
    for frequency in frequencies:
        left = 2 * abs(limited @ np.exp(-2j * np.pi * frequency * time)) / RATE
        assert left == pytest.approx(1.0 if frequency in (1000, 3000) else 0.0, abs=2e-3), frequency
    np.testing.assert_allclose(limit_band(wave, RATE, 0, 8000), wave, atol=1e-5)


def test_speed_is_drawn_and_makes_speakers(folder):
    plain = build({"name": "speed", "factors": [0.9, 1.1], "probability": 0.5})
    drawn = [plain.draw_speed(rng(draw)) for draw in range(400)]
    assert {copy for _, copy in drawn} == {0}
    assert all(60 < sum(speed == one for speed, _ in drawn) < 260 for one in (0.9, 1.0, 1.1))
    several = build({"name": "speed", "factors": [0.9, 1.1], "new_speakers": True})
    assert copies_of_speakers([{"name": "gain"}, {"name": "speed", "new_speakers": True}]) == [0.9, 1.1]
    assert copies_of_speakers([{"name": "speed"}]) == []
    assert {several.draw_speed(rng(draw)) for draw in range(100)} == {(1.0, 0), (0.9, 1), (1.1, 2)}
    source = AudioSource(folder / "train", WaveOptions(RATE))
    plan = EpochPlan(np.zeros((1, 64), int), np.arange(64)[None], np.array([30]))
    batches = AudioBatches(Cropper(source, OPTIONS), np.array([2]), 5, plan, 0, 0, several, SpecAugment(), 20)
    assert set(batches[0].labels.tolist()) == {2, 7, 12}


def test_measured_rooms_and_noises_of_the_shared_corpora(tmp_path):
    for name, pattern in (("rirs", "*/*.wav"), ("noises", "*/*.flac")):
        files = sorted(corpora(name).glob(pattern))[:6]
        assert files
        (tmp_path / name).mkdir()
        write_id_map(tmp_path / name / "wav.scp", {f"{path.parent.name}-{path.stem}": str(path) for path in files})
    chain = build(
        {"name": "reverberation", "dir": str(tmp_path / "rirs"), "level": "signal"},
        {"name": "babble", "dir": str(tmp_path / "noises"), "snr": [10, 10], "files": [3, 3]},
    )
    wave = voice(1, 2.0)
    for draw in range(5):
        changed = chain.apply(wave, rng(draw))
        assert len(changed) == len(wave)
        assert power(changed) == pytest.approx(1.3 * power(wave), rel=0.1)


# What is refused


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("noise", "must be a section with a name"),
        ({"nam": "noise"}, "must be a section with a name"),
        ({"name": "nois"}, r"unknown augmentation 'nois' .did you mean 'noise'"),
        ({"name": "noise"}, "noise: dir is missing"),
        (
            {"name": "noise", "dir": "x", "snr": [15, 0]},
            r"snr: .* is the wrong way round: write \[0, 15\]",
        ),
        ({"name": "noise", "dir": "x", "snr": 15}, r"noise\.snr must be a list, not 15"),
        ({"name": "noise", "dir": "x", "snr": [1, 2, 3]}, "snr must be two numbers"),
        ({"name": "noise", "dir": "x", "snr": ["low", 2]}, r"noise\.snr must be a number, not 'low'"),
        ({"name": "babble", "dir": "x", "files": [0, 2]}, "files must not be less than 1"),
        ({"name": "noise", "dir": "x", "probability": 1.5}, "probability must lie between 0 and 1"),
        ({"name": "noise", "dir": "x", "snrs": [0, 1]}, r"unknown key 'snrs' of noise .did you mean 'snr'"),
        ({"name": "reverberation", "dir": "x", "level": "loud"}, "level must be response or signal, not 'loud'"),
        ({"name": "simulated_room", "rt60": [0, 1]}, r"rt60 must not be less than 0\.01"),
        ({"name": "band_limit", "low": [0, 4000]}, "low reaches up to 4000 Hz, above the beginning of high"),
        ({"name": "speed", "factors": [1.0]}, "factors: 1 is none"),
        ({"name": "speed", "factors": []}, "factors must be one or more"),
        ({"name": "one_of"}, "choices is empty"),
        ({"name": "one_of", "choices": [{"name": "speed"}]}, "speed cannot be a choice"),
        ({"name": "one_of", "choices": [{"name": "gain", "db": [3, 2]}]}, "choices, number 1: gain: db: .* wrong way"),
    ],
)
def test_every_mistake_is_one_sentence(section, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        check_augmentation([{"name": "gain"}, section])
    assert "number 2" in str(error.value)
    assert "\n" not in str(error.value)


def test_defaults_of_every_name_are_right_but_for_directories():
    for name, kind in AUGMENTATIONS.items():
        options = kind(
            **{"dir": "x"} if hasattr(kind, "dir") else {"choices": [{"name": "none"}]} if name == "one_of" else {}
        )
        options.check()
    with pytest.raises(InputError, match="speed stands in it more than once"):
        check_augmentation([{"name": "speed"}, {"name": "speed"}])
    choices = [{"name": "noise", "dir": "b"}, {"name": "reverberation", "dir": "a"}]
    assert augmentation_directories([{"name": "music", "dir": "a"}, {"name": "one_of", "choices": choices}]) == [
        "a",
        "b",
    ]


def test_directories_without_usable_audio(tmp_path, capsys):
    with pytest.raises(InputError, match=r"nowhere: is no data directory with audio: there is no wav\.scp"):
        build({"name": "noise", "dir": str(tmp_path / "nowhere")})
    (tmp_path / "wav.scp").write_text(f"one {tmp_path}/one.wav\ntwo {tmp_path}/two.wav\n")
    with pytest.raises(InputError, match="none of its 2 entries is usable audio"):
        build({"name": "noise", "dir": str(tmp_path)})
    archive(tmp_path / "rooms", {"zero": np.zeros(100, np.float32)})
    with pytest.raises(InputError, match="the impulse response zero is all zero"):
        build({"name": "reverberation", "dir": str(tmp_path / "rooms")})
    archive(tmp_path / "some", {"good": voice(1, 0.5)})
    with open(tmp_path / "some" / "wav.scp", "a") as stream:
        stream.write("lost nowhere.wav\n")
    capsys.readouterr()
    build({"name": "noise", "dir": str(tmp_path / "some")})
    said = capsys.readouterr().err
    assert "nowhere.wav" in said
    assert "1 of 2 entries cannot be used" in said
