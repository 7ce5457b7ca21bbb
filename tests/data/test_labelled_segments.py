"""Segments with a label for every frame: labels stay with their frames, whatever is cut or repeated."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.data.batches import SpecAugment, iterate
from spkid.data.labelled_segments import FrameLabels, LabelledSegments
from spkid.data.plan import EpochPlanner
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_id_map, read_table, write_id_map
from tests.train.toy import make_data

torch.set_num_threads(1)


def make_labelled(folder, lengths, differences=None):
    """Features whose first column is 1 where the label is 1, else -1; label vectors of lengths that may differ."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    feats, vad = (f"ark,scp:{folder}/{name}.ark,{folder}/{name}.scp" for name in ("feats", "vad"))
    with TableWriter(feats, MATRIX) as features, TableWriter(vad, VECTOR) as decisions:
        for number, length in enumerate(lengths):
            labels = (rng.random(length) < 0.6).astype(np.float32)
            matrix = rng.normal(size=(length, 3)).astype(np.float32)
            matrix[:, 0] = 2 * labels - 1
            features.write(f"u{number:02}", matrix)
            difference = (differences or {}).get(number, 0)
            given = labels[:difference] if difference < 0 else np.append(labels, [1.0] * difference)
            decisions.write(f"u{number:02}", given)
    return FeatureSource(folder, [])


def segments(source, labels, frames, *, chunks=1, epoch=0, masks=None):
    planner = EpochPlanner(
        np.zeros(len(source), int), sampler="shuffled", micro_batch=3, chunk_frames=[frames], seed=0,
        chunks_per_utterance=chunks,
    )  # fmt: skip
    return LabelledSegments(source, labels, planner.plan(epoch), 0, epoch, masks or SpecAugment())


@given(
    lengths=st.lists(st.integers(3, 40), min_size=3, max_size=8), frames=st.integers(1, 50), chunks=st.integers(1, 4),
    differences=st.dictionaries(st.integers(0, 7), st.integers(-2, 2)), epoch=st.integers(0, 2),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_labels_stay_with_their_frames(tmp_path_factory, lengths, frames, chunks, differences, epoch):
    folder = tmp_path_factory.mktemp("labelled") / "data"
    source = make_labelled(folder, lengths, differences)
    labels = FrameLabels(folder / "vad.scp", source)
    epoch_of = segments(source, labels, frames, chunks=chunks, epoch=epoch)
    assert len(epoch_of) == len(lengths) * chunks // 3
    for batch in iterate(epoch_of, range(len(epoch_of)), 0):
        assert batch.inputs.shape == (3, frames, 3)
        assert batch.labels.shape == (3, frames)
        assert batch.labels.dtype == torch.float32
        same = batch.labels == (batch.inputs[:, :, 0] > 0)
        for row, utterance in enumerate(batch.ids):
            cut = max(-differences.get(int(utterance[1:]), 0), 0)  # labels that were repeated may be wrong
            repeats = -(-frames // lengths[int(utterance[1:])])
            assert (~same[row]).sum() <= cut * repeats


def test_labels_of_almost_the_right_length_are_fitted(tmp_path):
    source = make_labelled(tmp_path / "data", [10, 10, 10], {0: -2, 1: 2})
    labels = FrameLabels(tmp_path / "data" / "vad.scp", source)
    vectors = dict(read_table(f"scp:{tmp_path}/data/vad.scp", VECTOR))
    assert len(labels) == 3
    assert labels.whole(0)[:, 0].tolist() == [*vectors["u00"], vectors["u00"][-1], vectors["u00"][-1]]
    assert labels.whole(1)[:, 0].tolist() == vectors["u01"][:10].tolist()
    assert labels.rows(2, 3, 6)[:, 0].tolist() == vectors["u02"][3:6].tolist()


@pytest.mark.parametrize("difference", [-3, 3])
def test_labels_of_other_frames_are_refused(tmp_path, difference):
    source = make_labelled(tmp_path / "data", [20, 20, 20], {1: difference})
    with pytest.raises(InputError, match=rf"vad\.scp: utterance u01 has {20 + difference} labels, .* have 20 frames"):
        FrameLabels(tmp_path / "data" / "vad.scp", source)


def test_labels_that_are_missing_or_none_are_refused(tmp_path):
    source = make_labelled(tmp_path / "data", [20, 20, 20])
    path = tmp_path / "data" / "vad.scp"
    with TableWriter(f"ark,scp:{tmp_path}/other.ark,{tmp_path}/other.scp", VECTOR) as writer:
        for utterance in source.ids:
            writer.write(utterance, np.full(20, 0.5 if utterance == "u02" else 1.0, np.float32))
    with pytest.raises(InputError, match=r"other\.scp: utterance u02 has the label 0.5; labels are 0 or 1"):
        FrameLabels(tmp_path / "other.scp", source)
    script = read_id_map(path)
    write_id_map(path, {**script, "u01": f"{tmp_path}/none.ark:4"})
    with pytest.raises(InputError, match=r"utterance u01: cannot read .*none\.ark"):
        FrameLabels(path, source)
    del script["u01"]
    write_id_map(path, script)
    with pytest.raises(InputError, match=r"vad\.scp: has no labels for utterance u01"):
        FrameLabels(path, source)


def test_epochs_processes_and_memory(tmp_path):
    directory = make_data(tmp_path / "train", speakers=3, utterances=5)
    source = FeatureSource(directory, ["cmn_sliding_30"])
    labels = FrameLabels(directory / "vad.scp", source)
    masks = SpecAugment(time_masks=1, time_width=5)
    read = [
        list(iterate(segments(one, labels, 30, chunks=2, epoch=epoch, masks=masks), range(10), workers))
        for one, epoch, workers in ((source, 0, 0), (MemorySource(source), 0, 1), (source, 1, 0))
    ]
    for left, right in zip(read[0], read[1], strict=True):
        assert torch.equal(left.inputs, right.inputs)
        assert torch.equal(left.labels, right.labels)
        assert left.ids == right.ids
    assert not all(torch.equal(left.labels, right.labels) for left, right in zip(read[0], read[2], strict=True))


def test_labels_of_a_subset_are_its_own(tmp_path):
    source = make_labelled(tmp_path / "data", [9, 11, 13, 8])
    part = source.subset(np.array([False, True, False, True]))
    labels = FrameLabels(tmp_path / "data" / "vad.scp", part)
    for index in range(2):
        assert np.array_equal(labels.whole(index)[:, 0], part.whole(index)[:, 0] > 0)
