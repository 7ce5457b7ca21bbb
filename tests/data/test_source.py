"""Features on the fly are the features that Kaldi-style tools would have written."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.bin import apply_cmvn_sliding, copy_feats, select_voiced_frames
from spkid.data.front_end import FeatureRecord, FrontEnd, transforms
from spkid.data.source import FeatureSource, MemorySource, keep_in_memory
from spkid.features.deep_speaker import normalize_frames
from spkid.kaldi import InputError
from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_id_map, read_script, write_id_map
from tests.train.toy import make_data

TRANSFORMS = ["cmn_sliding_30", "vad"]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def data(request, tmp_path_factory):
    """A data directory, and the script of the features that the tools write from it."""
    directory = make_data(tmp_path_factory.mktemp("data") / "train", speakers=2, utterances=3, frames=(35, 400))
    if request.param:
        target = f"ark,scp:{directory}/small.ark,{directory}/feats.scp"
        assert copy_feats.main(["--compress=true", f"ark:{directory}/feats.ark", target]) == 0
    cmn, out = f"ark:{directory}/cmn.ark", f"ark,scp:{directory}/written.ark,{directory}/written.scp"
    options = ["--norm-vars=false", "--center=true", "--cmn-window=30"]
    assert apply_cmvn_sliding.main([*options, f"scp:{directory}/feats.scp", cmn]) == 0
    assert select_voiced_frames.main([cmn, f"scp:{directory}/vad.scp", out]) == 0
    return directory


def test_whole_utterances_equal_written_ones(data):
    source = FeatureSource(data, TRANSFORMS)
    written = read_script(str(data / "written.scp"))
    assert source.ids == list(written)
    for index, utterance in enumerate(source.ids):
        expected = load_matrix(written[utterance])
        assert source.num_frames[index] == len(expected)
        assert np.array_equal(source.whole(index), expected)


@given(choice=st.data())
@settings(max_examples=60, deadline=None)
def test_any_rows_equal_the_rows_of_written_ones(data, choice):
    source = FeatureSource(data, TRANSFORMS)
    written = read_script(str(data / "written.scp"))
    index = choice.draw(st.integers(0, len(source) - 1))
    start = choice.draw(st.integers(0, int(source.num_frames[index])))
    stop = choice.draw(st.integers(start, int(source.num_frames[index])))
    expected = load_matrix(written[source.ids[index]])[start:stop]
    assert np.array_equal(source.rows(index, start, stop), expected)


def test_only_the_rows_behind_a_chunk_are_read(tmp_path, monkeypatch):
    directory = make_data(tmp_path / "train", speakers=1, utterances=1, frames=(5000, 5001))
    source = FeatureSource(directory, ["cmn_sliding_300", "vad"])
    spans = []
    read = source._reader.read
    monkeypatch.setattr(
        source._reader, "read", lambda name, start, stop: spans.append(stop - start) or read(name, start, stop)
    )
    source.rows(0, 2000, 2200)
    assert max(spans) <= 200 / 0.7 + 300


def test_memory_holds_the_same_rows(data):
    source = FeatureSource(data, TRANSFORMS)
    memory = keep_in_memory(source, 1)
    assert isinstance(memory, MemorySource)
    assert keep_in_memory(source, 0) is source
    for index in range(len(source)):
        assert np.array_equal(memory.rows(index, 5, 20), source.rows(index, 5, 20))


def test_a_subset_is_its_utterances(data):
    source = FeatureSource(data, TRANSFORMS)
    part = source.subset(np.arange(len(source)) % 2 == 1)
    assert part.ids == source.ids[1::2]
    for index in range(len(part)):
        assert np.array_equal(part.rows(index, 2, 20), source.rows(2 * index + 1, 2, 20))


def test_utterance_mean_is_that_of_all_frames(data):
    source = FeatureSource(data, ["cmn_utterance"])
    raw = load_matrix(read_script(str(data / "feats.scp"))[source.ids[0]])
    np.testing.assert_allclose(source.rows(0, 3, 30), (raw - raw.mean(0))[3:30], atol=1e-5)


def test_utterance_mean_is_that_of_the_speech_where_the_rest_is_removed(data):
    source = FeatureSource(data, transforms("utterance", 300, True))
    np.testing.assert_allclose(source.whole(0).mean(axis=0), 0, atol=1e-5)
    deviations = FeatureSource(data, transforms("cmvn", 300, True))
    np.testing.assert_allclose(deviations.whole(0).mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(deviations.whole(0).std(axis=0, ddof=1), 1, atol=1e-5)
    assert np.array_equal(deviations.rows(0, 3, 9), deviations.whole(0)[3:9])
    assert not FeatureSource(data, ["cmvn_utterance"]).rows(0, 0, 0).size
    with pytest.raises(InputError, match="cmn_utterance then vad: features cannot be transformed in this order"):
        FeatureSource(data, ["cmn_utterance", "vad"])


def test_frames_normalised_by_themselves_are_those_of_the_speech(data):
    speech = FeatureSource(data, ["vad"])
    source = FeatureSource(data, transforms("frame", 300, True))
    rows = source.rows(0, 3, 30)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows, normalize_frames(speech.rows(0, 3, 30)), atol=1e-6)


@pytest.fixture
def broken(tmp_path):
    return make_data(tmp_path / "train", speakers=2, utterances=2)


def drop_line(path, utterance):
    table = read_id_map(str(path))
    del table[utterance]
    write_id_map(str(path), table)


@pytest.mark.parametrize("name", ["feats.scp", "vad.scp"])
def test_missing_entries_are_named(broken, name):
    drop_line(broken / name, "spk01-utt00")
    ids = list(read_id_map(str(broken / "utt2spk")))
    with pytest.raises(InputError, match=f"{name}: has no entry for utterance spk01-utt00"):
        FeatureSource(broken, TRANSFORMS, ids)
    failed = {}
    assert len(FeatureSource(broken, TRANSFORMS, ids, failed)) == 3
    assert list(failed) == ["spk01-utt00"]


def test_decisions_of_other_features_are_refused(broken):
    with TableWriter(f"ark,scp:{broken}/vad2.ark,{broken}/vad.scp", VECTOR) as writer:
        for utterance in read_id_map(str(broken / "utt2spk")):
            writer.write(utterance, np.ones(7, np.float32))
    with pytest.raises(InputError, match=r"utterance spk00-utt00 has 7 decisions, but its features have \d+ frames"):
        FeatureSource(broken, TRANSFORMS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_numbers_are_named(broken, value):
    matrix = np.ones((50, 8), np.float32)
    matrix[20, 3] = value
    with TableWriter(f"ark,scp:{broken}/bad.ark,{broken}/feats.scp", MATRIX) as writer:
        writer.write("spk00-utt00", matrix)
    (broken / "utt2num_frames").unlink()
    source = FeatureSource(broken, [])
    assert source.rows(0, 30, 40).shape == (10, 8)
    with pytest.raises(InputError, match="utterance spk00-utt00 has NaN or infinite features"):
        source.rows(0, 10, 40)


def test_a_change_of_dimension_is_named(broken):
    with TableWriter(f"ark,scp:{broken}/bad.ark,{broken}/feats.scp", MATRIX) as writer:
        writer.write("spk00-utt00", np.ones((50, 8), np.float32))
        writer.write("spk00-utt01", np.ones((50, 9), np.float32))
    (broken / "utt2num_frames").unlink()
    with pytest.raises(InputError, match="utterance spk00-utt01 has features of 9 dimensions, the first one has 8"):
        FeatureSource(broken, []).rows(1, 0, 10)


def test_a_lost_archive_is_named_with_the_utterance(broken):
    (broken / "feats.ark").unlink()
    with pytest.raises(InputError, match=r"utterance spk00-utt00: .*feats\.ark"):
        FeatureSource(broken, []).rows(0, 0, 10)


def test_counts_that_lie_are_found(broken):
    shutil.copy(broken / "utt2num_frames", broken / "utt2num_voiced")  # all frames, although some are not speech
    source = FeatureSource(broken, TRANSFORMS)
    with pytest.raises(InputError, match="spk00-utt00 has fewer frames of speech than recorded in utt2num_voiced"):
        source.whole(0)


def test_record_and_wish_are_reconciled(tmp_path):
    wanted = transforms("sliding", 300, True)
    assert wanted == ["cmn_sliding_300", "vad"]
    assert FeatureRecord(applied=[]).remaining(wanted, tmp_path) == wanted
    assert FeatureRecord(applied=["cmn_sliding_300"]).remaining(wanted, tmp_path) == ["vad"]
    assert FeatureRecord(applied=wanted).remaining(wanted, tmp_path) == []
    for applied in (["cmn_sliding_200"], ["vad"], [*wanted, "cmn_utterance"]):
        with pytest.raises(InputError, match=rf"feats.json: .*{applied[-1]}.*wants cmn_sliding_300 then vad"):
            FeatureRecord(applied=applied).remaining(wanted, tmp_path)


def test_front_end_names_the_first_difference(tmp_path):
    front_end = FrontEnd("mfcc", {"num_ceps": 30, "low_freq": 20.0}, [], 30)
    front_end.check(FeatureRecord("mfcc", {"num_ceps": 30, "low_freq": 20.0}), tmp_path)
    with pytest.raises(InputError, match="made with num_ceps=23, but the network was trained with num_ceps=30"):
        front_end.check(FeatureRecord("mfcc", {"num_ceps": 23, "low_freq": 20.0}), tmp_path)
    with pytest.raises(InputError, match="the features are fbank, but the network was trained on mfcc"):
        front_end.check(FeatureRecord("fbank", None), tmp_path)
