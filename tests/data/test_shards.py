"""Packed data directories give the same bytes as the files they were packed from."""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.audio import Recording, read_audio
from spkid.bin import copy_feats
from spkid.data.batches import EpochBatches, SpecAugment
from spkid.data.plan import EpochPlanner
from spkid.data.shards import matrix_bytes, pack, vector_bytes, wave_bytes
from spkid.data.source import FeatureSource
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.matrix import load_matrix, load_vector
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_id_map, read_script, read_table, write_id_map
from tests.audio.files import broken_files, tone, write
from tests.steps.running import refuse, succeed
from tests.train.toy import make_data


@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    shard_bytes=st.integers(1, 200),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_shards_hold_everything_and_stay_small(tmp_path_factory, lengths, shard_bytes, seed):
    folder = tmp_path_factory.mktemp("shards")
    values = {f"id{number}": bytes([number % 251]) * length for number, length in enumerate(lengths)}
    order = np.random.default_rng(seed).permutation(list(values)).tolist()
    entries = pack({key: key for key in values}, values.__getitem__, folder / "x", shard_bytes, {}, order)
    assert list(entries) == list(values)
    for key, entry in entries.items():
        path, _, offset = entry.rpartition(":")
        data = Path(path).read_bytes()
        start = int(offset)
        assert data[start : start + len(values[key])] == values[key]
        assert data[start - len(key) - 1 : start] == f"{key} ".encode()
    for path in folder.iterdir():
        inside = sum(entry.startswith(f"{path}:") for entry in entries.values())
        assert path.stat().st_size <= shard_bytes or inside == 1


def test_fewer_shards_replace_more(tmp_path):
    keys = {f"id{number}": "" for number in range(9)}
    pack(keys, lambda _: b"value", tmp_path / "x", 10, {})
    (tmp_path / "xy.7.ark").write_bytes(b"of another set")
    pack(keys, lambda _: b"value", tmp_path / "x", 100, {})
    assert sorted(os.listdir(tmp_path)) == ["x.1.ark", "xy.7.ark"]
    entries = pack(keys, lambda _: b"value", tmp_path / "x", 100, {})
    with pytest.raises(InputError, match=r"x\.1\.ark would be overwritten while it is read"):
        pack(entries, matrix_bytes, tmp_path / "x", 100, {})


@pytest.fixture(params=["plain", "compressed"])
def data(request, tmp_path):
    directory = make_data(tmp_path / "train")
    if request.param == "compressed":
        target = f"ark,scp:{directory}/small.ark,{directory}/feats.scp"
        assert copy_feats.main(["--compress=true", f"ark:{directory}/feats.ark", target]) == 0
    return directory


def test_training_reads_the_same_bytes(data, tmp_path):
    said = succeed("pack_data.py", "--shard-size", "20K", "--shuffle-seed", 3, data, tmp_path / "packed")
    assert "60 of 60 utterances in" in said
    transforms = ["cmn_sliding_30", "vad"]
    sources = [FeatureSource(directory, transforms) for directory in (data, tmp_path / "packed")]
    assert sources[0].ids == sources[1].ids
    labels = np.array([int(utterance[3:5]) for utterance in sources[0].ids])
    plan = EpochPlanner(labels, sampler="balanced", micro_batch=6, chunk_frames=[24], seed=0).plan(0)
    batches = [EpochBatches(source, labels, plan, 0, 0, SpecAugment()) for source in sources]
    for number in range(len(plan)):
        left, right = batches[0][number], batches[1][number]
        assert torch.equal(left.inputs, right.inputs)
        assert left.ids == right.ids
    files = {entry.rpartition(":")[0] for entry in read_script(tmp_path / "packed" / "feats.scp").values()}
    assert 2 <= len(files) <= 20


def test_kaldis_readers_read_shards(data, tmp_path):
    succeed("pack_data.py", "--shard-size", "20K", data, tmp_path / "packed")
    theirs = kaldiio.load_scp(str(tmp_path / "packed" / "feats.scp"))
    script = read_script(data / "feats.scp")
    assert list(theirs) == list(script)
    for utterance, rxfilename in script.items():
        np.testing.assert_allclose(theirs[utterance], load_matrix(rxfilename), rtol=1e-6, atol=1e-6)
    shard = next((tmp_path / "packed" / "data").glob("feats_packed.2.ark"))
    assert len(list(read_table(f"ark:{shard}", MATRIX))) > 1


