"""What there is to know about a network that others published, and small helpers to read sizes off its tensors."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Tensors = Mapping[str, torch.Tensor]
Guesses = dict[str, str]
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


@dataclass(frozen=True)
class Published:
    """One network of one source.

    Attributes:
        name: our name of it; where `infer` also returns a name, that one counts (a ResNet's depth).
        markers: patterns, each of which must match the beginning of some key.
        infer: (encoder's tensors, dictionary to which guesses are added: option -> sentence) -> options of our
            network.
        rules: (pattern, replacement) applied to each key in turn.
        front_end: (network) -> the features it expects; None for networks that take waveforms.
        ignored: pattern of keys that mean nothing here (constants that the original keeps among its tensors).
        optional: pattern of our keys that the original lacks, because they do not act on the embedding.
    """

    name: str
    markers: tuple[str, ...]
    infer: Callable[[Tensors, Guesses], dict[str, Any]]
    rules: Rules
    front_end: Callable[[nn.Module], dict[str, Any]] | None = None
    ignored: str = ""
    optional: str = ""

    def makes(self, name: str) -> bool:
        """Whether a network of this name can come of it."""
        return name == self.name or (self.name == "resnet34" and name.startswith("resnet"))


def rows(encoder: Tensors, key: str) -> int:
    """Length of a tensor's first axis."""
    return encoder[key].shape[0]


def columns(encoder: Tensors, key: str) -> int:
    """Length of a tensor's second axis."""
    return encoder[key].shape[1]


def count(encoder: Tensors, pattern: str) -> int:
    """How many different matches a pattern has at the beginning of the keys."""
    return len({match[0] for key in encoder if (match := re.match(pattern, key))})
