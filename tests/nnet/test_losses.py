"""Numbers counted on the originals (shared SYSTEMS.md) and properties of metric and frame losses."""

import pytest
import torch

from spkid.nnet import build_loss

torch.set_num_threads(1)
METRIC = ["angular_prototypical", "cosine_triplet", "ge2e", "prototypical", "softmax_prototypical", "triplet"]


def formula_embeddings(utterances: int = 2) -> torch.Tensor:
    i, u, d = torch.meshgrid(torch.arange(4), torch.arange(utterances), torch.arange(8), indexing="ij")
    return torch.sin(1 + 0.7 * i + 1.3 * u + 0.37 * d.double()).float()


@pytest.mark.parametrize(
    ("name", "options", "utterances", "expected"),
    [
        ("angular_prototypical", {}, 2, 4.945637),
        ("ge2e", {}, 2, 5.645966),
        ("prototypical", {}, 2, 4.056324),
        ("angular_prototypical", {}, 3, 8.027683),
        ("ge2e", {}, 3, 5.012386),
        ("triplet", {"margin": 0.1, "hard_rank": 0, "hard_prob": 1}, 2, 1.043035),
        ("cosine_triplet", {"margin": 0.1}, 2, 0.479677),
        ("cosine_triplet", {"margin": 0.1, "reduction": "sum"}, 2, 1.918708),
        ("cosine_triplet", {"margin": 0.2}, 2, 0.554677),
    ],
)
def test_metric_loss_values(name, options, utterances, expected):
    value = build_loss(name, **options)(formula_embeddings(utterances))
    assert value.item() == pytest.approx(expected, abs=5e-6)


def test_softmax_prototypical_value():
    loss = build_loss("softmax_prototypical", embedding_dim=8, num_classes=5)
    c, d = torch.arange(5).double(), torch.arange(8).double()
    with torch.no_grad():
        loss.softmax.weight.copy_(torch.cos(0.5 + 0.9 * c[:, None] + 0.23 * d[None, :]))
        loss.softmax.bias.copy_(0.1 * c)
    assert loss(formula_embeddings(), torch.arange(4)).item() == pytest.approx(6.126451, abs=5e-6)
    with pytest.raises(ValueError, match="needs the speakers' labels"):
        loss(formula_embeddings())


@pytest.mark.parametrize("name", METRIC)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_metric_losses_are_finite_at_cosine_one_and_minus_one(name, dtype, sign):
    loss = build_loss(name, embedding_dim=4, num_classes=3)
    one = torch.eye(3, 4)
    embeddings = torch.stack([one, sign * one], dim=1).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        value, right = loss.loss_and_correct(embeddings, torch.arange(3))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()
    assert right.shape == (3,)
    assert bool(right.all()) == (sign > 0)


@pytest.mark.parametrize("options", [{"kind": "cosine"}, {"kind": "angle"}])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_sphereface2_is_finite_at_cosine_one_and_minus_one(options, sign):
    loss = build_loss("sphereface2", embedding_dim=4, num_classes=3, **options)
    with torch.no_grad():
        loss.weight.copy_(torch.eye(3, 4))
    embeddings = (sign * torch.eye(3, 4)).bfloat16().requires_grad_()
    value = loss(embeddings, torch.arange(3))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()
    assert loss.weight.grad.isfinite().all()


def test_sub_centres_take_the_nearest_and_top_k_penalises_the_hardest_others():
    torch.manual_seed(0)
    x, labels = torch.randn(16, 8), torch.randint(0, 5, (16,))
    loss = build_loss("aam_softmax", embedding_dim=8, num_classes=5, sub_centers=3, top_k=2, margin=0.2)
    logits = loss.logits(x)
    every = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(loss.weight).T
    torch.testing.assert_close(logits, 30 * every.reshape(16, 5, 3).amax(2))
    changed = (loss.penalise(logits, labels) - logits).abs() > 1e-4
    assert (changed.sum(dim=1) == 3).all()
    assert changed.gather(1, labels[:, None]).all()
    with pytest.raises(ValueError, match="top_k=5 must lie between 0 and 4"):
        build_loss("aam_softmax", embedding_dim=8, num_classes=5, top_k=5)


def test_triplets_take_semi_hard_negatives_where_there_are_any():
    distances = torch.tensor([[0.5, 0.55, 0.1, 2.0], [2.0, 0.5, 0.2, 3.0], [0.1, 0.2, 0.3, 0.35], [1.0, 1.0, 1.0, 0.1]])
    loss = build_loss("triplet", margin=0.1, hard_rank=-1)
    for _ in range(20):
        chosen = loss.negatives(distances)
        assert chosen[0] == 1
        assert chosen[2] == 3
        assert chosen[1] != 1
        assert chosen[3] != 3
    hardest = build_loss("triplet", hard_rank=0, hard_prob=1)
    assert hardest.negatives(distances) == [2, 2, 0, 0]
    two = build_loss("triplet", hard_rank=1, hard_prob=1)
    assert {two.negatives(distances)[0] for _ in range(30)} == {1, 2}


def test_cosine_triplet_takes_three_vectors():
    x = formula_embeddings()
    triplets = torch.cat([x, x[:, 1:].roll(1, dims=0)], dim=1)
    loss = build_loss("cosine_triplet", margin=0.2)
    torch.testing.assert_close(loss(triplets), loss(x))


@pytest.mark.parametrize("shape", [(4, 8), (4, 1, 8), (4, 3, 8)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(speakers, utterances, dims\) with 2 utterances"):
        build_loss("triplet")(torch.randn(shape))


def test_frame_losses():
    bce, nll = build_loss("bce"), build_loss("nll")
    probability = torch.tensor([[0.25, 0.5, 1.0]], requires_grad=True)
    value, right = bce.loss_and_correct(probability, torch.tensor([[0, 1, 1]]))
    assert value.item() == pytest.approx((0.287682 + 0.693147) / 3, abs=1e-5)
    assert right.tolist() == [[True, False, True]]
    certain = torch.tensor([[1.0, 0.0]]).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        wrong = bce(certain, torch.tensor([[0, 1]]))
    wrong.backward()
    assert wrong.isfinite()
    assert certain.grad.isfinite().all()
    value, right = nll.loss_and_correct(torch.log(torch.tensor([[0.5, 0.5], [0.1, 0.9]])), torch.tensor([0, 0]))
    assert value.item() == pytest.approx((0.693147 + 2.302585) / 2, abs=1e-5)
    assert right.tolist() == [True, False]
    with pytest.raises(ValueError, match=r"\(1, 3\) probabilities with \(1, 2\) labels"):
        bce(probability, torch.zeros(1, 2))