def test_text_becomes_binary(tmp_path):
    data = make_data(tmp_path / "train", speakers=2, utterances=2)
    target = f"ark,t,scp:{data}/text.ark,{data}/feats.scp"
    assert copy_feats.main([f"ark:{data}/feats.ark", target]) == 0
    succeed("pack_data.py", data, tmp_path / "packed")
    source = FeatureSource(tmp_path / "packed", [])
    for index, utterance in enumerate(source.ids):
        written = load_matrix(read_script(data / "feats.scp")[utterance])
        assert np.array_equal(source.whole(index), written.astype(np.float32))


def test_a_seed_shuffles_what_lies_in_the_archives(data, tmp_path):
    orders = []
    for number, options in enumerate(([], ["--shuffle-seed", 1], ["--shuffle-seed", 1], ["--shuffle-seed", 2])):
        succeed("pack_data.py", *options, data, tmp_path / f"packed{number}")
        script = read_script(tmp_path / f"packed{number}" / "feats.scp")
        assert list(script) == sorted(script)
        orders.append(sorted(script, key=lambda one: int(script[one].rpartition(":")[2])))
    assert orders[0] == sorted(orders[0])
    assert orders[1] == orders[2]
    assert len({tuple(order) for order in orders}) == 3


def test_packing_again_is_said_to_be_done(data, tmp_path):
    arguments = ["pack_data.py", "--shard-size", "20K", data, tmp_path / "packed"]
    succeed(*arguments)
    before = (tmp_path / "packed" / "feats.scp").stat().st_mtime_ns
    assert "done already" in succeed(*arguments)
    assert (tmp_path / "packed" / "feats.scp").stat().st_mtime_ns == before
    (tmp_path / "packed" / "feats.scp").unlink()
    assert "runs again: output" in succeed(*arguments)
    succeed("validate_data_dir.py", "--no-wav", "--no-text", tmp_path / "packed")


def test_files_about_the_directory_come_along(data, tmp_path):
    write_id_map(data / "utt2num_voiced", dict.fromkeys(DataDir(data).utterances, 7))
    succeed("pack_data.py", data, tmp_path / "packed")
    for name in ("utt2spk", "spk2utt", "utt2num_frames", "utt2num_voiced", "feats.json"):
        assert (tmp_path / "packed" / name).read_bytes() == (data / name).read_bytes()


def test_only_some_files_can_be_packed(data, tmp_path):
    succeed("pack_data.py", "--files", "vad.scp", data, tmp_path / "packed")
    assert (tmp_path / "packed" / "feats.scp").read_bytes() == (data / "feats.scp").read_bytes()
    assert "packed/data/vad_packed.1.ark" in (tmp_path / "packed" / "vad.scp").read_text()
    assert "'feats' is none of wav.scp, feats.scp, vad.scp" in refuse("pack_data.py", "--files", "feats", data, "x")
    assert "wav.scp: no such file" in refuse("pack_data.py", "--files", "wav.scp", data, tmp_path / "none")


def test_help_shows_an_example():
    assert "utils/pack_data.py --shard-size 1G data/train data/train_packed" in succeed("pack_data.py", "--help")


def test_the_source_stays_what_it_was(data, tmp_path):
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    assert "is the source itself" in refuse("pack_data.py", data, data)
    assert "--shard-size '3X' will not do" in refuse("pack_data.py", "--shard-size", "3X", data, tmp_path / "packed")
    succeed("pack_data.py", data, tmp_path / "packed")
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


def test_what_cannot_be_read_is_left_out_and_named(data, tmp_path):
    script = read_id_map(data / "feats.scp")
    script["spk02-utt03"] = f"{data}/feats.ark:7"
    write_id_map(data / "feats.scp", script)
    said = succeed("pack_data.py", data, tmp_path / "packed")
    assert "spk02-utt03 is left out: " in said
    assert "59 of 60 utterances" in said
    assert "spk02-utt03" not in DataDir(tmp_path / "packed").utterances
    succeed("validate_data_dir.py", "--no-wav", "--no-text", tmp_path / "packed")
    sentence = refuse("pack_data.py", "--min-fraction", 1, data, tmp_path / "whole")
    assert "59 of 60 utterances done" in sentence
    assert not (tmp_path / "whole" / "feats.scp").exists()


