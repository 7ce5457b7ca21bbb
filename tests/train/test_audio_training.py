"""Training from audio: the same bytes whatever reads it, and networks that know how their features are made."""

import json

import numpy as np
import pytest
import torch
import yaml

from spkid.audio import WaveOptions
from spkid.data.audio_options import audio_options
from spkid.data.audio_source import AudioSource
from spkid.data.front_end import FeatureRecord, write_record
from spkid.features import fbank
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, TableWriter
from spkid.train.config import config_from_dict, load_config
from spkid.train.experiment import read_description
from spkid.train.extraction import Extractor
from spkid.train.extraction_options import ExtractionOptions
from spkid.train.inputs import input_files
from spkid.train.run import train_from_directory
from tests.data.audio_data import archive, make_audio, voice, write_vad
from tests.train.toy import write_trials

torch.set_num_threads(1)
OPTIONS = {"num_mel_bins": 20, "snip_edges": False}
CONFIG = """
features: {type: fbank, source: audio, cmn: utterance, vad: true, options: {num_mel_bins: 20, snip_edges: false}}
threads: 1
device: cpu
model: {name: xvector, embedding_dim: 16, channels: 24, pooled_channels: 32, layer: far}
loss: {name: am_softmax, margin: 0.1, scale: 20}
data: {chunk_frames: [30, 40], micro_batch: 8, spec_augment: {time_masks: 1, frequency_masks: 1}}
optimizer: {name: adam, lr: 0.005}
schedule: {name: one_cycle, epochs: 2}
validation: {fraction: 0.1, trials_every: 1}
"""


