"""Extraction: however utterances are put together, of crops, in bf16, of audio; the embeddings are the same ones."""

import re

import numpy as np
import pytest
import torch

from spkid.backend.vectors import load_crops
from spkid.data.audio_options import FbankOptions, audio_options, compute_features, recorded_options
from spkid.data.division import cut_batches, open_for_front_end
from spkid.data.front_end import FrontEnd
from spkid.kaldi import InputError
from spkid.kaldi.tables import read_id_map
from spkid.nnet import takes_lengths
from spkid.train.embed import evaluation_crops, pad
from spkid.train.experiment import build_network, load_final, read_description, save_final
from spkid.train.extraction import Extractor
from spkid.train.extraction_options import ExtractionOptions, crop_rows, rows_per_frame
from tests.data.audio_data import make_audio
from tests.nnet.goldens import arrays
from tests.steps.running import succeed
from tests.train.toy import OPTIONS, make_data

torch.set_num_threads(1)

SMALL = {"name": "xvector", "channels": 16, "pooled_channels": 16, "embedding_dim": 8, "layer": "far"}
FBANK = recorded_options(audio_options("fbank", {"num_mel_bins": 12}))
WAVEFORM = FrontEnd("waveform", {}, [], 1)


def experiment(directory, model, front_end):
    """An experiment directory with a network that nobody trained."""
    torch.manual_seed(0)
    directory.mkdir()
    network = build_network(model, front_end.dims).train()
    with torch.no_grad():  # statistics that are not those of the start
        shape = (8, 16000) if front_end.type == "waveform" else (8, 60, front_end.dims)
        for _ in range(10):
            network(torch.randn(shape))
    save_final(directory, network, torch.nn.Identity(), front_end, {"model": model}, {})
    return directory


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Experiments and data directories of features and of audio."""
    work = tmp_path_factory.mktemp("modes")
    experiment(work / "xvector", SMALL, FrontEnd("mfcc", OPTIONS, [], 8))
    experiment(work / "fbank", {**SMALL, "channels": 12}, FrontEnd("fbank", FBANK, ["cmn_utterance"], 12))
    experiment(work / "resnet_se34l", {"name": "resnet_se34l", "channels": 8, "embedding_dim": 8}, WAVEFORM)
    make_data(work / "feats", speakers=4, utterances=10, frames=(15, 120))
    make_audio(work / "audio")
    return work


def extract(exp, data, batch_size=512, **options):
    """The embeddings of a data directory, as steps/extract_xvectors.py computes them, and its batches."""
    options = ExtractionOptions(**options)
    description, front_end = read_description(exp)
    ids = sorted(read_id_map(data / "utt2spk"))
    source = open_for_front_end(front_end, data, ids, {})
    batching = options.batching(front_end, takes_lengths(description["config"]["model"]["name"]), batch_size)
    batches = [[source.ids[row] for row in batch] for batch in cut_batches(source.ids, source.num_frames, batching)]
    vectors = dict(Extractor(exp, data, ids, options).embed(batches))
    assert sorted(vectors) == ids
    return vectors, batches


def agree(vectors, expected, tolerance=1e-5):
    for utterance, vector in vectors.items():
        np.testing.assert_allclose(vector, expected[utterance], atol=tolerance, rtol=tolerance, err_msg=utterance)


def test_padded_batches_give_what_one_by_one_gives(work):
    single, batches = extract(work / "xvector", work / "feats", batch_size=1)
    assert max(map(len, batches)) == 1
    padded, batches = extract(work / "xvector", work / "feats", batch_frames=600)
    lengths = {len(batch) for batch in batches}
    assert max(lengths) > 3
    agree(padded, single)
    with_chunks, _ = extract(work / "xvector", work / "feats", chunk_size=50)
    assert any(not np.allclose(with_chunks[utterance], single[utterance], atol=1e-3) for utterance in single)
    agree(with_chunks, extract(work / "xvector", work / "feats", batch_size=1, chunk_size=50)[0])


def test_a_network_without_masks_gets_batches_of_one_length(work):
    _, batches = extract(work / "resnet_se34l", work / "audio")
    lengths = dict(zip(*_lengths(work / "audio"), strict=True))
    assert max(map(len, batches)) > 1
    assert all(len({lengths[utterance] for utterance in batch}) == 1 for batch in batches)
    ids = sorted(lengths)
    extractor = Extractor(work / "resnet_se34l", work / "audio", ids, ExtractionOptions())
    agree(dict(extractor.embed([ids])), extract(work / "resnet_se34l", work / "audio", batch_size=1)[0])


def _lengths(data):
    source = open_for_front_end(WAVEFORM, data, None, {})
    return source.ids, source.num_frames.tolist()


def test_crops_begin_where_the_original_begins_them():
    expected = arrays("vt_eval_crops")
    cases = sorted({key.split("/")[0] for key in expected})
    assert len(cases) > 20
    for case in cases:
        length, frames, count = map(int, re.fullmatch(r"L(\d+)_f(\d+)_n(\d+)", case).groups())
        if frames == 0:
            continue  # the whole utterance: no option here
        crops = evaluation_crops(np.arange(length, dtype=np.float32), count, crop_rows(WAVEFORM, frames))
        assert crops.shape[1] == 160 * frames + 240
        np.testing.assert_array_equal(crops[:, 0], expected[f"{case}/first_sample"])
        np.testing.assert_array_equal(crops[:, -1], expected[f"{case}/last_sample"])


@pytest.mark.parametrize(("name", "data"), [("xvector", "feats"), ("resnet_se34l", "audio")])
def test_crops_are_embedded_one_by_one(work, name, data):
    front_end, network = read_description(work / name)[1], load_final(work / name).network
    matrices, batches = extract(work / name, work / data, crops=3, crop_frames=40, batch_frames=300)
    assert max(map(len, batches)) == 2
    source = open_for_front_end(front_end, work / data, None, {})
    for index in (0, 5):
        crops = evaluation_crops(source.whole(index), 3, crop_rows(front_end, 40))
        with torch.no_grad():
            expected = torch.cat([network(torch.from_numpy(crop)[None]) for crop in crops])
        np.testing.assert_allclose(matrices[source.ids[index]], expected, atol=1e-5, rtol=1e-5)


def test_waveforms_are_counted_in_hops_of_10_ms(work):
    assert rows_per_frame(WAVEFORM) == 160
    assert rows_per_frame(FrontEnd("fbank", FBANK, [], 12)) == 1
    chunked, _ = extract(work / "resnet_se34l", work / "audio", chunk_size=100)
    whole, _ = extract(work / "resnet_se34l", work / "audio")
    lengths = dict(zip(*_lengths(work / "audio"), strict=True))
    for utterance, length in lengths.items():
        assert np.allclose(chunked[utterance], whole[utterance], atol=1e-6) == (length <= 16000)


def test_short_waveforms_are_repeated():
    np.testing.assert_array_equal(pad(np.arange(3.0), 7), [0, 1, 2, 0, 1, 2, 0])


def test_bf16_is_near(work):
    exact, _ = extract(work / "xvector", work / "feats")
    rough, _ = extract(work / "xvector", work / "feats", precision="bf16")
    for utterance, vector in exact.items():
        difference = np.linalg.norm(rough[utterance] - vector) / np.linalg.norm(vector)
        assert 0 < difference < 0.05


def test_audio_gives_what_written_features_give(work, tmp_path):
    from_audio, _ = extract(work / "fbank", work / "audio")
    network = load_final(work / "fbank").network
    source = open_for_front_end(WAVEFORM, work / "audio", None, {})
    for index in (0, 7):
        rows = compute_features(source.whole(index), FbankOptions(**FBANK))
        rows = rows - rows.mean(axis=0)
        with torch.no_grad():
            expected = network(torch.from_numpy(rows.astype(np.float32))[None])[0]
        np.testing.assert_allclose(from_audio[source.ids[index]], expected, atol=1e-4, rtol=1e-4)


def test_the_step_writes_a_matrix_an_utterance_for_crops(work):
    out = work / "crops"
    arguments = ["--nj", 2, "--crops", 2, "--crop-frames", 50, work / "resnet_se34l", work / "audio", out]
    assert "12 of 12 utterances" in succeed("extract_xvectors.py", *arguments)
    table = load_crops(f"scp:{out}/xvector.scp")
    assert table.matrix.shape == (12, 2, 8)
    assert "done already" in succeed("extract_xvectors.py", *arguments)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_chunk_size": 30, "chunk_size": 20}, "must lie between 1 and --chunk-size=20"),
        ({"precision": "fp16"}, "must be one of float32, tf32, bf16"),
        ({"precision": "tf32"}, "--precision=tf32 is of GPUs"),
        ({"crops": -1}, "must be 0 or more"),
        ({"num_threads": 0}, "must be positive"),
    ],
)
def test_options_that_cannot_be(options, sentence):
    with pytest.raises(InputError, match=sentence):
        ExtractionOptions(**options)


def test_a_directory_without_anything_to_read(work, tmp_path):
    with pytest.raises(InputError, match=r"feats\.scp"):
        Extractor(work / "xvector", tmp_path, ["a"], ExtractionOptions())
