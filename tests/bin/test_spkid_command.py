"""The command `spkid`: vectors as the steps make them, and decisions that say what they rest on."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import soundfile
import torch

from spkid import __version__
from spkid.bin import _spkid_commands
from spkid.bin.spkid import main
from spkid.data.division import open_for_front_end
from spkid.data.front_end import FeatureRecord, FrontEnd, read_record, write_record
from spkid.features import MfccOptions, VadOptions, compute_vad, mfcc
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table, write_id_map
from spkid.nnet import build_model, pretrained
from spkid.train.embedder import Embedder
from spkid.train.experiment import read_description, save_final
from spkid.train.extraction import Extractor
from spkid.train.extraction_options import ExtractionOptions
from spkid.train.imports import import_checkpoint
from tests.nnet.goldens import arrays, case_weights
from tests.shared import REPOSITORY
from tests.steps.running import succeed

torch.set_num_threads(1)

MFCC = MfccOptions(num_ceps=12, num_mel_bins=20, snip_edges=False)
VAD = VadOptions(vad_energy_threshold=-1.0, vad_energy_mean_scale=1.0, vad_frames_context=2)
SMALL = {"name": "xvector", "channels": 12, "pooled_channels": 16, "embedding_dim": 8, "layer": "far"}


def voice(seed: int, seconds: float = 1.2, rate: int = 16000) -> np.ndarray:
    """A hum of one pitch that comes and goes."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in rng.uniform(100, 3500, 6))
    loud = (np.sin(2 * np.pi * 1.7 * time) > -0.3) + 0.01
    return (0.05 * tones * loud + 0.001 * rng.normal(size=len(time))).astype(np.float32)


def make_model(directory, front_end: FrontEnd, **model) -> None:
    torch.manual_seed(3)
    inputs = {"input_dim": front_end.dims} if front_end.type != "waveform" else {}
    options = {key: value for key, value in model.items() if key != "name"}
    network = build_model(model["name"], **inputs, **options)
    directory.mkdir()
    save_final(directory, network, None, front_end, {"model": model}, {})


