"""3D-Speaker (speakerlab.models), whose networks follow SpeechBrain's (ECAPA-TDNN) and WeSpeaker's."""

from typing import Any

from torch import nn

from spkid.nnet.published.base import Guesses, Published, Tensors
from spkid.nnet.published.speechbrain import SPEECHBRAIN_ECAPA, speechbrain_ecapa
from spkid.nnet.published.wespeaker import (
    CAMPPLUS,
    ERES2NET,
    WESPEAKER_RESNET,
    WESPEAKER_XVECTOR,
    campplus,
    eres2net,
    kaldi_front_end,
    wespeaker_pooling,
    wespeaker_resnet,
    xvector_sizes,
)

EPSILON = 1.0e-8  # of its statistics


def threed_speaker_front_end(network: nn.Module) -> dict[str, Any]:
    """Kaldi's log mel filter banks of its own window, without dither, minus the mean of the utterance.

    3D-Speaker computes them of waveforms in +-1; the mean takes the difference away, but for digital silence.
    """
    return kaldi_front_end(network, "povey")


def _campplus(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    plain = {"pooling": "statistics", "pooling_options": {"unbiased": True, "floor": 1.0e-20}}  # as good as none
    return {**campplus(encoder, guesses), **plain}


def _eres2net(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    return eres2net(encoder, guesses, EPSILON)


def _resnet(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    return wespeaker_resnet(encoder, guesses, EPSILON)


def _xvector(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    return {**xvector_sizes(encoder), "layer": "near", **wespeaker_pooling(encoder, EPSILON)}


NETWORKS = (
    Published("campplus", (r"xvector\.transit1\.",), _campplus, CAMPPLUS, threed_speaker_front_end),
    Published("eres2net", (r"fuse_mode1234\.",), _eres2net, ERES2NET, threed_speaker_front_end),
    Published("ecapa_tdnn", (r"asp\.tdnn\.",), speechbrain_ecapa, SPEECHBRAIN_ECAPA, threed_speaker_front_end),
    Published(
        "resnet34",
        (r"layer1\.0\.conv1\.", r"layer4\.0\.bn2\.", r"seg_1\."),
        _resnet,
        WESPEAKER_RESNET,
        threed_speaker_front_end,
    ),
    Published(
        "xvector",
        (r"frame_1\.conv_1d\.",),
        _xvector,
        WESPEAKER_XVECTOR,
        threed_speaker_front_end,
        optional=r"^(norm6|segment7|norm7)\.",  # behind the embedding; the original ends with its first segment layer
    ),
)
