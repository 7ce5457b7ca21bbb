"""zengchang233/asv_beginner."""

from typing import Any

from torch import nn

from spkid.nnet.published.base import Guesses, Published, Rules, Tensors, columns, rows


def asv_front_end(network: nn.Module) -> dict[str, Any]:
    """MFCC with mean and deviation of each utterance normalised; which MFCC no checkpoint tells."""
    return {"type": "mfcc", "options": None, "transforms": ["cmvn_utterance"], "dims": network.input_dim}


def _asv_xvector(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
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
        return {**options, "pooling": "statistics", "pooling_options": {"unbiased": True, "floor": 1.0e-20}}
    return {**options, "pooling": "mean"}


ASV_XVECTOR: Rules = (
    (r"^pooling\.W$", "pooling.hidden.weight"),
    (r"^pooling\.b$", "pooling.hidden.bias"),
    (r"^pooling\.v$", "pooling.score.weight"),
    (r"^pooling\.k$", "pooling.score.bias"),
)

NETWORKS = (Published("asv_xvector", (r"frame_level\.0\.context_layer\.",), _asv_xvector, ASV_XVECTOR, asv_front_end),)
