"""Networks and their importers against the originals: same weights, same input, same embedding."""

import pytest
import torch

from spkid.nnet import count_parameters, pretrained
from spkid.nnet.masking import TimeConv1d
from tests.nnet.goldens import arrays, case_input, case_weights, description, deviation

torch.set_num_threads(1)

FEATURE_CASES = {
    "asv_xvector_stat_d30": "asv_beginner",
    "asv_xvector_tap_d30": "asv_beginner",
    "sb_ecapa_c512_mfa1536": "speechbrain",
    "sb_ecapa_c1024": "speechbrain",
    "ws_ecapa_glob_c512": "wespeaker",
    "ws_xvec": "wespeaker",
    "ws_resnet34": "wespeaker",
    "ws_campplus_512": "wespeaker",
    "ds3_campplus_192": "3dspeaker",
    "ds3_eres2net_base_192": "3dspeaker",
    "ws_redimnet_b0": "wespeaker",
    "ws_redimnet_b2": "wespeaker",
}


@pytest.mark.parametrize("case", sorted(FEATURE_CASES))
def test_networks_of_features_are_their_originals(case):
    source = FEATURE_CASES[case]
    network = pretrained.load(case_weights(case), source)
    assert count_parameters(network) == description(case)["num_parameters"]
    with torch.no_grad():
        embedding = network(case_input(case))
        assert deviation(embedding, arrays(case)["hash_embedding"]) < 2e-5
        exact = network.double()(case_input(case).double())
    # SpeechBrain divides by a number of frames in float32 even in its float64 run.
    assert deviation(exact, arrays(case)["hash_embedding64"]) < (2e-6 if source == "speechbrain" else 1e-7)


def test_ecapa_counts_only_the_frames_it_is_told_to(monkeypatch):
    # SpeechBrain's convolutions are not told: they see what lies behind an utterance. Ours are; without it they agree.
    monkeypatch.setattr(TimeConv1d, "forward", lambda layer, x, mask=None: torch.nn.Conv1d.forward(layer, x))
    network = pretrained.load(case_weights("sb_ecapa_c512_mfa1536"), "speechbrain")
    with torch.no_grad():
        embedding = network(case_input("sb_ecapa_c512_mfa1536"), torch.tensor([200, 150]))
    assert deviation(embedding, arrays("sb_ecapa_c512_mfa1536")["hash_embedding_len"]) < 2e-5


def test_near_layers_are_the_first_affine_ones():
    for case, layer in (("ws_xvec", "segment6"), ("asv_xvector_stat_d30", "fc1")):
        network = pretrained.load(case_weights(case), FEATURE_CASES[case], layer="near")
        assert getattr(network, layer).out_features == 512
        with torch.no_grad():
            near = network(case_input(case))
        assert deviation(near, arrays(case)["hash_first_layer_embedding"]) < 2e-5


WAVEFORM_CASES = {
    "vt_resnetse34l_sap_m40": 1e-4,
    "vt_resnetse34l_sap_m40_int16": 1e-4,
    "vt_resnetse34v2_asp_m64": 1e-4,
    "vt_vggvox_sap": 1e-4,
    "vt_vggvox_sap_noise": 2e-5,
    "vt_rawnet3_eca_256": 1e-2,
    "vt_rawnet3_eca_256_sinc": 1e-2,
    "vt_rawnet3_eca_256_sinc_noise": 1e-3,
}


@pytest.mark.parametrize("case", sorted(WAVEFORM_CASES))
def test_networks_of_waveforms_are_their_originals(case):
    # Waveforms are in +-1 here; what was trained on integers multiplies by itself.
    amplitude = "int16" if case.endswith("int16") else "unit"
    options = {"n_mels": 40} if "34l" in case else {}
    network = pretrained.load(case_weights(case), "voxceleb_trainer", amplitude=amplitude, **options)
    assert count_parameters(network) == description(case)["num_parameters"]
    wave = torch.from_numpy(arrays("inputs")[description(case)["input"]["key"]].copy())
    with torch.no_grad():
        embedding = network(wave)
    assert deviation(embedding, arrays(case)["hash_embedding"]) < WAVEFORM_CASES[case]