def test_vectors_and_ranges_and_doubles(tmp_path):
    rng = np.random.default_rng(0)
    matrix, vector = rng.normal(size=(30, 4)), rng.normal(size=9).astype(np.float32)
    kaldiio.save_mat(str(tmp_path / "double.mat"), matrix)
    with TableWriter(f"ark,scp:{tmp_path}/v.ark,{tmp_path}/v.scp", VECTOR) as writer:
        writer.write("v", vector)
    (rxfilename,) = read_script(tmp_path / "v.scp").values()
    names = {
        "whole": f"{tmp_path}/double.mat",
        "part": f"{tmp_path}/double.mat[5:9]",
        "pipe": f"cat {tmp_path}/double.mat |",
    }
    entries = pack(names, matrix_bytes, tmp_path / "m", 10**6, {})
    assert load_matrix(entries["whole"]).dtype == np.float64
    assert np.array_equal(load_matrix(entries["whole"]), matrix)
    assert np.array_equal(load_matrix(entries["part"]), matrix[5:10].astype(np.float32))
    assert np.array_equal(load_matrix(entries["pipe"]), matrix.astype(np.float32))
    assert np.array_equal(load_vector(pack({"v": rxfilename}, vector_bytes, tmp_path / "w", 100, {})["v"]), vector)
    failed = {}
    assert pack({"v": rxfilename}, matrix_bytes, tmp_path / "n", 100, failed) == {}
    assert "holds a vector where a matrix was expected" in failed["v"]


