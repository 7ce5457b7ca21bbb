"""Checkpoints that others published, as networks of ours.

    from spkid.nnet import pretrained
    network = pretrained.load("avg_model.pt", source="wespeaker")
    embedding = network(features)              # (1, frames, 80), made as network.front_end says

`published/` says for each source which networks it has, how their sizes follow from their keys and shapes, and what
their keys are called here.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spkid.nnet.published import PUBLISHED, Published
from spkid.nnet.registry import build_model, unknown_name

CONTAINERS = ("model", "state_dict", "model_state_dict", "embedding_model")
LOSS_HEAD = re.compile(r"(__L__|projection|criterion|classifier|loss)\.")
NOT_LEARNED = re.compile(r"num_batches_tracked$|^spectrogram\.")  # may be missing: the network has its own
PREFIX = re.compile(r"^(module\.|__S__\.)+")


@dataclass
class ImportReport:
    """What became of a checkpoint's keys; `network.import_report` of an imported network.

    Attributes:
        name, options: build_model(name, **options) makes the same network without weights.
        loss_head: tensors of the training criterion, by the original's keys: left out of the network.
        unmatched: keys of the file that no tensor of the network corresponds to, with their shapes.
        missing: tensors of the network that the file lacks (named as here).
        guesses: sizes that the file does not tell, with the value that was taken.
    """

    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    loss_head: dict[str, torch.Tensor] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)


def load(
    path_or_state_dict: str | Path | Mapping[str, Any],
    source: str,
    name: str | None = None,
    partial: bool = False,
    **options: Any,
) -> nn.Module:
    """A published checkpoint as a network in eval mode.

    Args:
        path_or_state_dict: a file (read with weights_only: no code of it is run) or what it holds.
        source: voxceleb_trainer, asv_beginner, speechbrain, wespeaker or 3dspeaker.
        name: the network's name here, where the keys leave a choice; else it is inferred.
        partial: load what fits, warn about the rest. Otherwise an encoder that does not fit exactly is an error.
        options: of the network, in place of those inferred (such as amplitude, which no file tells).

    Returns:
        The network, with two more attributes: `front_end`, the features that it expects (None where it takes
        waveforms), as {"type", "options", "transforms", "dims"}; and `import_report`.

    Raises ValueError for what is no checkpoint, for a network that is not known and for encoders that do not match,
    naming the keys. Tensors of the loss are never loaded; a warning says so.
    """
    if source not in PUBLISHED:
        raise unknown_name("source of checkpoints", source, PUBLISHED)
    report = ImportReport()
    encoder = _split(_state_dict(path_or_state_dict), report)
    published = _find(encoder, source, name)
    guesses: dict[str, str] = {}
    try:
        inferred = published.infer(encoder, guesses)
    except KeyError as error:
        raise ValueError(f"{source} {published.name}: the file lacks {error.args[0]}") from None
    if "pooling" in options and "pooling_options" not in options:
        inferred.pop("pooling_options", None)  # they were another pooling's
    report.guesses = [sentence for option, sentence in guesses.items() if option not in options]
    inferred_name = inferred.pop("name", published.name)
    report.name, report.options = name or inferred_name, {**inferred, **options}
    network = build_model(report.name, **report.options)
    _fill(network, encoder, published, report)
    _say(report, source, partial)
    network.front_end = published.front_end(network) if published.front_end else None
    network.import_report = report
    return network.eval()


def rename(key: str, rules: Sequence[tuple[str, str]]) -> str:
    """The key after every rule (pattern, replacement), in their order."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def fit(value: torch.Tensor, shape: torch.Size) -> torch.Tensor | None:
    """The tensor in another shape if they differ only by axes of length 1, else None."""
    if [size for size in value.shape if size != 1] != [size for size in shape if size != 1]:
        return None
    return value.reshape(shape)


def _why_not(error: Exception) -> str:
    """What is wrong with a file, in place of torch's advice to load it with the code that it brings along."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found:
        return f"it holds an object of {found[1]}; where it was made, save the state_dict() of the network alone"
    return "torch.save did not write it, or it is damaged"


def _state_dict(given: str | Path | Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    if isinstance(given, Mapping):
        where, content = "the state dictionary", given
    else:
        where = str(given)
        try:
            content = torch.load(given, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise ValueError(f"{where}: there is no such file") from None
        except Exception as error:
            raise ValueError(
                f"{where}: cannot be read as a PyTorch checkpoint of tensors alone: {_why_not(error)}"
            ) from None
    while isinstance(content, Mapping) and (
        found := [key for key in CONTAINERS if isinstance(content.get(key), Mapping)]
    ):
        content = content[found[0]]
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: holds no state dictionary but {type(content).__name__}")
    tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{where}: holds no tensors; its keys are {', '.join(map(str, list(content)[:8]))}")
    return tensors


def _split(content: Mapping[str, torch.Tensor], report: ImportReport) -> dict[str, torch.Tensor]:
    """The encoder's tensors without the wrappers' prefixes; those of the loss go to the report."""
    encoder = {}
    for key, value in content.items():
        bare = key.removeprefix("module.")
        if LOSS_HEAD.match(bare):
            report.loss_head[bare] = value
        else:
            encoder[PREFIX.sub("", bare)] = value
    return encoder


def _find(encoder: Mapping[str, torch.Tensor], source: str, name: str | None) -> Published:
    known = PUBLISHED[source]
    for published in known:
        if all(any(re.match(marker, key) for key in encoder) for marker in published.markers) and (
            name is None or published.makes(name)
        ):
            return published
    names = ", ".join(published.name for published in known)
    some = ", ".join(sorted(encoder)[:5])
    what = "none of its networks" if name is None else f"no '{name}' of it"
    raise ValueError(f"the keys ({some}, ...) fit {what} that are known from {source}: {names}")


def _fill(network: nn.Module, encoder: Mapping[str, torch.Tensor], published: Published, report: ImportReport) -> None:
    own = network.state_dict()
    filled: dict[str, torch.Tensor] = {}
    for key, value in encoder.items():
        if published.ignored and re.search(published.ignored, key):
            continue
        target = rename(key, published.rules)
        value = fit(value, own[target].shape) if target in own else None
        if value is None:
            shape = f", here {tuple(own[target].shape)}" if target in own else ""
            report.unmatched.append(f"{key} {tuple(encoder[key].shape)}{shape}")
        else:
            filled[target] = value
    missing = sorted(key for key in own if key not in filled and not NOT_LEARNED.search(key))
    report.missing = [key for key in missing if not (published.optional and re.search(published.optional, key))]
    network.load_state_dict({**own, **filled})


def _say(report: ImportReport, source: str, partial: bool) -> None:
    name = report.name
    for guess in report.guesses:
        warnings.warn(f"{source} {name}: {guess}", stacklevel=3)
    if report.loss_head:
        keys = ", ".join(f"{key} {tuple(value.shape)}" for key, value in sorted(report.loss_head.items()))
        warnings.warn(f"{source} {name}: the loss is left out: {keys}", stacklevel=3)
    if not report.unmatched and not report.missing:
        return
    parts = []
    if report.unmatched:
        parts.append(f"{len(report.unmatched)} keys of the file have no place: {', '.join(report.unmatched)}")
    if report.missing:
        parts.append(f"{len(report.missing)} tensors of the network are not in the file: {', '.join(report.missing)}")
    sentence = f"{source} {name}: " + "; ".join(parts)
    if not partial:
        raise ValueError(f"{sentence}; give the options it was built with, or partial=True to load what fits")
    warnings.warn(sentence, stacklevel=3)