def mfcc_front_end(**changes) -> FrontEnd:
    vad = {"method": "energy", **asdict(VAD), "feature_type": "mfcc", "feature_options": asdict(MFCC)}
    values = {"type": "mfcc", "options": asdict(MFCC), "transforms": ["cmn_sliding_50", "vad"], "dims": 12, "vad": vad}
    return FrontEnd(**{**values, **changes})


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    directory = tmp_path_factory.mktemp("spkid")
    make_model(directory / "exp", mfcc_front_end(), **SMALL)
    for number in range(4):
        soundfile.write(directory / f"{number}.wav", voice(number // 2, 1.0 + 0.3 * number), 16000, "FLOAT")
    return directory


def run(capfd, *words) -> str:
    assert main([str(word) for word in words]) == 0, capfd.readouterr().err
    return capfd.readouterr().out


def refuse(capfd, *words) -> str:
    assert main([str(word) for word in words]) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1
    return lines[0]


def test_a_recording_has_the_vector_that_extraction_gives_it(work, tmp_path, capfd):
    data = tmp_path / "data"
    data.mkdir()
    with (
        TableWriter(f"ark,scp:{data}/feats.ark,{data}/feats.scp", MATRIX) as feats,
        TableWriter(f"ark,scp:{data}/vad.ark,{data}/vad.scp", VECTOR) as vad,
    ):
        for number in range(4):
            features = mfcc(voice(number // 2, 1.0 + 0.3 * number), MFCC)
            feats.write(str(number), features)
            vad.write(str(number), compute_vad(features, VAD))
    write_record(data, FeatureRecord("mfcc", asdict(MFCC)))
    ids = [str(number) for number in range(4)]
    expected = dict(Extractor(work / "exp", data, ids, ExtractionOptions()).embed([ids]))
    files = [work / f"{number}.wav" for number in range(4)]
    run(capfd, "embed", "--model", work / "exp", "--output", f"ark:{tmp_path}/vectors.ark", *files)
    for key, vector in read_table(f"ark:{tmp_path}/vectors.ark", VECTOR):
        np.testing.assert_allclose(vector, expected.pop(key), rtol=1e-5, atol=1e-6)
    assert not expected
    text = run(capfd, "embed", "--model", work / "exp", files[0])
    assert text.startswith("0  [ ")
    assert len(text.split()) == 11


def test_speech_is_found_as_in_training_or_not_at_all(tmp_path, capfd):
    soundfile.write(tmp_path / "a.wav", voice(0), 16000, "FLOAT")
    make_model(tmp_path / "silent", mfcc_front_end(vad=None), **SMALL)
    assert "give the options of compute-vad with --vad-config" in refuse(
        capfd, "embed", "--model", tmp_path / "silent", tmp_path / "a.wav"
    )
    (tmp_path / "vad.conf").write_text("--vad-energy-threshold=-1\n--vad-energy-mean-scale=1\n--vad-frames-context=2\n")
    given = run(
        capfd, "embed", "--model", tmp_path / "silent", "--vad-config", tmp_path / "vad.conf", tmp_path / "a.wav"
    )
    make_model(tmp_path / "exp", mfcc_front_end(), **SMALL)
    assert given == run(capfd, "embed", "--model", tmp_path / "exp", tmp_path / "a.wav")
    (tmp_path / "other.conf").write_text("--vad-energy-threshold=5\n")
    assert "otherwise than --vad-config" in refuse(
        capfd, "embed", "--model", tmp_path / "exp", "--vad-config", tmp_path / "other.conf", tmp_path / "a.wav"
    )
    make_model(tmp_path / "neural", mfcc_front_end(vad={"method": "lstm_vad"}), **SMALL)
    assert "found by lstm_vad" in refuse(capfd, "embed", "--model", tmp_path / "neural", tmp_path / "a.wav")


def test_the_step_records_how_speech_was_found(work, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with TableWriter(f"ark,scp:{data}/feats.ark,{data}/feats.scp", MATRIX) as feats:
        feats.write("a", mfcc(voice(0), MFCC))
    write_record(data, FeatureRecord("mfcc", asdict(MFCC)))
    for name in ("utt2spk", "spk2utt"):
        (data / name).write_text("a a\n")
    front_end = read_description(work / "exp")[1]
    words = ["--nj", 1, "--cmd", REPOSITORY / "utils" / "run.py", "--vad-config", tmp_path / "vad.conf", data]
    (tmp_path / "vad.conf").write_text("--vad-energy-threshold=-1\n--vad-energy-mean-scale=1\n--vad-frames-context=2\n")
    succeed("compute_vad_decision.py", *words)
    assert read_record(data).vad == front_end.vad
    assert list(open_for_front_end(front_end, data, None, {}).ids) == ["a"]
    (tmp_path / "vad.conf").write_text("--vad-energy-threshold=-2\n--vad-energy-mean-scale=1\n--vad-frames-context=2\n")
    succeed("compute_vad_decision.py", *words)
    sentence = r"vad.json: speech was found with vad_energy_threshold=-2.0, but the network was trained with .*=-1.0"
    with pytest.raises(InputError, match=sentence):
        open_for_front_end(front_end, data, None, {})


def test_verify_says_what_it_decides_by(work, tmp_path, capfd):
    files = work / "0.wav", work / "1.wav"
    model = "--model", work / "exp"
    assert "decision             none" in run(capfd, "verify", *model, *files)
    plain = json.loads(run(capfd, "verify", "--json", *model, *files))
    assert plain.keys() == {"first", "second", "method", "score"}
    assert -1 <= plain["score"] <= 1
    below, above = plain["score"] - 0.01, plain["score"] + 0.01
    assert json.loads(run(capfd, "verify", "--json", *model, "--threshold", below, *files))["same"] is True
    assert "different speakers" in run(capfd, "verify", *model, "--threshold", above, *files)

    results = tmp_path / "results" / "cosine"
    results.mkdir(parents=True)
    evaluation = {
        "decision": {"p_target": 0.01, "empirical": {"threshold": below}},
        "scores": {"file": "exp/results/scores_cosine"},
    }
    (results / "results.json").write_text(json.dumps(evaluation))
    said = run(capfd, "verify", *model, "--results", results, *files)
    assert "decision             same speaker" in said
    assert f"cheapest in {results / 'results.json'} where 1% are the same speaker" in said
    step = tmp_path / "results" / ".scores_cosine.step"
    step.mkdir()
    (step / ".done.json").write_text('{"options": {"method": "plda", "score_norm": "none"}}')
    assert "is about plda scores, but these are cosine" in refuse(capfd, "verify", *model, "--results", results, *files)
    (step / ".done.json").write_text('{"options": {"method": "cosine", "score_norm": "as"}}')
    assert "normalised with a cohort (as-norm)" in refuse(capfd, "verify", *model, "--results", results, *files)
    assert "not both" in refuse(capfd, "verify", *model, "--results", results, "--threshold", 1, *files)


def test_a_calibration_gives_ratio_and_probability(work, tmp_path, capfd):
    words = "verify", "--json", "--model", work / "exp", work / "0.wav", work / "2.wav"
    score = json.loads(run(capfd, *words))["score"]
    calibration = tmp_path / "scores.model.json"
    calibration.write_text(json.dumps({"weights": {"score": 4.0}, "offset": -1.0, "prior": 0.5}))
    answer = json.loads(run(capfd, *words, "--calibration", tmp_path / "scores"))
    ratio = 4 * score - 1
    assert answer["log_likelihood_ratio"] == pytest.approx(ratio)
    assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-ratio)))
    assert answer["threshold"] == 0
    assert answer["same"] == (ratio >= 0)
    rare = json.loads(run(capfd, *words, "--calibration", calibration, "--prior", 0.01))
    assert rare["threshold"] == pytest.approx(np.log(99))
    odds = answer["probability"] / (1 - answer["probability"])
    assert rare["probability"] == pytest.approx(odds / (odds + 99))
    for name, record in (
        ("scores", {"inputs": {"../dev_trials": "", "../dev_scores": ""}}),
        ("dev_scores", {"options": {"method": "plda"}}),
    ):
        (tmp_path / f".{name}.step").mkdir()
        (tmp_path / f".{name}.step" / ".done.json").write_text(json.dumps(record))
    assert "is about plda scores" in refuse(capfd, *words, "--calibration", calibration)
    calibration.write_text(json.dumps({"weights": {"score": 4.0, "min(duration)": 1}, "offset": 0, "prior": 0.5}))
    assert "also looks at min(duration)" in refuse(capfd, *words, "--calibration", calibration)
    assert "--prior matters to calibrated scores only" in refuse(capfd, *words, "--prior", 0.1)


def test_identify_ranks_the_enrolled(work, tmp_path, capfd):
    for speaker in range(2):
        folder = tmp_path / "people" / f"person{speaker}"
        folder.mkdir(parents=True)
        for take in range(2):
            soundfile.write(folder / f"{take}.flac", voice(speaker, 1.0 + 0.2 * take), 16000)
    model = "--model", work / "exp"
    said = run(capfd, "enroll", *model, tmp_path / "people", tmp_path / "enrolled")
    assert said.startswith("2 speakers of 4 recordings")
    (tmp_path / "people" / "person7").mkdir()
    assert main(["enroll", "--model", str(work / "exp"), str(tmp_path / "people"), str(tmp_path / "again")]) == 0
    assert "no recording in 1 of 3 folders, left out: person7" in capfd.readouterr().err
    test = work / "3.wav"
    from_table = run(capfd, "identify", *model, "--enrolled", tmp_path / "enrolled", test)
    assert from_table == run(capfd, "identify", *model, "--enrolled", tmp_path / "people", test)
    assert from_table.splitlines()[0] == f"{test}: most like person1"
    ranked = json.loads(run(capfd, "identify", "--json", *model, "--enrolled", tmp_path / "enrolled", test))[str(test)]
    assert [entry["speaker"] for entry in ranked] == ["person1", "person0"]
    assert ranked[0]["score"] >= ranked[1]["score"]
    strict = run(capfd, "identify", *model, "--enrolled", tmp_path / "enrolled", "--threshold", 1.1, "--top", 1, test)
    assert "none of the enrolled speakers (most like person1)" in strict
    assert len(strict.splitlines()) == 2
    assert from_table == run(capfd, "identify", *model, "--enrolled", tmp_path / "enrolled" / "spk_xvector.scp", test)
    assert "no such directory or table" in refuse(capfd, "identify", *model, "--enrolled", tmp_path / "nobody", test)
    (tmp_path / "empty").mkdir()
    assert "neither spk_xvector.scp nor folders" in refuse(
        capfd, "identify", *model, "--enrolled", tmp_path / "empty", test
    )


def test_plda_counts_the_recordings_of_a_speaker(work, tmp_path, capfd):
    from spkid.backend import BackEnd

    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(12, 8)), 6, axis=0)
    vectors = centres + 0.5 * rng.normal(size=centres.shape)
    BackEnd.fit(vectors, np.repeat(np.arange(12), 6), lda_dim=4).write(tmp_path)
    table = tmp_path / "spk_xvector.scp"
    with TableWriter(f"ark,scp:{tmp_path}/spk.ark,{table}", VECTOR) as writer:
        for speaker in range(2):
            writer.write(f"s{speaker}", vectors[6 * speaker].astype(np.float32))
    scores = []
    for count in (1, 5):
        write_id_map(tmp_path / "num_utts.ark", {"s0": count, "s1": count})
        words = "identify", "--json", "--model", work / "exp", "--enrolled", table, "--backend", tmp_path
        scores.append(json.loads(run(capfd, *words, work / "0.wav"))[str(work / "0.wav")][0]["score"])
    assert scores[0] != scores[1]
    (tmp_path / "num_utts.ark").write_text("s0 1\n")
    assert "no number of utterances, 1 or more, for the model s1" in refuse(capfd, *words, work / "0.wav")


