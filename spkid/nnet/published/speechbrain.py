"""SpeechBrain (speechbrain.lobes.models)."""

from typing import Any

from torch import nn

from spkid.nnet.published.base import Guesses, Published, Rules, Tensors, columns, count, rows


def speechbrain_front_end(network: nn.Module) -> dict[str, Any]:
    """SpeechBrain's filter banks (`spkid.nnet.frontend.SpeechBrainFbank`), minus the mean of the utterance."""
    options = {"n_mels": network.input_dim}
    return {"type": "speechbrain_fbank", "options": options, "transforms": ["cmn_utterance"], "dims": network.input_dim}


def speechbrain_ecapa(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    """Sizes of ECAPA-TDNN; 3D-Speaker's has the same tensors."""
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

NETWORKS = (Published("ecapa_tdnn", (r"asp\.tdnn\.",), speechbrain_ecapa, SPEECHBRAIN_ECAPA, speechbrain_front_end),)
