"""Pooling layers against the originals' (shared golden/nets, pooling_*)."""

import pytest
import torch

from spkid.nnet import build_pooling
from spkid.nnet.masking import frame_mask
from spkid.nnet.pretrained import fit, rename
from spkid.nnet.published.asv_beginner import ASV_XVECTOR
from spkid.nnet.published.speechbrain import SPEECHBRAIN_ECAPA
from spkid.nnet.published.wespeaker import ASTP as PUBLISHED_ASTP
from spkid.nnet.published.wespeaker import WESPEAKER_POOLING
from tests.nnet.goldens import arrays, description, deviation, hashed_weights, tensor

torch.set_num_threads(1)

ASTP = {"attention_dim": 128, "per_channel": True, **PUBLISHED_ASTP}
SPEECHBRAIN = {
    "attention_dim": 128,
    "per_channel": True,
    "hidden": "relu_norm_tanh",
    "variance_floor": 1e-12,
    "context_epsilon": 1e-12,
}
CASES = {
    "ws_tap": ("mean", {}),
    "ws_tsdp": ("deviation", {"unbiased": True, "epsilon": 1e-7}),
    "ws_tstp": ("statistics", {"unbiased": True, "epsilon": 1e-7}),
    "ws_astp": ("attentive_statistics", ASTP),
    "ws_astp_glob": ("attentive_statistics", {**ASTP, "global_context": True}),
    "ws_mhastp": ("multi_head_attentive_statistics", {}),
    "ws_mhastp_h4_ds2": ("multi_head_attentive_statistics", {"num_heads": 4, "per_channel": True}),
    "ws_mqmhastp": ("multi_query_attentive_statistics", {}),
    "ws_xi": ("xi", {}),
    "ws_xi_std": ("xi", {"deviation": True}),
    "ws_asp": (
        "attentive_statistics",
        {"attention_dim": 128, "per_channel": True, "hidden": "relu_norm", "variance_floor": 1e-5},
    ),
    "ds3_tstp": ("statistics", {"unbiased": True, "epsilon": 1e-8}),
    "ds3_astp_glob": ("attentive_statistics", {**ASTP, "global_context": True}),
    "asv_stat": ("statistics", {"unbiased": True}),
    "asv_tap": ("mean", {}),
    "asv_attentivestat": ("attentive_statistics", {"hidden": "relu", "bounded_score": True}),
    "sb_asp": ("attentive_statistics", SPEECHBRAIN),
    "sb_asp_glob": ("attentive_statistics", {**SPEECHBRAIN, "global_context": True}),
}
RULES = {"ws": WESPEAKER_POOLING, "ds3": WESPEAKER_POOLING, "asv": ASV_XVECTOR, "sb": SPEECHBRAIN_ECAPA}
PREFIX = {"ws": "", "ds3": "", "asv": "pooling.", "sb": "asp."}


def pooling_of(case: str) -> torch.nn.Module:
    source = case.partition("_")[0]
    described = next(entry for entry in description(f"pooling_{source}")["cases"] if entry["id"] == case)
    name, options = CASES[case]
    pooling = build_pooling(name, channels=64, **options)
    own = pooling.state_dict()
    for key, value in hashed_weights(described["state_dict"], described["skipped_keys"]).items():
        target = rename(PREFIX[source] + key, RULES[source]).removeprefix("pooling.")
        own[target] = fit(value, own[target].shape)
    pooling.load_state_dict(own)
    return pooling.eval()


@pytest.mark.parametrize("case", sorted(CASES))
def test_poolings_are_their_originals(case):
    pooling = pooling_of(case)
    expected = arrays("pooling_" + case.partition("_")[0])
    rule = "hash" if f"{case}/hash" in expected else "none"
    with torch.no_grad():
        output = pooling(tensor(arrays("pooling_ws")["P"]))
    assert output.shape == (2, pooling.output_dim)
    assert deviation(output, expected[f"{case}/{rule}"]) < 5e-6


@pytest.mark.parametrize("case", ["sb_asp", "sb_asp_glob"])
@pytest.mark.parametrize(("suffix", "frames"), [("len", 31), ("len75", 38)])
def test_padded_frames_do_not_count(case, suffix, frames):
    # The original takes 0.6 of 50 frames in float32, which is a little more than 30: 31 frames.
    x = tensor(arrays("pooling_ws")["P"])
    with torch.no_grad():
        output = pooling_of(case)(x, frame_mask(torch.tensor([50, frames]), 50, x.device))
    assert deviation(output, arrays("pooling_sb")[f"{case}/hash_{suffix}"]) < 5e-6


def test_max_pooling():
    x = torch.randn(2, 3, 7)
    torch.testing.assert_close(build_pooling("max", channels=3)(x), x.max(dim=2).values)
