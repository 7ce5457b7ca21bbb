"""The optimisers that a configuration can name."""

from collections.abc import Iterable
from typing import Any

import torch

DEFAULT_LR = 1.0e-3

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

_OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {"lr": DEFAULT_LR, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1.0e-8},
    "adamw": {"lr": DEFAULT_LR, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1.0e-8},
    "sgd": {"lr": DEFAULT_LR, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False},
}


def options(name: str) -> dict[str, Any]:
    """The keys of an optimiser's section and their defaults."""
    return _OPTIONS[name]


def build_optimizer(section: dict[str, Any], parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a checked section. Weight decay does not touch biases: it would only pull them to 0."""
    name = section["name"]
    values = {**_OPTIONS[name], **{key: value for key, value in section.items() if key != "name"}}
    if "beta1" in values:
        values["betas"] = (values.pop("beta1"), values.pop("beta2"))
    parameters = list(parameters)
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1]},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[name]([group for group in groups if group["params"]], **values)
