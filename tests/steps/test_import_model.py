"""Imports are experiment directories like any other."""

import json

import pytest
import torch

from spkid.train.experiment import load_final, read_description
from tests.nnet.goldens import arrays, case_input, case_weights, deviation
from tests.steps.running import command, refuse, succeed

torch.set_num_threads(1)

IMPORTS = {
    "ws_xvec": ("wespeaker", "fbank"),
    "ds3_campplus_192": ("3dspeaker", "fbank"),
    "sb_ecapa_c512_mfa1536": ("speechbrain", "speechbrain_fbank"),
    "asv_xvector_tap_d30": ("asv_beginner", "mfcc"),
    "vt_resnetse34l_sap_m40": ("voxceleb_trainer", "waveform"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_an_import_is_the_network_with_its_front_end(tmp_path, case):
    source, kind = IMPORTS[case]
    torch.save(case_weights(case), tmp_path / "model.pt")
    words = ["--set", "amplitude=unit", "--set", "n_mels=40"] if kind == "waveform" else []
    said = succeed("import_model.py", "--source", source, *words, tmp_path / "model.pt", tmp_path / "exp")
    assert f"of {source} in {tmp_path / 'exp'}" in said
    model = load_final(tmp_path / "exp")
    with torch.no_grad():
        embedding = model.network(case_input(case))
    assert deviation(embedding, arrays(case)["hash_embedding"]) < 1e-4
    assert model.front_end.type == kind
    assert model.front_end.dims == (1 if kind == "waveform" else case_input(case).shape[-1])
    assert model.description["imported"]["source"] == source
    assert not model.description["imported"]["guesses"]


def test_what_was_left_out_and_guessed_is_said(tmp_path):
    state = {f"__S__.{key}": value for key, value in case_weights("vt_resnetse34l_sap_m40").items()}
    torch.save({**state, "__L__.W": torch.zeros(512, 7)}, tmp_path / "old.model")
    said = succeed("import_model.py", "--source", "voxceleb_trainer", tmp_path / "old.model", tmp_path / "exp")
    assert "note: amplitude='unit' is assumed" in said
    assert "note: the file has no filter bank: n_mels=40 is assumed" in said
    assert "the loss is left out: __L__.W (512, 7)" in said
    assert "1,437,078 parameters, takes waveforms of 16 kHz" in said
    assert read_description(tmp_path / "exp")[0]["imported"]["loss_left_out"] == ["__L__.W"]
    assert "done already" in succeed(
        "import_model.py", "--source", "voxceleb_trainer", tmp_path / "old.model", tmp_path / "exp"
    )


def test_an_encoder_that_does_not_fit_is_refused_unless_partial(tmp_path):
    state = case_weights("ws_xvec")
    del state["frame_2.conv_1d.bias"]
    torch.save(state, tmp_path / "model.pt")
    words = "--source", "wespeaker", tmp_path / "model.pt", tmp_path / "exp"
    sentence = refuse("import_model.py", *words)
    assert "1 tensors of the network are not in the file: frame_level.1.affine.bias" in sentence
    assert "--partial" in sentence
    assert not (tmp_path / "exp" / "final.json").exists()
    said = succeed("import_model.py", "--partial", *words)
    assert "stay random: frame_level.1.affine.bias" in said


def test_options_of_the_network(tmp_path):
    torch.save(case_weights("ws_xvec"), tmp_path / "model.pt")
    words = "--source", "wespeaker", tmp_path / "model.pt", tmp_path / "exp"
    succeed("import_model.py", "--set", "layer=near", *words)
    model = load_final(tmp_path / "exp")
    assert model.network.layer == "near"
    with torch.no_grad():
        near = model.network(case_input("ws_xvec"))
    assert deviation(near, arrays("ws_xvec")["hash_first_layer_embedding"]) < 2e-5
    mistake = refuse("import_model.py", "--set", "laier=near", *words[:-1], tmp_path / "other")
    assert "unknown option of network 'xvector' 'laier' (did you mean 'layer'?)" in mistake
    assert "OPTION=VALUE is needed" in refuse("import_model.py", "--set", "near", *words)
    assert "no network can be built of it" in refuse("import_model.py", "--set", "pooling_options=3", *words)


def test_features_that_a_source_does_not_tell(tmp_path):
    torch.save(case_weights("asv_xvector_tap_d30"), tmp_path / "model.pt")
    (tmp_path / "mfcc.conf").write_text("--num-ceps=30\n--num-mel-bins=30\n")
    (tmp_path / "small.conf").write_text("--num-ceps=20\n")
    words = "--source", "asv_beginner", tmp_path / "model.pt", tmp_path / "exp"
    assert "give --mfcc-config or --fbank-config" in succeed("import_model.py", *words)
    assert read_description(tmp_path / "exp")[1].options is None
    succeed("import_model.py", "--mfcc-config", tmp_path / "mfcc.conf", *words)
    front_end = read_description(tmp_path / "exp")[1]
    assert (front_end.type, front_end.options["num_ceps"]) == ("mfcc", 30)
    assert front_end.transforms == ["cmvn_utterance"]
    (tmp_path / "fbank.conf").write_text("--num-mel-bins=40\n")
    assert "makes fbank of 40 dimensions, the network takes 30" in refuse(
        "import_model.py", "--fbank-config", tmp_path / "fbank.conf", *words
    )
    torch.save(case_weights("ws_xvec"), tmp_path / "ws.pt")
    assert "come with their own front end (fbank)" in refuse(
        "import_model.py",
        "--source",
        "wespeaker",
        "--mfcc-config",
        tmp_path / "mfcc.conf",
        tmp_path / "ws.pt",
        tmp_path / "ws",
    )


def test_a_trained_network_is_not_overwritten(tmp_path):
    torch.save(case_weights("ws_xvec"), tmp_path / "model.pt")
    (tmp_path / "exp").mkdir()
    front_end = {"type": "mfcc", "options": None, "transforms": [], "dims": 30}
    description = {"front_end": front_end, "config": {"model": {"name": "xvector"}}}
    (tmp_path / "exp" / "final.json").write_text(json.dumps(description))
    assert "holds a network that was trained there" in refuse(
        "import_model.py", "--source", "wespeaker", tmp_path / "model.pt", tmp_path / "exp"
    )


def test_networks_that_are_not_known_are_refused_by_name(tmp_path):
    torch.save({"fuse34.local_att.0.weight": torch.zeros(1), "layer3_ds.weight": torch.zeros(2)}, tmp_path / "v2.ckpt")
    sentence = refuse("import_model.py", "--source", "3dspeaker", tmp_path / "v2.ckpt", tmp_path / "exp")
    assert "fit none of its networks that are known from 3dspeaker: campplus, eres2net, ecapa_tdnn" in sentence
    (tmp_path / "text.pt").write_text("no checkpoint")
    assert "cannot be read as a PyTorch checkpoint" in refuse(
        "import_model.py", "--source", "wespeaker", tmp_path / "text.pt", tmp_path / "exp"
    )
    status, _, sentence = command("import_model.py", "--source", "nemo", tmp_path / "text.pt", tmp_path / "exp")
    assert status == 1
    assert "wespeaker" in sentence