def test_damaged_matrices_are_named(tmp_path):
    with TableWriter(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp", MATRIX) as writer:
        writer.write("f", np.ones((100, 4), np.float32))
    data = (tmp_path / "f.ark").read_bytes()
    (tmp_path / "f.ark").write_bytes(data[:-1])
    failed = {}
    pack(read_script(tmp_path / "f.scp"), matrix_bytes, tmp_path / "x", 100, failed)
    assert "truncated or damaged, the header claims 100 x 4 values" in failed["f"]
    assert not (tmp_path / "x.1.ark").exists()


@pytest.fixture
def audio(tmp_path):
    """A data directory of audio of all kinds."""
    folder = tmp_path / "wav"
    folder.mkdir()
    rng = np.random.default_rng(0)
    fine = (rng.normal(size=8000) * 0.1).astype(np.float32)
    files = {
        "a-flac": write(folder / "a.flac", tone()),
        "b-flac24": write(folder / "b.flac", fine, subtype="PCM_24"),
        "c-wav": write(folder / "c.wav", tone(channels=2)),
        "d-float": write(folder / "d.wav", fine, subtype="FLOAT"),
        "e-pipe": f"cat {write(folder / 'e.wav', tone(0.3))} |",
        "f-ogg": write(folder / "f.ogg", tone(0.5)),
        "g-loud": write(folder / "g.flac", np.array([-32768, 32767] * 100, np.int16)),
    }
    directory = tmp_path / "data"
    directory.mkdir()
    write_id_map(directory / "wav.scp", files)
    write_id_map(directory / "utt2spk", {key: key[0] for key in files})
    write_id_map(directory / "spk2utt", {key[0]: key for key in files})
    return directory


def test_audio_keeps_its_samples(audio, tmp_path):
    succeed("pack_data.py", "--shard-size", "100K", audio, tmp_path / "packed")
    script = read_script(tmp_path / "packed" / "wav.scp")
    for key, rxfilename in read_script(audio / "wav.scp").items():
        with Recording(rxfilename) as original, Recording(script[key]) as packed:
            assert np.array_equal(original.read(), packed.read())
            assert (original.rate, original.channels) == (packed.rate, packed.channels)
            assert np.array_equal(original.read(50, 90), packed.read(50, 90))
    path = read_script(audio / "wav.scp")["c-wav"]
    assert wave_bytes(path) == Path(path).read_bytes()
    again = succeed("pack_data.py", "--shard-size", "1M", tmp_path / "packed", tmp_path / "one")
    assert "in 1 archives" in again
    assert np.array_equal(
        read_audio(read_script(tmp_path / "one" / "wav.scp")["a-flac"])[0], read_audio(script["a-flac"])[0]
    )


def test_kaldiio_reads_packed_audio(audio, tmp_path):
    succeed("pack_data.py", audio, tmp_path / "packed")
    theirs = kaldiio.load_scp(str(tmp_path / "packed" / "wav.scp"))
    rate, samples = theirs["a-flac"]
    assert rate == 16000
    assert np.array_equal(samples, tone()[:, 0])


def test_segments_of_a_lost_recording_are_lost(audio, tmp_path):
    kinds = broken_files(tmp_path)
    wav = read_id_map(audio / "wav.scp")
    wav["c-wav"] = str(kinds["truncated.flac"][0])
    write_id_map(audio / "wav.scp", wav)
    segments = {f"{key}-{number}": f"{key} 0 0.2" for key in wav for number in range(2)}
    write_id_map(audio / "segments", segments)
    write_id_map(audio / "utt2spk", {key: key[0] for key in segments})
    write_id_map(audio / "spk2utt", {key[0]: " ".join(one for one in segments if one[0] == key[0]) for key in wav})
    said = succeed("pack_data.py", "--min-fraction", 0.5, audio, tmp_path / "packed")
    assert "12 of 14 utterances" in said
    packed = DataDir(tmp_path / "packed")
    assert not any(utterance.startswith("c-") for utterance in packed.utterances)
    assert len(packed.wav_scp) == 6
    record = json.loads((tmp_path / "packed" / "data" / "pack_data_packed" / ".done.json").read_text())
    assert sorted(record["ids"]["failed"]) == ["c-wav-0", "c-wav-1"]


def test_audio_that_is_broken_is_named(tmp_path):
    for kind, (path, words) in broken_files(tmp_path).items():
        failed = {}
        pack({kind: str(path)}, wave_bytes, tmp_path / "x", 100, failed)
        assert words in failed[kind], kind


def test_crops_of_archived_audio_read_only_themselves(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.random.default_rng(0).normal(size=16000 * 60).astype(np.float32) * 0.1, 16000, "PCM_16")
    entries = pack({"a": str(path), "b": str(path)}, wave_bytes, tmp_path / "x", 10**9, {})
    with open("/proc/self/io") as counters:
        before = int(counters.readline().split()[1])
    with Recording(entries["b"]) as recording:
        crop = recording.read(400_000, 432_000)
    with open("/proc/self/io") as counters:
        after = int(counters.readline().split()[1])
    with Recording(str(path)) as recording:
        assert np.array_equal(crop, recording.read(400_000, 432_000))
    assert after - before < 200_000


def test_processes_share_open_archives(tmp_path):
    samples = np.random.default_rng(0).integers(-9000, 9000, size=(40, 8000)).astype(np.int16)
    files = {f"u{number:02}": write(tmp_path / f"{number}.wav", one) for number, one in enumerate(samples)}
    entries = list(pack(files, wave_bytes, tmp_path / "x", 10**9, {}).values())
    read_audio(entries[0])
    with ProcessPoolExecutor(3, get_context("fork")) as pool:
        for _ in range(3):
            found = [wave for wave, _ in pool.map(read_audio, entries, chunksize=1)]
            assert np.array_equal(np.stack(found), samples / np.float32(32768))


def test_archives_of_audio_stay_open_and_are_opened_anew_when_replaced(tmp_path):
    files = {name: write(tmp_path / f"{name}.flac", tone(0.2, amplitude=int(name))) for name in ("1000", "2000")}
    opened = []
    entries = pack(files, wave_bytes, tmp_path / "x", 10**6, {})
    read_audio(entries["1000"])
    sys.addaudithook(lambda event, values: opened.append(values[0]) if event == "open" else None)
    loud, louder = (read_audio(entries[name])[0] for name in files)
    assert not [path for path in opened if str(path).endswith(".ark")]
    assert np.abs(louder).max() > 1.9 * np.abs(loud).max()
    replaced = pack({"1000": files["2000"]}, wave_bytes, tmp_path / "x", 10**6, {})
    assert replaced["1000"] == entries["1000"]
    assert np.array_equal(read_audio(replaced["1000"])[0], louder)
    for lost in (f"{tmp_path}:5", f"{tmp_path}/none.ark:5"):
        with pytest.raises(InputError, match=r"cannot read .*director"):
            read_audio(lost)
