"""Losses against the originals (shared golden/nets: vt_losses, ws_projections): values and gradients."""

import numpy as np
import pytest
import torch

from spkid.nnet import build_loss
from tests.nnet.goldens import arrays, description, tensor

torch.set_num_threads(1)

TRAINER_NAMES = {
    "softmax": "softmax",
    "amsoftmax": "am_softmax",
    "aamsoftmax": "aam_softmax",
    "angleproto": "angular_prototypical",
    "ge2e": "ge2e",
    "proto": "prototypical",
    "triplet": "triplet",
    "softmaxproto": "softmax_prototypical",
}
PARAMETERS = {
    "fc.weight": "weight",
    "fc.bias": "bias",
    "W": "weight",
    "weight": "weight",
    "w": "scale",
    "b": "offset",
    "softmax.fc.weight": "softmax.weight",
    "softmax.fc.bias": "softmax.bias",
    "angleproto.w": "angular.scale",
    "angleproto.b": "angular.offset",
}


def trainer_cases() -> list[dict]:
    return description("vt_losses")["cases"]


def set_weights(loss: torch.nn.Module, rules: str) -> None:
    values = arrays(rules)
    with torch.no_grad():
        for name, parameter in loss.named_parameters():
            if name.endswith("weight"):
                parameter.copy_(tensor(values["W" if parameter.shape[0] == 5 else "Wsub"]))
            elif name.endswith("bias"):
                parameter.copy_(tensor(values["bias"]) if rules == "vt_losses" else torch.tensor(0.1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", trainer_cases(), ids=lambda case: case["id"])
def test_losses_of_the_voxceleb_trainer(case, dtype):
    name = TRAINER_NAMES[case["module"].removeprefix("loss.")]
    options = dict(case["kwargs"])
    if name == "am_softmax":  # the original's margin is a float32 tensor
        options["margin"] = float(np.float32(options["margin"]))
    loss = build_loss(name, embedding_dim=8, num_classes=5, **options)
    set_weights(loss, "vt_losses")
    loss.to(dtype)
    x = tensor(arrays("vt_losses")["x"]).to(dtype).requires_grad_()
    labels = torch.tensor(description("vt_losses")["labels2" if case["input"] == "u0_labels2" else "labels"])
    if case["input"].startswith("u0"):
        value = loss(x[:, 0], labels)
    elif case["input"] == "flat":
        value = loss(x.flatten(0, 1), labels.repeat_interleave(2))
    else:
        value = loss(x, labels)
    value.backward()
    exact = dtype == torch.float64
    expected = {
        key.split("/")[1]: array for key, array in arrays("vt_losses").items() if key.startswith(case["id"] + "/")
    }
    suffix = "64" if exact else ""
    np.testing.assert_allclose(value.item(), expected[f"loss{suffix}"], atol=1e-10 if exact else 5e-6, rtol=0)
    np.testing.assert_allclose(x.grad.numpy(), expected[f"grad_x{suffix}"], atol=1e-10 if exact else 2e-6, rtol=0)
    if exact:
        for key, parameter in PARAMETERS.items():
            if f"grad64_{key}" in expected:
                gradient = loss.get_parameter(parameter).grad
                gradient = gradient.T if key == "W" else gradient
                np.testing.assert_allclose(gradient.numpy(), expected[f"grad64_{key}"], atol=1e-10, rtol=0)


WESPEAKER = {"scale": 32.0, "fallback": "constant"}
SUB_CENTERS = {**WESPEAKER, "sub_centers": 3, "top_k": 2, "top_k_margin": 0.06}
PROJECTIONS = {
    "arc_m0.0": ("aam_softmax", {**WESPEAKER, "margin": 0.0}, None),
    "arc_m0.2": ("aam_softmax", {**WESPEAKER, "margin": 0.2}, None),
    "arc_m2.8": ("aam_softmax", {**WESPEAKER, "margin": 2.8}, None),
    "arc_update0.1": ("aam_softmax", {**WESPEAKER, "margin": 0.0}, 0.1),
    "arc_m0.2_easy": ("aam_softmax", {**WESPEAKER, "margin": 0.2, "easy_margin": True}, None),
    "add_m0.2": ("am_softmax", {"scale": 32.0, "margin": 0.2}, None),
    # The original has no penalty on the hardest others before its first update, and none in large-margin fine-tuning.
    "intertopk_new": ("aam_softmax", {**SUB_CENTERS, "margin": 0.2, "top_k": 0}, None),
    "intertopk_update0.2": ("aam_softmax", {**SUB_CENTERS, "margin": 0.0}, 0.2),
    "intertopk_update0.1": ("aam_softmax", {**SUB_CENTERS, "margin": 0.0}, 0.1),
    "intertopk_lm_update0.5": ("aam_softmax", {**SUB_CENTERS, "margin": 0.0, "top_k": 0}, 0.5),
    "sphereface2_C0.2": ("sphereface2", {"margin": 0.2}, None),
    "sphereface2_A0.15": ("sphereface2", {"margin": 0.15, "kind": "angle"}, None),
}


def projection(case: str) -> torch.nn.Module:
    name, options, margin = PROJECTIONS[case]
    loss = build_loss(name, embedding_dim=8, num_classes=5, **options)
    set_weights(loss, "ws_projections")
    if margin is not None:
        loss.set_margin(margin)
    return loss


@pytest.mark.parametrize("case", sorted(PROJECTIONS))
def test_projections_of_wespeaker(case):
    expected = arrays("ws_projections")
    labels = torch.tensor(description("ws_projections")["labels"])
    loss = projection(case).double()
    x = tensor(expected["x"]).double().requires_grad_()
    value = loss(x, labels)
    value.backward()
    np.testing.assert_allclose(value.item(), expected[f"{case}/loss64"], atol=1e-9, rtol=0)
    np.testing.assert_allclose(x.grad.numpy(), expected[f"{case}/grad_x64"], atol=1e-9, rtol=0)
    if not case.startswith("sphereface2"):
        loss = projection(case)
        logits = loss.penalise(loss.logits(tensor(expected["x"])), labels)
        np.testing.assert_allclose(logits.detach().numpy(), expected[f"{case}/logits"], atol=2e-5, rtol=0)
