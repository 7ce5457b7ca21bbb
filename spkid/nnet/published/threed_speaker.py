"""3D-Speaker (speakerlab.models)."""

from typing import Any

from spkid.nnet.published.base import Guesses, Published, Rules, Tensors, columns, rows
from spkid.nnet.published.wespeaker import CAMPPLUS, WESPEAKER_POOLING, campplus, wespeaker_front_end, wespeaker_pooling


def _campplus(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    plain = {"pooling": "statistics", "pooling_options": {"unbiased": True, "floor": 1.0e-20}}  # as good as none
    return {**campplus(encoder, guesses), **plain}


def _eres2net(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    channels = rows(encoder, "conv1.weight")
    pooling = wespeaker_pooling(encoder, epsilon=1.0e-8)
    return {
        "input_dim": columns(encoder, "seg_1.weight") // (2 * 16 * channels) * 8,
        "embedding_dim": rows(encoder, "seg_1.weight"),
        "channels": channels,
        **pooling,
    }


ERES2NET: Rules = (
    (r"^layer(\d)_downsample\.", lambda match: f"reductions.{int(match[1]) - 1}."),
    (r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"\.fuse_models\.", ".fusions."),
    (r"^fuse_mode(\d+)\.", lambda match: f"fusions.{len(match[1]) - 2}."),
    (r"\.local_att\.", ".gate."),
    (r"^seg_1\.", "embedding."),
    *WESPEAKER_POOLING,
)

NETWORKS = (
    Published("campplus", (r"xvector\.transit1\.",), _campplus, CAMPPLUS, wespeaker_front_end),
    Published("eres2net", (r"fuse_mode1234\.",), _eres2net, ERES2NET, wespeaker_front_end),
)
