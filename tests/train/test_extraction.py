"""Embeddings: the same whatever the jobs, in bounded memory, and only from features like those of training."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.data.division import Batching, cut_batches, divide, open_for_front_end
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_id_map, read_table, write_id_map
from spkid.train.embed import embed_utterance, pad
from spkid.train.experiment import load_final, read_description
from spkid.train.extraction import Extractor
from spkid.train.extraction_options import ExtractionOptions
from spkid.train.run import train_from_directory
from tests.shared import REPOSITORY
from tests.train.test_training import config
from tests.train.toy import make_data

torch.set_num_threads(1)
OPTIONS = ExtractionOptions(chunk_size=100)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A directory with a trained network in exp and a test set in test."""
    work = tmp_path_factory.mktemp("work")
    train_from_directory(config(schedule={"epochs": 1}), make_data(work / "train"), work / "exp")
    make_data(work / "test", speakers=3, utterances=8, frames=(40, 60), seed=2)
    return work


def embeddings(extractor, batch):
    return dict(extractor.embed([batch]))


def test_a_loaded_network_is_the_one_that_was_trained(work):
    model = load_final(work / "exp")
    assert not model.network.training
    x = torch.randn(2, 40, 8)
    torch.testing.assert_close(model.network(x), load_final(work / "exp").network(x))
    assert model.front_end.dims == 8


