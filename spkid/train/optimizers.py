"""The optimisers that a configuration can name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a configuration is checked without torch, which takes seconds to start
    import torch

DEFAULT_LR = 1.0e-3

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"lr": DEFAULT_LR, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1.0e-8},
    "adamw": {"lr": DEFAULT_LR, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1.0e-8},
    "sgd": {"lr": DEFAULT_LR, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False},
}


def options(name: str) -> dict[str, Any]:
    """The keys of an optimiser's section and their defaults."""
    return OPTIMIZERS[name]


def build_optimizer(section: dict[str, Any], parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a checked section. Weight decay does not touch biases: it would only pull them to 0."""
    import torch

    name = section["name"]
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    values = {**OPTIMIZERS[name], **{key: value for key, value in section.items() if key != "name"}}
    if "beta1" in values:
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    parameters = list(parameters)
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1]},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return kinds[name]([group for group in groups if group["params"]], **values)
