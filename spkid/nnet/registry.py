"""The names under which configurations find networks, pooling layers and losses.

Each table maps a public name to `module:Class`; the module is imported when the name is first used, so a network's
own dependencies cost nothing to those who train another one. The options of a name are the keyword arguments of its
class, and their defaults are the published values.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes two seconds to start, and a step that only asks `takes_lengths` does without
    from torch import nn

NETWORKS = {
    "xvector": "spkid.nnet.xvector:XVector",
    "asv_xvector": "spkid.nnet.asv_xvector:AsvXVector",
    "lde_xvector": "spkid.nnet.lde_xvector:LdeXVector",
    "etdnn": "spkid.nnet.etdnn:ExtendedTdnn",
    "ecapa_tdnn": "spkid.nnet.ecapa_tdnn:EcapaTdnn",
    **{f"resnet{depth}": f"spkid.nnet.resnet:ResNet{depth}" for depth in (18, 34, 50, 101, 152, 221, 293)},
    "campplus": "spkid.nnet.campplus:CamPlusPlus",
    "eres2net": "spkid.nnet.eres2net:ERes2Net",
    "redimnet": "spkid.nnet.redimnet:ReDimNet",
    "resnet_se34l": "spkid.nnet.resnet_se:ResNetSe34L",
    "resnet_se34v2": "spkid.nnet.resnet_se:ResNetSe34V2",
    "vggvox": "spkid.nnet.vggvox:VggVox",
    "rawnet3": "spkid.nnet.rawnet3:RawNet3",
    "deep_speaker_rescnn": "spkid.nnet.deep_speaker:DeepSpeakerResCnn",
    "deep_speaker_simple_cnn": "spkid.nnet.deep_speaker:DeepSpeakerSimpleCnn",
    "deep_speaker_gru": "spkid.nnet.deep_speaker:DeepSpeakerGru",
    "frame_mlp": "spkid.nnet.frame_mlp:FrameMlp",
    "lstm_vad": "spkid.nnet.lstm_vad:LstmVad",
}

# Networks that can be told how many frames of each row of a padded batch count (`masking.py`).
TAKING_LENGTHS = {
    *("xvector", "asv_xvector", "lde_xvector", "etdnn", "ecapa_tdnn", "campplus", "eres2net"),
    *(name for name in NETWORKS if re.fullmatch(r"resnet\d+", name)),
}

POOLINGS = {
    "mean": "spkid.nnet.pooling:MeanPooling",
    "max": "spkid.nnet.pooling:MaxPooling",
    "deviation": "spkid.nnet.pooling:DeviationPooling",
    "statistics": "spkid.nnet.pooling:StatisticsPooling",
    "self_attentive": "spkid.nnet.attention:SelfAttentivePooling",
    "attentive_statistics": "spkid.nnet.attention:AttentiveStatisticsPooling",
    "multi_head_attentive_statistics": "spkid.nnet.attention:MultiHeadAttentiveStatisticsPooling",
    "multi_query_attentive_statistics": "spkid.nnet.attention:MultiQueryAttentiveStatisticsPooling",
    "xi": "spkid.nnet.attention:XiPooling",
}

# The names of the papers and of the toolkits, in any case.
POOLING_ALIASES = {
    "tap": "mean",
    "tsdp": "deviation",
    "tstp": "statistics",
    "sap": "self_attentive",
    "asp": "attentive_statistics",
    "mhastp": "multi_head_attentive_statistics",
    "mqmhastp": "multi_query_attentive_statistics",
}

LOSSES = {
    "softmax": "spkid.nnet.losses:Softmax",
    "am_softmax": "spkid.nnet.losses:AdditiveMarginSoftmax",
    "aam_softmax": "spkid.nnet.losses:AdditiveAngularMarginSoftmax",
    "sphereface2": "spkid.nnet.losses:SphereFace2",
    "angular_prototypical": "spkid.nnet.metric_losses:AngularPrototypical",
    "prototypical": "spkid.nnet.metric_losses:Prototypical",
    "ge2e": "spkid.nnet.metric_losses:Ge2e",
    "softmax_prototypical": "spkid.nnet.metric_losses:SoftmaxPrototypical",
    "triplet": "spkid.nnet.metric_losses:Triplet",
    "cosine_triplet": "spkid.nnet.metric_losses:CosineTriplet",
    "bce": "spkid.nnet.frame_losses:BinaryCrossEntropy",
    "nll": "spkid.nnet.frame_losses:NegativeLogLikelihood",
}


def build_model(name: str, **options: Any) -> nn.Module:
    """A network: features (batch, frames, input_dim) -> embeddings (batch, embedding_dim).

    Raises ValueError for an unknown name or option, naming the nearest known one.
    """
    return _build("network", NETWORKS, name, options)


def build_pooling(name: str, channels: int, **options: Any) -> nn.Module:
    """A pooling layer: (batch, channels, frames) -> (batch, layer.output_dim)."""
    return _build("pooling", POOLINGS, pooling_name(name), {"channels": channels, **options})


def pooling_name(name: str) -> str:
    """The name in `POOLINGS` of a pooling that may be called by its abbreviation (SAP, ASP, TSTP, ...)."""
    return POOLING_ALIASES.get(name.lower(), name.lower())


def build_loss(name: str, *, embedding_dim: int = 0, num_classes: int = 0, **options: Any) -> nn.Module:
    """A training criterion -> scalar loss.

    Classification losses are called with embeddings (batch, embedding_dim) and labels (batch,); metric losses with
    (speakers, utterances, dims) and do without the two sizes; bce and nll with a network's probabilities and labels.
    """
    sizes = {"embedding_dim": embedding_dim, "num_classes": num_classes}
    wanted = loss_options(name)
    needed = {size: value for size, value in sizes.items() if size in wanted and value}
    return _build("loss", LOSSES, name, {**needed, **options})


def network_options(name: str) -> dict[str, Any]:
    """The options of a network and their defaults (`inspect.Parameter.empty` where a value must be given)."""
    return _options(_find("network", NETWORKS, name))


def takes_lengths(name: str) -> bool:
    """Whether a network can be told how many frames of each row of a padded batch count (`masking.py`)."""
    _place("network", NETWORKS, name)
    return name in TAKING_LENGTHS


def loss_options(name: str) -> dict[str, Any]:
    """The options of a loss and their defaults, as `network_options`."""
    return _options(_find("loss", LOSSES, name))


def count_parameters(module: nn.Module) -> int:
    """The number of learned values (running statistics are not counted)."""
    return sum(parameter.numel() for parameter in module.parameters())


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known, with the nearest one."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return ValueError(f"unknown {kind} '{name}' ({hint})")


def _place(kind: str, table: Mapping[str, str], name: str) -> str:
    if name not in table:
        raise unknown_name(kind, name, table)
    return table[name]


def _find(kind: str, table: Mapping[str, str], name: str) -> type[nn.Module]:
    module, _, attribute = _place(kind, table, name).partition(":")
    return getattr(importlib.import_module(module), attribute)


def _options(constructor: type[nn.Module]) -> dict[str, Any]:
    parameters = inspect.signature(constructor).parameters.values()
    named = [parameter for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return {parameter.name: parameter.default for parameter in named}


def _build(kind: str, table: Mapping[str, str], name: str, options: Mapping[str, Any]) -> nn.Module:
    constructor = _find(kind, table, name)
    known = _options(constructor)
    for option in options:
        if option not in known:
            raise unknown_name(f"option of {kind} '{name}'", option, known)
    required = [option for option, default in known.items() if default is inspect.Parameter.empty]
    missing = [option for option in required if option not in options]
    if missing:
        raise ValueError(f"{kind} '{name}' needs the option {', '.join(missing)}")
    return constructor(**options)
