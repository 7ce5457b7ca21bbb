"""A network and its loss as a table of layers."""

from dataclasses import replace
from pathlib import Path

import torch

from spkid.data.audio_options import audio_options, feature_dims
from spkid.data.source import FeatureSource
from spkid.kaldi import InputError
from spkid.kaldi.tables import read_id_map, read_script
from spkid.train.audio_feed import speakers_and_copies
from spkid.train.config import TrainConfig
from spkid.train.experiment import read_description
from spkid.train.run import build_parts, with_classes


def show_model(config: TrainConfig, data_dir: Path, num_classes: int = 0) -> str:
    """What a training of this configuration on `data_dir` would train, as `describe_model` says it. Raises InputError.

    num_classes: speakers in the loss; 0: those of utt2spk, with their copies at other speeds.
    """
    if config.initial_source:
        raise InputError("the network is in a published checkpoint: steps/import_model.py makes an experiment of it")
    if config.initial_model:
        config = replace(config, model=read_description(config.initial_model)[0]["config"]["model"])
    if config.features.source == "audio":
        dims = feature_dims(audio_options(config.features.type, config.features.options))
    else:
        first = next(iter(read_script(data_dir / "feats.scp")))
        dims = FeatureSource(data_dir, [], [first]).dims
    names = sorted(set(read_id_map(data_dir / "utt2spk").values()))
    speakers = num_classes or len(speakers_and_copies(names, config))
    return describe_model(*build_parts(with_classes(config, speakers), dims, speakers))


def describe_model(network: torch.nn.Module, criterion: torch.nn.Module) -> str:
    """A line for every layer with parameters of its own (name, kind, shapes, count), and how many there are in all."""
    rows = [("layer", "kind", "shapes", "parameters")]
    totals = {}
    for part, module in (("", network), ("loss.", criterion)):
        total = 0
        for name, layer in module.named_modules():
            own = list(layer.parameters(recurse=False))
            if own:
                count = sum(parameter.numel() for parameter in own)
                shapes = " ".join("x".join(map(str, parameter.shape)) or "1" for parameter in own)
                rows.append((f"{part}{name}".rstrip("."), type(layer).__name__, shapes, str(count)))
                total += count
        totals[part] = total
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    ]
    network_total, loss_total = totals.values()
    lines.append(f"Model has {network_total + loss_total} parameters: network {network_total}, loss {loss_total}")
    return "\n".join(lines)