@given(
    frames=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    batching=st.builds(Batching, st.integers(1, 6), st.integers(1, 40), st.sampled_from([0.0, 0.2, 1.0])),
    jobs=st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_batches_are_cut_before_the_jobs(frames, batching, jobs):
    ids = [f"u{index:02d}" for index in range(len(frames))]
    batches = cut_batches(ids, np.array(frames), batching)
    assert sorted(index for batch in batches for index in batch) == list(range(len(frames)))
    for batch in batches:
        lengths = [frames[index] for index in batch]
        assert max(lengths) <= (1 + batching.padding) * min(lengths)
        assert len(batch) <= batching.utterances
        assert len(batch) == 1 or len(batch) * max(lengths) <= batching.frames
    longest = [max(frames[index] for index in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    jobs = min(jobs, len(batches))
    shares = divide(batches, np.array(frames), jobs)
    assert len(shares) == jobs
    assert all(shares)
    assert [batch for share in shares for batch in share] == batches


def test_long_utterances_are_averages_over_chunks(work):
    model = load_final(work / "exp")
    rows = np.random.default_rng(0).normal(size=(250, 8)).astype(np.float32)
    largest = 0

    def read(start, stop):
        nonlocal largest
        largest = max(largest, stop - start)
        return rows[start:stop]

    device = torch.device("cpu")
    vector = embed_utterance(model.network, read, 250, device, chunk_frames=120, min_frames=25)
    assert largest == 120
    with torch.inference_mode():
        chunks = [torch.from_numpy(pad(rows[start : min(start + 120, 250)], 25)) for start in (0, 120, 240)]
        parts = [model.network(chunk[None])[0] for chunk in chunks]
    expected = (120 * parts[0] + 120 * parts[1] + 10 * parts[2]) / 250
    np.testing.assert_allclose(vector, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_padding_repeats_the_ends():
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert pad(rows, 3) is not None
    assert pad(rows, 6)[:, 0].tolist() == [0, 0, 2, 4, 4, 4]


def test_each_utterance_that_fails_says_why(tmp_path, work):
    data = make_data(tmp_path / "test", speakers=2, utterances=4, seed=3)
    with TableWriter(f"ark,scp:{data}/v2.ark,{data}/v2.scp", VECTOR) as writer:
        writer.write("spk00-utt00", np.zeros(int(read_id_map(str(data / "utt2num_frames"))["spk00-utt00"]), np.float32))
    vad = read_id_map(str(data / "vad.scp"))
    vad["spk00-utt00"] = read_id_map(str(data / "v2.scp"))["spk00-utt00"]
    write_id_map(str(data / "vad.scp"), vad)
    feats = read_id_map(str(data / "feats.scp"))
    del feats["spk00-utt01"]
    feats["spk00-utt02"] = "nowhere.ark:17"
    write_id_map(str(data / "feats.scp"), feats)
    ids = list(read_id_map(str(data / "utt2spk")))
    result = {}
    extractor = Extractor(work / "exp", data, ids, OPTIONS)
    for utterance in ids:
        result |= embeddings(extractor, [utterance])
    assert "no frame of speech" in str(result["spk00-utt00"])
    assert "feats.scp: has no entry for utterance spk00-utt01" in str(result["spk00-utt01"])
    assert "nowhere.ark" in str(result["spk00-utt02"])
    assert all(isinstance(result[utterance], np.ndarray) for utterance in ids[3:])


def test_short_utterances_are_padded_or_refused(tmp_path, work):
    data = make_data(tmp_path / "test", speakers=1, utterances=2, frames=(8, 12))
    ids = list(read_id_map(str(data / "utt2spk")))
    padded = embeddings(Extractor(work / "exp", data, ids, OPTIONS), ids)
    assert all(vector.shape == (16,) for vector in padded.values())
    refused = embeddings(Extractor(work / "exp", data, ids, ExtractionOptions(100, 25, pad_input=False)), ids)
    for utterance in ids:
        assert "fewer than the 25 that are needed" in str(refused[utterance])


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"type": "fbank", "options": {"num_ceps": 8}, "applied": []}, "the features are fbank, but the network was"),
        ({"type": "mfcc", "options": {"num_ceps": 9}, "applied": []}, "made with num_ceps=9, but the network was"),
        ({"type": "mfcc", "options": {"num_ceps": 8}, "applied": ["cmn_sliding_31"]}, "went through cmn_sliding_31"),
    ],
)
def test_features_made_otherwise_are_refused(tmp_path, work, record, sentence):
    data = make_data(tmp_path / "test", speakers=1, utterances=2)
    (data / "feats.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        open_for_front_end(read_description(work / "exp")[1], data, None, {})


def test_another_dimension_is_refused(tmp_path, work):
    data = make_data(tmp_path / "test", speakers=1, utterances=2, dims=9)
    with pytest.raises(InputError, match="features have 9 dimensions, but the network was trained on 8"):
        open_for_front_end(read_description(work / "exp")[1], data, None, {})


def test_damaged_and_unfinished_experiments_are_one_sentence(tmp_path, work):
    with pytest.raises(InputError, match="no training has finished"):
        load_final(tmp_path)
    for name in ("final.json", "final.safetensors"):
        (tmp_path / name).write_bytes((work / "exp" / name).read_bytes())
    weights = (tmp_path / "final.safetensors").read_bytes()
    (tmp_path / "final.safetensors").write_bytes(weights[:-100])
    with pytest.raises(InputError, match=r"final\.safetensors: cannot be loaded"):
        load_final(tmp_path)
    (tmp_path / "final.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"final\.json: not the description"):
        load_final(tmp_path)


def extract(*arguments, interpreter=()):
    command = [sys.executable, *interpreter, "steps/extract_xvectors.py", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_the_number_of_jobs_changes_no_digit(work):
    bytes_of = {}
    for nj in (1, 3):
        out = work / f"xvectors{nj}"
        result = extract("--nj", nj, work / "exp", work / "test", out, interpreter=("-X", "importtime"))
        assert result.returncode == 0, result.stderr
        imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
        assert "numpy" in imported
        assert "torch" not in imported  # two seconds: the jobs alone need it
        table = list(read_table(f"scp:{out}/xvector.scp", VECTOR))
        assert [key for key, _ in table] == sorted(read_id_map(str(work / "test" / "utt2spk")))
        speakers = dict(read_table(f"scp:{out}/spk_xvector.scp", VECTOR))
        first = np.mean([vector for key, vector in table if key.startswith("spk00")], axis=0, dtype=np.float64)
        np.testing.assert_allclose(speakers["spk00"], first, rtol=1e-6, atol=1e-7)
        bytes_of[nj] = [vector.tobytes() for _, vector in table] + [speakers[key].tobytes() for key in sorted(speakers)]
    assert bytes_of[1] == bytes_of[3]
    again = extract("--nj", 2, work / "exp", work / "test", work / "xvectors3")
    assert again.returncode == 0
    assert "done already" in again.stdout


def test_too_few_embeddings_fail_the_step(tmp_path, work):
    data = make_data(tmp_path / "test", speakers=2, utterances=4, seed=3)
    with TableWriter(f"ark,scp:{data}/bad.ark,{data}/bad.scp", MATRIX) as writer:
        writer.write("spk00-utt02", np.full((50, 8), np.nan, np.float32))
    feats = read_id_map(str(data / "feats.scp"))
    feats["spk00-utt02"] = read_id_map(str(data / "bad.scp"))["spk00-utt02"]
    write_id_map(str(data / "feats.scp"), feats)
    (data / "utt2num_frames").unlink()
    with TableWriter(f"ark,scp:{data}/v2.ark,{data}/v2.scp", VECTOR) as writer:
        writer.write("spk00-utt02", np.ones(50, np.float32))
    vad = read_id_map(str(data / "vad.scp"))
    vad["spk00-utt02"] = read_id_map(str(data / "v2.scp"))["spk00-utt02"]
    write_id_map(str(data / "vad.scp"), vad)
    arguments = ["--nj", 1, work / "exp", data, tmp_path / "out"]
    result = extract("--min-fraction", "1.0", *arguments)
    assert result.returncode == 1
    assert "7 of 8 utterances" in result.stderr
    assert "spk00-utt02" in result.stderr
    assert "NaN" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out" / "xvector.scp").exists()
    assert (tmp_path / "out" / "failed").read_text().startswith("spk00-utt02 ")
    log = (tmp_path / "out" / "log" / "extract_xvectors.1.log").stat().st_mtime_ns
    result = extract("--min-fraction", "0.8", *arguments)
    assert result.returncode == 0, result.stderr
    assert len(read_id_map(str(tmp_path / "out" / "xvector.scp"))) == 7
    assert (tmp_path / "out" / "log" / "extract_xvectors.1.log").stat().st_mtime_ns == log  # nothing computed twice