def test_other_rates_are_resampled_and_bad_audio_is_refused(work, tmp_path, capfd):
    embedder = Embedder(work / "exp")
    soundfile.write(tmp_path / "cd.wav", voice(0, 1.5, 44100), 44100, "FLOAT")
    assert embedder.embed(str(tmp_path / "cd.wav")).shape == (8,)
    assert "resampling from 44100 to 16000 Hz" in capfd.readouterr().err
    for name, samples, reason in (
        ("short", np.full(20, 0.5), "too short"),
        ("empty", np.zeros(0), "holds no samples"),
        ("missing", None, "missing.wav"),
    ):
        if samples is not None:
            soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        assert reason in refuse(capfd, "embed", "--model", work / "exp", tmp_path / f"{name}.wav")
    assert "is given twice" in refuse(capfd, "embed", "--model", work / "exp", work / "0.wav", work / "0.wav")
    assert "nothing was imported" in refuse(capfd, "embed", "--model", tmp_path, work / "0.wav")


def test_networks_of_waveforms(tmp_path, capfd):
    make_model(tmp_path / "exp", FrontEnd("waveform", {}, [], 1), name="resnet_se34l", channels=8, embedding_dim=8)
    embedder = Embedder(tmp_path / "exp")
    samples = voice(5, 2.0)
    soundfile.write(tmp_path / "long.wav", samples, 16000, "FLOAT")
    soundfile.write(tmp_path / "short.wav", samples[:300], 16000, "FLOAT")
    network = embedder._model.network
    with torch.no_grad():
        expected = network(torch.from_numpy(samples)[None])[0].numpy()
    np.testing.assert_allclose(embedder.embed(str(tmp_path / "long.wav")), expected, rtol=1e-6)
    assert np.isfinite(embedder.embed(str(tmp_path / "short.wav"))).all()


