"""compute_vad_decision --model: decisions by a network, on the frames of any data directory."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from spkid.audio import resample
from spkid.bin import vad_compute, xvector_compute
from spkid.bin.spkid import main
from spkid.data.detector_input import at_frames, vad_record
from spkid.data.front_end import FeatureRecord, FrontEnd, read_record, write_record, write_vad_record
from spkid.features import FrameOptions, MfccOptions, mfcc, num_frames
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table
from spkid.nnet import build_model
from spkid.train import speech_detection
from spkid.train.experiment import save_final
from spkid.train.speech_detection import SpeechDetector
from tests.shared import REPOSITORY
from tests.steps.running import refuse, succeed

torch.set_num_threads(1)

OWN = MfccOptions(num_ceps=10, num_mel_bins=20, sample_frequency=8000.0)
WIDE = MfccOptions(num_ceps=12, num_mel_bins=20, snip_edges=False)
RATE = 16000


def make_detector(directory: Path, transforms: tuple[str, ...] = (), seed: int = 0) -> Path:
    """A network that nobody trained: what it decides depends on every frame before."""
    torch.manual_seed(seed)
    network = build_model("lstm_vad", input_dim=10, channels=6)
    with torch.no_grad():
        network.output.weight.mul_(30)
        network.output.bias.zero_()
    front_end = FrontEnd("mfcc", asdict(OWN), list(transforms), 10)
    directory.mkdir(parents=True)
    save_final(directory, network, None, front_end, {"model": {"name": "lstm_vad", "channels": 6}}, {})
    return directory


def speech(seed: int, seconds: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    loud = np.repeat(random.uniform(0, 0.1, round(seconds * 10) + 1), RATE // 10)[: round(seconds * RATE)]
    return (loud * random.standard_normal(len(loud))).astype(np.float32)


def write_features(data: Path, kind: MfccOptions) -> None:
    with TableWriter(f"ark,scp:{data}/feats.ark,{data}/feats.scp", MATRIX) as writer:
        for path in sorted(data.glob("*.wav")):
            samples, rate = soundfile.read(path, dtype="float32")
            writer.write(path.stem, mfcc(resample(samples, rate, kind.sample_frequency), kind))
    write_record(data, FeatureRecord("mfcc", asdict(kind)))


def decide(data: str = "data") -> str:
    """The job of the step in this process; what the step itself adds has tests of its own."""
    (Path(data) / "list").write_text((Path(data) / "utt2spk").read_text())
    words = ["--report=report.json", "exp", data, f"{data}/list", f"ark,scp:{data}/vad.ark,{data}/vad.scp"]
    assert vad_compute.main(words) == 0
    write_vad_record(data, "model", vad_record("exp", 0.5, 0))
    return Path("report.json").read_text()


def decisions(directory: Path) -> dict[str, np.ndarray]:
    return dict(read_table(f"scp:{directory}/vad.scp", VECTOR))


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A network `exp` of 8 kHz audio, and `data` of five recordings at 16 kHz without features."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "utils").symlink_to(REPOSITORY / "utils")
    make_detector(tmp_path / "exp")
    data = tmp_path / "data"
    data.mkdir()
    names = [f"s{number}-u" for number in range(5)]
    for number, name in enumerate(names):
        soundfile.write(data / f"{name}.wav", speech(number, 0.6 + 0.3 * number), RATE, "FLOAT")
    (data / "wav.scp").write_text("".join(f"{name} {data}/{name}.wav\n" for name in names))
    (data / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in names))
    return tmp_path


def own_decisions(work: Path, name: str) -> np.ndarray:
    samples, rate = soundfile.read(work / "data" / f"{name}.wav", dtype="float32")
    return SpeechDetector(work / "exp").decide(mfcc(resample(samples, rate, 8000), OWN))


def test_from_audio_the_frames_are_the_network_s_and_jobs_change_nothing(work):
    said = succeed("compute_vad_decision.py", "--model", "exp", "--nj", 1, "data")
    assert "speech found in 5 of 5" in said
    found = decisions(work / "data")
    for name, values in found.items():
        np.testing.assert_array_equal(values, own_decisions(work, name))
    assert 0.1 < np.concatenate(list(found.values())).mean() < 0.9
    assert "done already" in succeed("compute_vad_decision.py", "--model", "exp", "--nj", 3, "data")
    succeed("compute_vad_decision.py", "--model", "exp", "--nj", 2, "--force", "data")
    again = decisions(work / "data")
    assert again.keys() == found.keys()
    assert all(np.array_equal(again[name], found[name]) for name in found)
    record = json.loads((work / "data/vad.json").read_text())
    assert (record["method"], record["threshold"], record["model_dir"]) == ("model", 0.5, str(work / "exp"))


def test_features_of_another_kind_get_decisions_of_the_same_times(work):
    write_features(work / "data", WIDE)
    decide()
    features = dict(read_table("scp:data/feats.scp", MATRIX))
    for name, values in decisions(work / "data").items():
        assert len(values) == len(features[name])
        own = own_decisions(work, name)
        assert len(own) in (len(values) - 2, len(values) - 1)
        np.testing.assert_array_equal(values[1 : len(own) + 1], own[: len(values) - 1])  # 7.5 ms are nearest to 10


def test_features_that_the_network_was_trained_on_are_read_and_segments_serve_as_well(work):
    write_features(work / "data", OWN)
    for path in (work / "data").glob("*.wav"):
        path.unlink()  # nobody reads audio
    decide()
    features = dict(read_table("scp:data/feats.scp", MATRIX))
    for name, values in decisions(work / "data").items():
        np.testing.assert_array_equal(values, SpeechDetector("exp").decide(features[name]))


def test_segments_of_recordings(work):
    soundfile.write("long.wav", np.concatenate([speech(0, 1.0), speech(1, 1.2)]), RATE, "FLOAT")
    data = work / "cut"
    data.mkdir()
    (data / "wav.scp").write_text("long long.wav\n")
    (data / "segments").write_text("a-0 long 0.0 1.0\na-1 long 1.0 2.2\n")
    (data / "utt2spk").write_text("a-0 a\na-1 a\n")
    decide("cut")
    detector, wave = SpeechDetector("exp"), soundfile.read("long.wav", dtype="float32")[0]
    for name, (start, stop) in {"a-0": (0.0, 1.0), "a-1": (1.0, 2.2)}.items():
        samples = resample(wave[round(start * RATE) : round(stop * RATE)], RATE, 8000)
        np.testing.assert_array_equal(decisions(data)[name], detector.decide(mfcc(samples, OWN)))


def test_another_network_and_other_features_are_a_reason_to_decide_again(work):
    succeed("compute_vad_decision.py", "--model", "exp", "--nj", 1, "data")
    frames = [len(values) for values in decisions(work / "data").values()]
    shutil.copytree("exp", "elsewhere")
    assert "done already" in succeed("compute_vad_decision.py", "--model", "elsewhere", "--nj", 1, "data")
    write_features(work / "data", WIDE)
    make_detector(work / "other", seed=1)
    assert "option weights was" in succeed("compute_vad_decision.py", "--model", "other", "--nj", 1, "data")
    assert [len(values) for values in decisions(work / "data").values()] != frames


def test_a_network_for_speech_refuses_speech_that_another_detector_found(work):
    trained = FrontEnd("mfcc", None, ["vad"], 10, {"method": "model", **vad_record("exp", 0.5, 0)})
    shutil.copytree("exp", "elsewhere")
    write_vad_record("data", "model", vad_record("elsewhere", 0.5, 0))
    trained.check_speech("data")  # the same network in another place
    make_detector(work / "other", seed=1)
    write_vad_record("data", "model", vad_record("other", 0.5, 0))
    with pytest.raises(InputError, match=r"vad.json: speech was found with weights="):
        trained.check_speech("data")
    write_vad_record("data", "energy", {"vad_energy_threshold": 5.0})
    with pytest.raises(InputError, match="method=energy, but the network was trained with method=model"):
        trained.check_speech("data")


def test_labels_are_not_overwritten(work):
    (work / "data/vad.json").write_text('{"method": "labels"}\n')
    (work / "data/vad.scp").write_text("")
    assert "--output-dir" in refuse("compute_vad_decision.py", "--model", "exp", "data")
    succeed("compute_vad_decision.py", "--model", "exp", "--nj", 1, "--output-dir", "out/deep", "data")
    assert len(decisions(work / "out/deep")) == 5
    assert (work / "data/vad.scp").read_text() == ""
    assert json.loads((work / "out/deep/vad.json").read_text())["method"] == "model"


def test_what_cannot_be_decided_is_one_sentence(work):
    said = refuse("compute_vad_decision.py", "--model", "nothing", "data")
    assert "nothing: no such directory; one with final.json" in said
    write_features(work / "data", OWN)
    write_record(work / "data", FeatureRecord("mfcc", asdict(OWN), applied=["vad"]))
    assert "already left out" in refuse("compute_vad_decision.py", "--model", "exp", "data")
    (work / "data/feats.scp").unlink()
    (work / "data/wav.scp").unlink()
    assert "neither feats.scp nor wav.scp" in refuse("compute_vad_decision.py", "--model", "exp", "data")
    network, front_end = build_model("xvector", input_dim=10), FrontEnd("mfcc", asdict(OWN), [], 10)
    save_final(work / "exp", network, None, front_end, {"model": {"name": "xvector"}}, {})
    with pytest.raises(InputError, match="xvector does not tell where there is speech"):
        SpeechDetector("exp")


def test_a_short_utterance_fails_alone(work):
    soundfile.write("data/s0-u.wav", speech(0, 0.01), RATE, "FLOAT")
    assert "s0-u" in decide()
    assert "s0-u" not in decisions(work / "data")


def test_long_recordings_are_decided_piece_by_piece(work, monkeypatch):
    features = mfcc(speech(3, 20.0), WIDE)[:, :10]
    detector = SpeechDetector("exp")
    whole = detector.probabilities(features)
    monkeypatch.setattr(speech_detection, "CHUNK_FRAMES", 500)
    pieces = detector.probabilities(features)
    assert len(pieces) == len(whole) == 2000
    np.testing.assert_allclose(pieces, whole, atol=1e-3)  # the memory of the network is shorter than the context


def test_smoothing_averages_probabilities(work):
    features = mfcc(speech(3, 2.0), WIDE)[:, :10]
    plain, smooth = SpeechDetector("exp"), SpeechDetector("exp", 0.4, 3)
    probabilities = plain.probabilities(features)
    expected = [probabilities[max(i - 3, 0) : i + 4].mean() > 0.4 for i in range(len(features))]
    assert np.mean(smooth.decide(features) == expected) > 0.99  # but for sums at the very threshold


@given(
    samples=st.integers(400, 40000), snips=st.tuples(st.booleans(), st.booleans()), shift=st.sampled_from([5, 10, 20])
)
def test_each_frame_gets_the_decision_of_the_nearest_one(samples, snips, shift):
    own = FrameOptions(frame_shift=10.0, snip_edges=snips[0])
    wanted = FrameOptions(frame_shift=float(shift), snip_edges=snips[1])
    counts = num_frames(samples, own), num_frames(samples, wanted)
    if not all(counts):
        return
    numbers = at_frames(np.arange(counts[0], dtype=np.float32), own, wanted, counts[1])
    assert len(numbers) == counts[1]
    middles = [
        np.arange(count) * options.frame_shift + (25 if options.snip_edges else options.frame_shift) / 2
        for count, options in zip(counts, (own, wanted), strict=True)
    ]
    best = np.abs(middles[1][:, None] - middles[0]).min(axis=1)
    np.testing.assert_allclose(np.abs(middles[1] - middles[0][numbers.astype(int)]), best)
    if own == wanted:
        np.testing.assert_array_equal(numbers, np.arange(counts[0]))


def test_features_of_other_audio_are_noticed():
    with pytest.raises(InputError, match="make the features again"):
        at_frames(np.zeros(100), FrameOptions(), FrameOptions(), 110)


def test_spkid_embed_finds_speech_by_the_same_network(work, capfd):
    """A recording's vector is that of the recipe's steps; and a detector that has gone or changed is one sentence."""
    write_features(work / "data", WIDE)
    decide()
    torch.manual_seed(3)
    options = {"channels": 12, "pooled_channels": 16, "embedding_dim": 8, "layer": "far"}
    front_end = FrontEnd("mfcc", asdict(WIDE), ["cmn_sliding_50", "vad"], 12, read_record(work / "data").vad)
    network = build_model("xvector", input_dim=12, **options)
    (work / "xvector").mkdir()
    save_final(work / "xvector", network, None, front_end, {"model": {"name": "xvector", **options}}, {})
    Path("batch").write_text("s3-u\n")
    assert xvector_compute.main(["xvector", "data", "batch", "ark:vectors.ark"]) == 0
    ((_, expected),) = read_table("ark:vectors.ark", VECTOR)
    assert main(["embed", "--model", "xvector", "--output", "ark:one.ark", "data/s3-u.wav"]) == 0
    ((_, vector),) = read_table("ark:one.ark", VECTOR)
    np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)
    shutil.move("exp", "gone")
    assert main(["embed", "--model", "xvector", "data/s3-u.wav"]) == 1
    assert "is not there any more" in capfd.readouterr().err
    make_detector(work / "exp", seed=1)
    assert main(["embed", "--model", "xvector", "data/s3-u.wav"]) == 1
    assert "other weights" in capfd.readouterr().err
