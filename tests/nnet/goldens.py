"""The cases of shared golden/nets: weights made by rule under the original's key names, and what came out."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from tests.shared import golden


@cache
def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(golden(f"nets/{name}.npz")) as file:
        return dict(file)


@cache
def description(name: str) -> dict[str, Any]:
    return json.loads(golden(f"nets/{name}.json").read_text(encoding="utf-8"))


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def hashed_weights(
    shapes: Iterable[tuple[str, list[int]]], skipped: Iterable[str] = (), override: Mapping[str, str] | None = None
) -> dict[str, torch.Tensor]:
    """The rule `hash` of the README there."""
    table = {key: shape for key, shape in shapes if key not in set(skipped)}
    weights = {}
    for j, key in enumerate(sorted(table)):
        shape = table[key]
        count = int(np.prod(shape)) if shape else 1
        k = np.arange(count, dtype=np.uint32)
        v = k + np.uint32(2654435769 * (j + 1) % 2**32)
        for shift, factor in ((16, 2146121005), (15, 2221713035)):
            v = (v ^ (v >> np.uint32(shift))) * np.uint32(factor)
        u = (v ^ (v >> np.uint32(16))) / 2.0**31 - 1.0
        if override and key in override:
            values = eval(override[key], {"__builtins__": {}}, {"k": k.astype(np.float64)})
        elif len(shape) >= 2:
            values = 1.2 * np.sqrt(3.0) * u / np.sqrt(count / shape[0])
        elif len(shape) == 1 and key.endswith("weight"):
            values = 1.0 + 0.2 * u
        elif key.endswith("running_var"):
            values = 1.0 + 0.5 * u * u
        else:
            values = 0.2 * u
        weights[key] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return weights


def case_weights(name: str) -> dict[str, torch.Tensor]:
    case = description(name)
    return hashed_weights(case["state_dict"], case["skipped_keys"], case["weight_rules"]["override"])


def case_input(name: str) -> torch.Tensor:
    rule = description(name)["input"]
    return tensor(arrays("inputs")[rule["key"]]) * rule.get("scale", 1)


def deviation(actual: torch.Tensor, expected: np.ndarray) -> float:
    """The largest difference over the root mean square of what is expected."""
    actual = actual.detach().double().flatten().numpy()
    expected = np.asarray(expected, dtype=np.float64).ravel()
    return float(np.abs(actual - expected).max() / np.sqrt(np.mean(expected**2)))
