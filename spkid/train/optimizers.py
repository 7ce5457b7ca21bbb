"""The optimisers that a configuration can name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spkid.kaldi import InputError

if TYPE_CHECKING:  # a configuration is checked without torch, which takes seconds to start
    import torch

DEFAULT_LR = 1.0e-3
COMMON = {"decay_vectors": False, "body_lr_factor": 1.0}

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"lr": DEFAULT_LR, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1.0e-8, **COMMON},
    "adamw": {"lr": DEFAULT_LR, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1.0e-8, **COMMON},
    "sgd": {"lr": DEFAULT_LR, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False, **COMMON},
}


def options(name: str) -> dict[str, Any]:
    """The keys of an optimiser's section and their defaults."""
    return OPTIMIZERS[name]


def check(section: dict[str, Any]) -> None:
    """Raise InputError for values that no training can have."""
    values = {**OPTIMIZERS[section["name"]], **section}
    if not values["lr"] > 0:
        raise InputError(f"optimizer.lr must be positive, not {values['lr']}")
    for key in ("weight_decay", "body_lr_factor"):
        if not values[key] >= 0:
            raise InputError(f"optimizer.{key} must not be negative, not {values[key]}")
    for key in ("beta1", "beta2", "momentum"):
        if not 0 <= values.get(key, 0) < 1:
            raise InputError(f"optimizer.{key} must lie between 0 and 1, not {values[key]}")
    if values.get("nesterov") and not values["momentum"] > 0:
        raise InputError("optimizer.nesterov needs optimizer.momentum above 0")


def build_optimizer(
    section: dict[str, Any], body: Iterable[torch.nn.Parameter], head: Iterable[torch.nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimiser of a checked section for the network (body) and its loss (head).

    Weight decay does not touch vectors (biases, scales of normalisation), which it would only pull to 0, unless
    `decay_vectors` says so, as the published trainers do. Every group has a `lr_factor` that the learning rate is to be
    multiplied by: `body_lr_factor` for the body, 1 for the head.
    """
    import torch

    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    values = {**OPTIMIZERS[section["name"]], **section}
    kind = kinds[values.pop("name")]
    decays, body_factor = values.pop("decay_vectors"), values.pop("body_lr_factor")
    if "beta1" in values:
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    groups = []
    for factor, parameters in ((body_factor, list(body)), (1.0, list(head))):
        matrices = [parameter for parameter in parameters if decays or parameter.dim() > 1]
        vectors = [parameter for parameter in parameters if not (decays or parameter.dim() > 1)]
        groups.append({"params": matrices, "lr_factor": factor})
        groups.append({"params": vectors, "lr_factor": factor, "weight_decay": 0.0})
    return kind([group for group in groups if group["params"]], **values)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate from now on, each group's share of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
