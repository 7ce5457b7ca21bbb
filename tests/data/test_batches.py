"""The order of an epoch and what its chunks hold follow from seed, epoch and ids alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.data.batches import EpochBatches, SpecAugment, chunk_rng, iterate, read_chunk
from spkid.data.plan import EpochPlanner
from spkid.data.source import FeatureSource
from spkid.kaldi import InputError
from spkid.kaldi.tables import read_script
from tests.train.toy import make_data


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return FeatureSource(make_data(tmp_path_factory.mktemp("data") / "train"), ["cmn_sliding_30", "vad"])


def batches(source, epoch=0):
    labels = np.array([int(utterance[3:5]) for utterance in source.ids])
    planner = EpochPlanner(labels, sampler="shuffled", micro_batch=8, chunk_frames=[20, 30], seed=0)
    return EpochBatches(source, labels, planner.plan(epoch), 0, epoch, SpecAugment(1, 5, 1, 2))


def collect(source, first=0, workers=0):
    epoch = batches(source)
    found = iterate(epoch, range(first, len(epoch)), workers)
    return [(batch.inputs.numpy(), batch.labels.tolist(), batch.ids) for batch in found]


def same(left, right):
    return len(left) == len(right) and all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(left, right, strict=True)
    )


def test_workers_change_nothing(source):
    assert same(collect(source), collect(source, workers=2))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_utterance_that_cannot_be_read_is_one_sentence(tmp_path, workers):
    data = make_data(tmp_path / "train", speakers=2, utterances=8)
    last = int(read_script(str(data / "feats.scp"))["spk01-utt07"].rpartition(":")[2])
    (data / "feats.ark").write_bytes((data / "feats.ark").read_bytes()[: last + 20])
    source = FeatureSource(data, [])
    with pytest.raises(InputError, match=r"utterance spk01-utt07: .*feats\.ark") as error:
        list(iterate(batches(source), range(2), workers))
    assert "\n" not in str(error.value)


def test_an_epoch_can_be_taken_up_anywhere(source):
    assert same(collect(source)[3:], collect(source, first=3))


def test_labels_and_ids_belong_to_the_chunks(source):
    for features, labels, ids in collect(source):
        assert [int(utterance[3:5]) for utterance in ids] == labels
        assert features.shape[0] == len(ids)


def test_a_chunk_does_not_depend_on_the_other_utterances(source):
    fewer = FeatureSource(source.data_dir, ["cmn_sliding_30", "vad"], source.ids[10:20])
    for index, utterance in enumerate(fewer.ids):
        left = read_chunk(fewer, index, 20, chunk_rng(3, 4, utterance, 0))
        right = read_chunk(source, index + 10, 20, chunk_rng(3, 4, utterance, 0))
        assert np.array_equal(left, right)


def test_short_utterances_are_repeated(source):
    length = int(source.num_frames[0])
    chunk = read_chunk(source, 0, 3 * length + 5, chunk_rng(0, 0, "x", 0))
    whole = source.whole(0)
    assert np.array_equal(chunk, np.concatenate([whole, whole, whole, whole[:5]]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 10))
@settings(deadline=None)
def test_masks_are_bands_of_bounded_width(seed, frames, dims):
    chunk = np.ones((frames, dims), np.float32)
    augment = SpecAugment(time_masks=1, time_width=7, frequency_masks=1, frequency_width=3)
    augment.apply(chunk, chunk_rng(seed, 0, "u", 0))
    rows, columns = np.flatnonzero(~chunk.any(axis=1)), np.flatnonzero(~chunk.any(axis=0))
    assert set(np.unique(chunk)) <= {0.0, 1.0}
    if len(rows) < frames and len(columns) < dims:
        assert len(rows) <= 7
        assert len(columns) <= 3
        assert (np.diff(rows) == 1).all()
        assert (np.diff(columns) == 1).all()
