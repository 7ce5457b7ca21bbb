"""Batches of single frames: every frame once, with the context that splicing whole utterances would give."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.bin import copy_feats
from spkid.data.batches import iterate
from spkid.data.frame_batches import FrameBatches, utterance_decisions
from spkid.data.source import FeatureSource, MemorySource
from spkid.features import splice
from spkid.kaldi import InputError
from spkid.kaldi.tables import read_script
from spkid.nnet import build_model
from tests.train.toy import make_data

torch.set_num_threads(1)


class Counting:
    """A source whose row t of utterance u is (u, t)."""

    dims = 2

    def __init__(self, lengths):
        self.num_frames = np.array(lengths)
        self.ids = [f"u{number}" for number in range(len(lengths))]

    def __len__(self):
        return len(self.ids)

    def rows(self, index, start, stop):
        assert 0 <= start <= stop <= self.num_frames[index]
        return np.stack([np.full(stop - start, index), np.arange(start, stop)], axis=1).astype(np.float32)

    def whole(self, index):
        return self.rows(index, 0, int(self.num_frames[index]))


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12), frames=st.integers(1, 9),
    micro_batch=st.integers(1, 16), micro_batches=st.integers(1, 3), epoch=st.integers(0, 3), in_memory=st.booleans(),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_every_frame_comes_once_with_its_context(lengths, frames, micro_batch, micro_batches, epoch, in_memory):
    source = Counting(lengths)
    whole = {index: splice(source.whole(index), frames // 2, frames - 1 - frames // 2) for index in range(len(lengths))}
    options = {"frames": frames, "micro_batch": micro_batch, "micro_batches": micro_batches, "seed": 0, "epoch": epoch}
    if sum(lengths) < micro_batch * micro_batches:
        with pytest.raises(InputError, match=f"{sum(lengths)} frames of training do not fill one batch of"):
            FrameBatches(source, np.arange(len(lengths)), **options)
        return
    batches = FrameBatches(MemorySource(source) if in_memory else source, np.arange(len(lengths)) * 10, **options)
    assert len(batches) % micro_batches == 0
    assert sum(lengths) - len(batches) * micro_batch < micro_batch * micro_batches
    seen = set()
    for number in range(len(batches)):
        batch = batches[number]
        assert batch.inputs.shape == (micro_batch, frames, 2)
        for window, label, utterance in zip(batch.inputs.numpy(), batch.labels.tolist(), batch.ids, strict=True):
            index, time = map(int, window[frames // 2])
            assert label == index * 10
            assert utterance == f"u{index}"
            assert np.array_equal(window.ravel(), whole[index][time])
            seen.add((index, time))
    assert len(seen) == len(batches) * micro_batch


def frames_of(batches):
    inputs = torch.cat([batches[number].inputs for number in range(len(batches))])
    return [tuple(frame) for frame in inputs[:, inputs.shape[1] // 2].tolist()]


def test_epochs_are_shuffled_over_the_whole_set():
    source, labels = Counting([40] * 25), np.zeros(25, int)
    options = {"frames": 3, "micro_batch": 50}
    orders = [
        frames_of(FrameBatches(source, labels, **options, seed=seed, epoch=epoch))
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]
    assert set(orders[0]) == set(orders[2])
    first = FrameBatches(source, labels, **options, seed=0, epoch=0)[0]
    assert len(set(first.ids)) > 15


def test_rows_are_read_by_offset_and_processes_change_nothing(tmp_path):
    data = make_data(tmp_path / "train")
    source = FeatureSource(data, ["cmn_sliding_30"])
    labels = np.array([int(utterance[3:5]) for utterance in source.ids])
    options = {"frames": 5, "micro_batch": 500, "seed": 0, "epoch": 0}
    from_disk, from_memory = (
        FrameBatches(one, labels, **options) for one in (source, MemorySource(source))
    )  # fmt: skip
    numbers = range(len(from_disk))
    for left, right in zip(iterate(from_disk, numbers, 1), iterate(from_memory, numbers, 0), strict=True):
        assert torch.equal(left.inputs, right.inputs)
        assert torch.equal(left.labels, right.labels)


def test_an_utterance_that_cannot_be_read_is_one_sentence(tmp_path):
    data = make_data(tmp_path / "train", speakers=2, utterances=4)
    last = int(read_script(data / "feats.scp")["spk01-utt03"].rpartition(":")[2])
    (data / "feats.ark").write_bytes((data / "feats.ark").read_bytes()[: last + 60])
    source = FeatureSource(data, [])
    batches = FrameBatches(source, np.zeros(8), frames=3, micro_batch=100, seed=0, epoch=0)
    with pytest.raises(InputError, match=r"utterance spk01-utt03: .*feats\.ark"):
        list(iterate(batches, range(len(batches)), 0))


def test_an_utterance_is_decided_by_the_sum_of_its_frames(tmp_path):
    source = FeatureSource(make_data(tmp_path / "train", speakers=3, utterances=2), [])
    network = build_model("frame_mlp", input_dim=8, num_classes=3, frames=5, channels=7)
    network.train()
    decisions, sums = utterance_decisions(network, source, 5)
    assert network.training
    assert sums.shape == (6, 3)
    for index in range(6):
        features = source.whole(index)
        expected = np.zeros(3)
        for time in range(len(features)):
            window = features[np.clip(np.arange(time - 2, time + 3), 0, len(features) - 1)]
            expected += network(torch.from_numpy(window).unsqueeze(0))[0].detach().double().numpy()
        np.testing.assert_allclose(sums[index], expected, rtol=1e-5)
        assert decisions[index] == expected.argmax()


def test_nothing_is_decided_about_no_frames():
    network = build_model("frame_mlp", input_dim=2, num_classes=2, frames=3, channels=2)
    with pytest.raises(InputError, match="utterance u0 has no frames"):
        utterance_decisions(network, MemorySource(Counting([0])), 3)


class Voices(Counting):
    """A source of two speakers by turns, whose frames differ a little on average."""

    def rows(self, index, start, stop):
        rng = np.random.default_rng(index)
        voice = np.array([1.0, -1.0]) * (index % 2 - 0.5)
        return (rng.normal(size=(int(self.num_frames[index]), 2)) + voice)[start:stop].astype(np.float32)


def test_a_network_learns_from_frames():
    source = MemorySource(Voices([60] * 12))
    labels = np.arange(12) % 2
    torch.manual_seed(0)
    network = build_model("frame_mlp", input_dim=2, num_classes=2, frames=5, channels=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for epoch in range(3):
        batches = FrameBatches(source, labels, frames=5, micro_batch=40, seed=0, epoch=epoch)
        for batch in iterate(batches, range(len(batches)), 0):
            optimizer.zero_grad()
            torch.nn.functional.nll_loss(network(batch.inputs), batch.labels).backward()
            optimizer.step()
    assert (utterance_decisions(network, source, 5)[0] == labels).all()


def test_compressed_archives_serve(tmp_path):
    data = make_data(tmp_path / "train", speakers=2, utterances=2)
    target = f"ark,scp:{data}/small.ark,{data}/feats.scp"
    assert copy_feats.main(["--compress=true", f"ark:{data}/feats.ark", target]) == 0
    source = FeatureSource(data, [])
    batch = FrameBatches(source, np.zeros(4), frames=1, micro_batch=20, seed=0, epoch=0)[0]
    rows = np.concatenate([source.whole(index) for index in range(4)])
    assert all((rows == row.numpy()).all(axis=1).any() for row in batch.inputs[:, 0])