def config(augmentation=(), **changes):
    values = yaml.safe_load(CONFIG)
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    values["data"]["augmentation"] = list(augmentation)
    return config_from_dict(values, "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train and dev with audio and decisions on speech, noise to add; an experiment in exp."""
    folder = tmp_path_factory.mktemp("audio")
    for name, speakers in (("train", 4), ("dev", 3)):
        data = make_audio(folder / name, speakers=speakers, utterances=5)
        source = AudioSource(data, WaveOptions(16000))
        lengths = {utterance: source.length(index) for index, utterance in enumerate(source.ids)}
        write_vad(data, lengths, audio_options("fbank", OPTIONS))
    write_trials(folder / "dev")
    archive(folder / "noise", {"noise": voice(900, 2.0)})
    train_from_directory(config(augment(folder)), folder / "train", folder / "exp", None, folder / "dev" / "trials")
    return folder


def augment(folder) -> list[dict]:
    return [
        {"name": "speed", "new_speakers": True},
        {"name": "one_of", "choices": [{"name": "noise", "dir": str(folder / "noise")}, {"name": "simulated_room"}]},
    ]


def test_a_network_trained_on_audio_says_how_its_features_are_made(folder):
    description, front_end = read_description(folder / "exp")
    assert front_end.type == "fbank"
    assert front_end.options["num_mel_bins"] == 20
    assert front_end.transforms == ["vad", "cmn_utterance"]
    assert front_end.dims == 20
    assert description["speakers"] == 12
    names = (folder / "exp" / "speakers.txt").read_text().split()
    assert names == [prefix + f"spk{one:02d}" for prefix in ("", "sp0.9-", "sp1.1-") for one in range(4)]
    rows = [json.loads(line) for line in (folder / "exp" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["dev_eer"] <= 1 and row["valid_loss"] > 0 for row in rows)


def test_reading_processes_change_no_bit(folder, tmp_path):
    train_from_directory(config(augment(folder), data={"workers": 2}), folder / "train", tmp_path)
    expected = (folder / "exp" / "final.safetensors").read_bytes()
    assert (tmp_path / "final.safetensors").read_bytes() == expected


def test_embeddings_are_the_same_from_audio_and_from_features(folder, tmp_path):
    source = AudioSource(folder / "dev", WaveOptions(16000))
    made = audio_options("fbank", OPTIONS)
    for name in ("vad.scp", "utt2spk"):
        (tmp_path / name).write_bytes((folder / "dev" / name).read_bytes())
    with TableWriter(f"ark,scp:{tmp_path}/feats.ark,{tmp_path}/feats.scp", MATRIX) as writer:
        for index, utterance in enumerate(source.ids):
            writer.write(utterance, fbank(source.whole(index), made))
    write_record(tmp_path, FeatureRecord("fbank", OPTIONS | {"subtract_mean": False, "window_type": "povey"}))
    vectors = []
    for data in (folder / "dev", tmp_path):
        extractor = Extractor(folder / "exp", data, source.ids, ExtractionOptions(100, 25))
        vectors.append(dict(extractor.embed([source.ids])))
    assert sorted(vectors[0]) == sorted(source.ids)
    for utterance in source.ids:
        np.testing.assert_allclose(vectors[0][utterance], vectors[1][utterance], rtol=1e-4, atol=1e-5)


def test_networks_that_take_waveforms(folder, tmp_path):
    changes = {
        "features": {"type": "waveform", "source": "audio", "cmn": "none", "vad": True},
        "model": {"name": "resnet_se34l", "embedding_dim": 16},
        "data": {"chunk_frames": 20, "micro_batch": 8, "augmentation": [{"name": "gain"}]},
        "schedule": {"name": "constant", "epochs": 1},
    }
    whole = config_from_dict({**yaml.safe_load(CONFIG), **changes}, "test")
    values = train_from_directory(whole, folder / "train", tmp_path, None, folder / "dev" / "trials")
    assert 0 <= values["dev_eer"] <= 1
    assert read_description(tmp_path)[1].type == "waveform"


def test_what_is_frozen_can_be_read_again_and_names_its_inputs(folder):
    frozen = config(augment(folder))
    assert config_from_dict(json.loads(json.dumps(frozen.to_dict())), "again") == frozen
    files = input_files(frozen, folder / "train", None, folder / "dev" / "trials")
    for path in ("train/wav.scp", "train/vad.scp", "dev/wav.scp", "noise/wav.scp"):
        assert folder / path in files
    assert folder / "train" / "feats.scp" not in files


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("features: {type: fbank, source: web}", r"features\.source"),
        ("features: {type: fbank, options: {num_mel_bins: 3}}", r"features\.options are for features\.source: audio"),
        ("features: {type: fbank, source: audio}", r"cmn: sliding is a mean over frames that features\.vad leaves out"),
        ("features: {type: plp, source: audio}", "features of type plp cannot be computed from audio"),
        ("features: {type: waveform, source: audio}", r"features\.cmn must be none for waveforms"),
        ("features: {type: fbank, source: audio, vad: false, options: {mel_bins: 3}}", "did you mean 'num_mel_bins'"),
        ("features: {type: fbank}\ndata: {augmentation: [{name: gain}]}", r"data\.augmentation acts on audio"),
        (
            "features: {type: fbank, source: audio, vad: false}\n"
            "data: {augmentation: [{name: noise, dir: x, snr: [9, 0]}]}",
            "wrong way round",
        ),
        (
            "features: {type: fbank, source: audio, vad: false}\n"
            "data: {sampler: triplets, augmentation: [{name: speed, new_speakers: true}]}\n"
            "loss: {name: cosine_triplet}",
            "say new_speakers: false",
        ),
        (
            "features: {type: waveform, source: audio, vad: false, cmn: none}\ndata: {spec_augment: {time_masks: 1}}",
            r"data\.spec_augment masks features",
        ),
        ("features: {type: waveform, source: audio, vad: false, cmn: none}", "xvector takes features, not waveforms"),
        ("features: {type: fbank}\nmodel: {name: rawnet3}", "rawnet3 takes waveforms, not fbank"),
    ],
)
def test_what_does_not_go_together(tmp_path, text, sentence):
    path = tmp_path / "system.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence) as error:
        load_config(path).check_names("system.yaml")
    assert "system.yaml" in str(error.value)


def test_what_cannot_be_read_stops_training_with_its_name(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: is no data directory with audio"):
        train_from_directory(config([{"name": "noise", "dir": "nowhere"}]), folder / "train", tmp_path / "exp")
    data = make_audio(tmp_path / "train", speakers=2)
    (data / "spk01-utt02.wav").write_bytes(b"RIFF")
    plain = config(features={"vad": False}, validation={"fraction": 0}, data={"workers": 1})
    with pytest.raises(InputError, match=r"utterance spk01-utt02: .*spk01-utt02\.wav"):
        train_from_directory(plain, data, tmp_path / "exp")
    (data / "wav.scp").unlink()
    with pytest.raises(InputError, match=r"wav\.scp"):
        train_from_directory(plain, data, tmp_path / "exp")
