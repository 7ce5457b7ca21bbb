"""Numbers counted on the originals (shared SYSTEMS.md, S2 and "Regression numbers")."""

import math

import pytest
import torch

from spkid.nnet import build_loss, build_model, build_pooling, count_parameters

torch.set_num_threads(1)


def formula_embeddings() -> torch.Tensor:
    i, d = torch.arange(4).double(), torch.arange(8).double()
    return torch.sin(1 + 0.7 * i[:, None] + 0.37 * d[None, :]).float()


def formula_loss(name: str, **options: float) -> torch.nn.Module:
    loss = build_loss(name, embedding_dim=8, num_classes=5, **options)
    c, d = torch.arange(5).double(), torch.arange(8).double()
    with torch.no_grad():
        loss.weight.copy_(torch.cos(0.5 + 0.9 * c[:, None] + 0.23 * d[None, :]))
        if hasattr(loss, "bias"):
            loss.bias.copy_(0.1 * c)
    return loss


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("softmax", {}, 1.258764),
        ("am_softmax", {"margin": 0.2, "scale": 30}, 13.406594),
        ("am_softmax", {"margin": 0.3, "scale": 30}, 15.656594),
        ("aam_softmax", {"margin": 0.2, "scale": 30}, 12.882156),
    ],
)
def test_loss_values(name, options, expected):
    value = formula_loss(name, **options)(formula_embeddings(), torch.arange(4))
    assert value.item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("input_dim", "expected"),
    [(23, 3704724), (24, 3707284), (30, 3722644), (40, 3748244), (80, 3850644)],
)
def test_asv_xvector_parameters(input_dim, expected):
    assert count_parameters(build_model("asv_xvector", input_dim=input_dim)) == expected


def test_asv_xvector_pooling_parameters():
    base = count_parameters(build_model("asv_xvector", input_dim=30))
    assert count_parameters(build_model("asv_xvector", input_dim=30, pooling="statistics")) == base + 768_000
    assert count_parameters(build_model("asv_xvector", input_dim=30, pooling="attentive_statistics")) == 4_586_773


def test_asv_xvector_shapes():
    model = build_model("asv_xvector", input_dim=30).eval()
    frames = model.frame_level(torch.randn(64, 30, 100))
    assert frames.shape == (64, 1500, 86)
    assert model.pooling(frames).shape == (64, 1500)


def test_am_softmax_starts_near_chance():
    torch.manual_seed(0)
    loss = build_loss("am_softmax", embedding_dim=512, num_classes=1000, margin=0.2, scale=30)
    value = loss(torch.randn(256, 512), torch.randint(0, 1000, (256,)))
    assert value.item() == pytest.approx(math.log(1000) + 30 * 0.2, abs=1.0)


def test_pooling_agrees_with_plain_statistics():
    x = torch.randn(3, 7, 50, dtype=torch.float32)
    expected = torch.cat([x.mean(2), x.std(2, unbiased=False)], 1)
    torch.testing.assert_close(build_pooling("statistics", channels=7)(x), expected)
    torch.testing.assert_close(build_pooling("mean", channels=7)(x), x.mean(2))
