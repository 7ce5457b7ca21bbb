"""Which networks others published, and how their keys and shapes translate into ours.

A network is recognised by keys that it alone has (`markers`, patterns), its options follow from the shapes of its
tensors, and a short list of (pattern, replacement) turns the original's keys into ours.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from spkid.nnet.resnet import BLOCKS

Tensors = Mapping[str, torch.Tensor]
Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


@dataclass(frozen=True)
class Published:
    """One network of one source.

    Attributes:
        name: our name of it; where `infer` also returns a name, that one counts (a ResNet's depth).
        markers: patterns, each of which must match the beginning of some key.
        infer: (encoder's tensors, list to which guesses are added) -> options of our network.
        rules: (pattern, replacement) applied to each key in turn.
        front_end: (network) -> the features it expects; None for networks that take waveforms.
        ignored: pattern of keys that mean nothing here (constants that the original keeps among its tensors).
        optional: pattern of our keys that the original lacks, because they do not act on the embedding.
    """

    name: str
    markers: tuple[str, ...]
    infer: Callable[[Tensors, list[str]], dict[str, Any]]
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


# --- Front ends -------------------------------------------------------------------------------------------------------


def wespeaker_front_end(network: nn.Module) -> dict[str, Any]:
    """Kaldi's log mel filter banks of a Hamming window, without dither, minus the mean of the utterance.

    WeSpeaker and 3D-Speaker scale waveforms to the range of int16, as Kaldi's features do.
    """
    options = {"num_mel_bins": network.input_dim, "window_type": "hamming", "dither": 0.0}
    return {"type": "fbank", "options": options, "transforms": ["cmn_utterance"], "dims": network.input_dim}


def speechbrain_front_end(network: nn.Module) -> dict[str, Any]:
    """SpeechBrain's filter banks (`spkid.nnet.frontend.SpeechBrainFbank`), minus the mean of the utterance."""
    options = {"n_mels": network.input_dim}
    return {"type": "speechbrain_fbank", "options": options, "transforms": ["cmn_utterance"], "dims": network.input_dim}


def asv_front_end(network: nn.Module) -> dict[str, Any]:
    """MFCC with mean and deviation of each utterance normalised; which MFCC no checkpoint tells."""
    return {"type": "mfcc", "options": None, "transforms": ["cmvn_utterance"], "dims": network.input_dim}


# --- Poolings ---------------------------------------------------------------------------------------------------------

WESPEAKER_POOLING: Rules = (
    (r"^pool\.", "pooling."),
    (r"\bn_query\.", "queries."),
    (r"\bheads_att_trans\.", "heads."),
    (r"\b(att_0|linear1)\.", "hidden."),
    (r"\b(att_1|linear2)\.", "score."),
    (r"\battention\.0\.", "hidden."),
    (r"\battention\.2\.", "norm."),
    (r"\battention\.3\.", "score."),
    (r"\bprior_logprec", "prior_log_precision"),
    (r"\blin1_relu_bn\.0\.", "hidden."),
    (r"\blin1_relu_bn\.2\.", "norm."),
    (r"\blin2\.", "precision."),
)
ASTP = {"unbiased_context": True, "variance_floor": 1.0e-7, "context_epsilon": 1.0e-7}  # besides its sizes


def wespeaker_pooling(encoder: Tensors, epsilon: float = 1.0e-7) -> dict[str, Any]:
    """The options `pooling` and `pooling_options` of the module `pool`; without tensors it is mean and deviation."""
    if "pool.linear1.weight" in encoder:
        channels, hidden = rows(encoder, "pool.linear2.weight"), rows(encoder, "pool.linear1.weight")
        options = {
            "attention_dim": hidden,
            "per_channel": True,
            "global_context": columns(encoder, "pool.linear1.weight") > channels,
            **ASTP,
        }
        return {"pooling": "attentive_statistics", "pooling_options": options}
    queries, heads = count(encoder, r"pool\.n_query\.\d+"), count(encoder, r"pool\.(n_query\.0\.)?heads_att_trans\.\d+")
    if heads:
        first = "pool.n_query.0." if queries else "pool."
        options = {
            "num_heads": heads,
            "attention_dim": rows(encoder, f"{first}heads_att_trans.0.att_0.weight"),
            "per_channel": rows(encoder, f"{first}heads_att_trans.0.att_1.weight") > 1,
        }
        if queries:
            return {
                "pooling": "multi_query_attentive_statistics",
                "pooling_options": {"num_queries": queries, **options},
            }
        return {"pooling": "multi_head_attentive_statistics", "pooling_options": options}
    return {"pooling": "statistics", "pooling_options": {"unbiased": True, "epsilon": epsilon}}


# --- ECAPA-TDNN -------------------------------------------------------------------------------------------------------


def _speechbrain_ecapa(encoder: Tensors, guesses: list[str]) -> dict[str, Any]:
    pooled = rows(encoder, "mfa.conv.conv.weight")
    return {
        "layout": "speechbrain",
        "input_dim": columns(encoder, "blocks.0.conv.conv.weight"),
        "embedding_dim": rows(encoder, "fc.conv.weight"),
        "channels": rows(encoder, "blocks.0.conv.conv.weight"),
        "pooled_channels": pooled,
        "attention_dim": rows(encoder, "asp.tdnn.conv.conv.weight"),
        "global_context": columns(encoder, "asp.tdnn.conv.conv.weight") > pooled,
        "se_dim": rows(encoder, "blocks.1.se_block.conv1.conv.weight"),
        "scale": count(encoder, r"blocks\.1\.res2net_block\.blocks\.\d+") + 1,
    }


SPEECHBRAIN_ECAPA: Rules = (
    (r"\.(conv|norm)\.\1\.", r".\1."),
    (r"^blocks\.0\.", "first."),
    (r"^blocks\.([123])\.", lambda match: f"blocks.{int(match[1]) - 1}."),
    (r"\.tdnn1\.", ".first."),
    (r"\.tdnn2\.", ".last."),
    (r"\.res2net_block\.blocks\.(\d+)\.(conv|norm)\.", r".res2.\2s.\1."),
    (r"\.se_block\.conv1\.conv\.", ".excitation.squeeze."),
    (r"\.se_block\.conv2\.conv\.", ".excitation.excite."),
    (r"^mfa\.conv\.", "aggregation."),
    (r"^mfa\.norm\.", "aggregation_norm."),
    (r"^asp\.tdnn\.conv\.", "pooling.hidden."),
    (r"^asp\.tdnn\.norm\.", "pooling.norm."),
    (r"^asp\.conv\.", "pooling.score."),
    (r"^asp_bn\.norm\.", "pooling_norm."),
    (r"^fc\.conv\.", "embedding."),
)


def _wespeaker_ecapa(encoder: Tensors, guesses: list[str]) -> dict[str, Any]:
    pooled = rows(encoder, "conv.weight")
    return {
        "layout": "wespeaker",
        "input_dim": columns(encoder, "layer1.conv.weight"),
        "embedding_dim": rows(encoder, "linear.weight"),
        "channels": rows(encoder, "layer1.conv.weight"),
        "pooled_channels": pooled,
        "attention_dim": rows(encoder, "pool.linear1.weight"),
        "global_context": columns(encoder, "pool.linear1.weight") > pooled,
        "se_dim": rows(encoder, "layer2.se_res2block.3.linear1.weight"),
        "scale": count(encoder, r"layer2\.se_res2block\.1\.convs\.\d+") + 1,
    }


WESPEAKER_ECAPA: Rules = (
    (r"\.3\.linear1\.", ".excitation.squeeze."),
    (r"\.3\.linear2\.", ".excitation.excite."),
    *WESPEAKER_POOLING,
    (r"^bn\.", "pooling_norm."),
    (r"\.bn\.", ".norm."),
    (r"\.bns\.", ".norms."),
    (r"^layer1\.", "first."),
    (r"^layer([234])\.se_res2block\.", lambda match: f"blocks.{int(match[1]) - 2}."),
    (r"^(blocks\.\d)\.0\.", r"\1.first."),
    (r"^(blocks\.\d)\.1\.", r"\1.res2."),
    (r"^(blocks\.\d)\.2\.", r"\1.last."),
    (r"^conv\.", "aggregation."),
    (r"^linear\.", "embedding."),
)

# --- x-vectors --------------------------------------------------------------------------------------------------------


def _wespeaker_xvector(encoder: Tensors, guesses: list[str]) -> dict[str, Any]:
    return {
        "input_dim": columns(encoder, "frame_1.conv_1d.weight"),
        "embedding_dim": rows(encoder, "seg_2.weight"),
        "channels": rows(encoder, "frame_1.conv_1d.weight"),
        "pooled_channels": rows(encoder, "frame_5.conv_1d.weight"),
        "layer": "far",
        "norm_epsilon": 1.0e-5,
        **wespeaker_pooling(encoder),
    }


WESPEAKER_XVECTOR: Rules = (
    *WESPEAKER_POOLING,
    (r"^frame_(\d)\.", lambda match: f"frame_level.{int(match[1]) - 1}."),
    (r"\.conv_1d\.", ".affine."),
    (r"\.bn\.", ".norm."),
    (r"^seg_1\.", "segment6."),
    (r"^seg_2\.", "segment7."),
    (r"^seg_bn_1\.", "norm6."),
)


def _asv_xvector(encoder: Tensors, guesses: list[str]) -> dict[str, Any]:
    pooled, seen = rows(encoder, "frame_level.4.context_layer.weight"), columns(encoder, "fc1.weight")
    options = {
        "input_dim": columns(encoder, "frame_level.0.context_layer.weight"),
        "embedding_dim": rows(encoder, "fc1.weight"),
        "channels": rows(encoder, "frame_level.0.context_layer.weight"),
        "pooled_channels": pooled,
    }
    if "pooling.W" in encoder:
        attention = {"attention_dim": rows(encoder, "pooling.W"), "hidden": "relu", "bounded_score": True}
        return {**options, "pooling": "attentive_statistics", "pooling_options": attention}
    if seen == 2 * pooled:
        return {**options, "pooling": "statistics", "pooling_options": {"unbiased": True}}
    return {**options, "pooling": "mean"}


ASV_XVECTOR: Rules = (
    (r"^pooling\.W$", "pooling.hidden.weight"),
    (r"^pooling\.b$", "pooling.hidden.bias"),
    (r"^pooling\.v$", "pooling.score.weight"),
    (r"^pooling\.k$", "pooling.score.bias"),
)

# --- Residual networks ------------------------------------------------------------------------------------------------


def _wespeaker_resnet(encoder: Tensors, guesses: list[str]) -> dict[str, Any]:
    blocks = tuple(count(encoder, rf"layer{stage}\.\d+") for stage in (1, 2, 3, 4))
    bottleneck = "layer1.0.conv3.weight" in encoder
    depths = [depth for depth, layout in BLOCKS.items() if layout == blocks and (depth >= 50) == bottleneck]
    if not depths:
        raise ValueError(f"no residual network here has stages of {blocks} blocks")
    channels = rows(encoder, "conv1.weight")
    pooling = wespeaker_pooling(encoder)
    options = pooling["pooling_options"]
    outputs = columns(encoder, "seg_1.weight")
    # Mean and deviation of every channel and frequency; other poolings tell their width themselves.
    pooled = outputs // (2 * options.get("num_queries", 1))
    width = channels * 8 * (4 if bottleneck else 1)
    return {
        "name": f"resnet{depths[0]}",
        "input_dim": pooled // width * 8,
        "embedding_dim": rows(encoder, "seg_1.weight"),
        "channels": channels,
        **pooling,
    }


WESPEAKER_RESNET: Rules = (
    *WESPEAKER_POOLING,
    (r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"^seg_1\.", "embedding."),
)

# --- The table --------------------------------------------------------------------------------------------------------

PUBLISHED: dict[str, tuple[Published, ...]] = {
    "speechbrain": (
        Published("ecapa_tdnn", (r"asp\.tdnn\.",), _speechbrain_ecapa, SPEECHBRAIN_ECAPA, speechbrain_front_end),
    ),
    "wespeaker": (
        Published("ecapa_tdnn", (r"layer2\.se_res2block\.",), _wespeaker_ecapa, WESPEAKER_ECAPA, wespeaker_front_end),
        Published(
            "xvector",
            (r"frame_1\.conv_1d\.",),
            _wespeaker_xvector,
            WESPEAKER_XVECTOR,
            wespeaker_front_end,
            optional=r"^norm7\.",
        ),
        Published(
            "resnet34", (r"layer1\.0\.conv1\.", r"seg_1\."), _wespeaker_resnet, WESPEAKER_RESNET, wespeaker_front_end
        ),
    ),
    "asv_beginner": (
        Published("asv_xvector", (r"frame_level\.0\.context_layer\.",), _asv_xvector, ASV_XVECTOR, asv_front_end),
    ),
}
