"""Optimisers: who decays, who learns how fast, and what is refused."""

import pytest
import torch
from torch import nn

from spkid.kaldi import InputError
from spkid.train.optimizers import build_optimizer, check, set_lr

torch.set_num_threads(1)


def modules():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2)


def step(optimizer, body, head):
    generator = torch.Generator().manual_seed(1)
    optimizer.zero_grad()
    head(body(torch.randn(6, 3, generator=generator))).square().mean().backward()
    optimizer.step()


def test_the_sgd_of_asv_beginner_is_that_of_torch():
    """System S2: SGD 0.01, momentum 0.5, weight decay 1e-5 on everything."""
    section = {"name": "sgd", "lr": 0.01, "momentum": 0.5, "weight_decay": 1e-5, "decay_vectors": True}
    ours, theirs = modules(), modules()
    optimizer = build_optimizer(section, ours[0].parameters(), ours[1].parameters())
    parameters = [*theirs[0].parameters(), *theirs[1].parameters()]
    reference = torch.optim.SGD(parameters, lr=0.01, momentum=0.5, weight_decay=1e-5)
    for _ in range(5):
        set_lr(optimizer, 0.01)
        step(optimizer, *ours)
        step(reference, *theirs)
    for one, other in zip([*ours[0].parameters(), *ours[1].parameters()], parameters, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("decay_vectors", [False, True])
def test_weight_decay_touches_vectors_only_where_it_is_told_to(decay_vectors):
    section = {"name": "adamw", "lr": 0.1, "weight_decay": 0.5, "decay_vectors": decay_vectors}
    body, head = modules()
    before = [parameter.detach().clone() for parameter in [*body.parameters(), *head.parameters()]]
    optimizer = build_optimizer(section, body.parameters(), head.parameters())
    for parameter in [*body.parameters(), *head.parameters()]:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for old, new in zip(before, [*body.parameters(), *head.parameters()], strict=True):
        shrinks = decay_vectors or old.dim() > 1
        torch.testing.assert_close(new.detach(), old * 0.95 if shrinks else old)


def test_the_body_learns_at_its_own_rate():
    body, head = modules()
    optimizer = build_optimizer({"name": "adam", "body_lr_factor": 0.1}, body.parameters(), head.parameters())
    set_lr(optimizer, 0.01)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert all(rates[id(parameter)] == pytest.approx(0.001) for parameter in body.parameters())
    assert all(rates[id(parameter)] == 0.01 for parameter in head.parameters())


def test_a_loss_without_weights_needs_no_group():
    body, _ = modules()
    optimizer = build_optimizer({"name": "sgd"}, body.parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"name": "sgd", "momentum": 1.5}, "optimizer.momentum must lie between 0 and 1"),
        ({"name": "sgd", "momentum": 0, "nesterov": True}, "nesterov needs"),
        ({"name": "adam", "weight_decay": -1}, "optimizer.weight_decay must not be negative"),
        ({"name": "adam", "lr": 0}, "optimizer.lr must be positive"),
    ],
)
def test_values_that_cannot_be_are_refused(section, sentence):
    with pytest.raises(InputError, match=sentence):
        check(section)