@pytest.mark.parametrize("kind", ["waveform", "speechbrain_fbank"])
def test_speech_alone_of_features_that_have_no_frames_of_kaldi(tmp_path, kind):
    """The speech is cut out of the audio before the network's own front end sees it."""
    detector = MfccOptions(num_ceps=12, num_mel_bins=20)
    vad = {"method": "energy", **asdict(VAD), "feature_type": "mfcc", "feature_options": asdict(detector)}
    if kind == "waveform":
        front_end = FrontEnd(kind, {}, ["vad"], 1, vad)
        make_model(tmp_path / "exp", front_end, name="resnet_se34l", channels=8, embedding_dim=8)
    else:
        front_end = FrontEnd(kind, {"n_mels": 20}, ["vad", "cmn_utterance"], 20, vad)
        make_model(tmp_path / "exp", front_end, **SMALL)
    samples = voice(1, 2.0)
    voiced = compute_vad(mfcc(samples, detector), VAD)
    assert 0 < voiced.sum() < len(voiced)
    edges = 120 + 160 * np.arange(len(voiced) + 1)  # a frame stands for the hop in its middle
    edges[0], edges[-1] = 0, len(samples)
    spoken = np.concatenate([samples[edges[row] : edges[row + 1]] for row in np.flatnonzero(voiced)])
    soundfile.write(tmp_path / "all.wav", samples, 16000, "FLOAT")
    soundfile.write(tmp_path / "spoken.wav", spoken, 16000, "FLOAT")
    embedder = Embedder(tmp_path / "exp")
    vector = embedder.embed(str(tmp_path / "all.wav"))
    (tmp_path / "plain").mkdir()
    plain = FrontEnd(kind, front_end.options, front_end.transforms[1:], front_end.dims)
    save_final(tmp_path / "plain", embedder._model.network, None, plain, embedder._model.description["config"], {})
    expected = Embedder(tmp_path / "plain").embed(str(tmp_path / "spoken.wav"))
    np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "case", "front_end"),
    [("wespeaker", "ws_xvec", "wespeaker"), ("speechbrain", "sb_ecapa_c512_mfa1536", "speechbrain")],
)
@pytest.mark.parametrize("signal", ["wave", "noise"])
def test_imports_see_the_features_that_they_were_trained_on(tmp_path, source, case, front_end, signal, monkeypatch):
    weights = case_weights(case)
    torch.save(weights, tmp_path / "model.pt")
    imported = import_checkpoint(tmp_path / "model.pt", source, tmp_path / "exp")
    samples = arrays("inputs")[signal][0]
    soundfile.write(tmp_path / "a.wav", samples, 16000, "FLOAT")
    embedder = Embedder(tmp_path / "exp")
    seen = []
    forward = embedder._model.network.forward
    monkeypatch.setattr(embedder._model.network, "forward", lambda x: seen.append(x) or forward(x))
    vector = embedder.embed(str(tmp_path / "a.wav"))
    assert imported.front_end.dims == 80
    golden = arrays("importer_frontends")[f"{front_end}_{signal}"]
    np.testing.assert_allclose(seen[0][0, ::5].numpy(), golden, atol=2e-3, rtol=0)
    with torch.no_grad():
        expected = pretrained.load(weights, source)(seen[0])[0].numpy()
    np.testing.assert_allclose(vector, expected, rtol=1e-6, atol=1e-7)


def test_help_and_mistakes(capfd):
    assert "e.g.: spkid verify" in run(capfd, "--help")
    assert run(capfd, "--version") == f"spkid {__version__}\n"
    for name in _spkid_commands.COMMANDS:
        assert f"spkid {name} --model" in run(capfd, name, "--help")
    assert "unknown command verfy (did you mean verify?)" in refuse(capfd, "verfy")
    assert "a command is needed" in refuse(capfd)
    assert "unknown option --modl; did you mean --model?" in refuse(capfd, "verify", "--modl", "x", "a", "b")
    assert "which recordings?" in refuse(capfd, "embed", "--model", "x")
