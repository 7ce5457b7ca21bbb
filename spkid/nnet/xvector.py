"""The x-vector TDNN.

Snyder, Garcia-Romero, Sell, Povey, Khudanpur, "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018;
layer sizes of Kaldi's egs/sre16/v2/local/nnet3/xvector/run_xvector.sh.
"""

from typing import Any

import torch
from torch import nn

from spkid.nnet.masking import complete, frame_mask
from spkid.nnet.registry import build_pooling, unknown_name
from spkid.nnet.tdnn import KALDI_BATCH_NORM_EPSILON, TdnnLayer, check_frames, receptive_field

CONTEXTS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # (kernel, dilation) of the frame-level layers


class XVector(nn.Module):
    """Five frame-level layers, pooling, two segment layers: (batch, frames, input_dim) -> (batch, embedding_dim).

    `layer` chooses the embedding: "near" is the first segment layer's affine output, closest to the statistics and the
    one that Kaldi extracts; "far" is the second one's. In training a "near" network is seen by the loss as in Kaldi,
    through ReLU and normalisation of both segment layers (`training_output`); the loss of a "far" network acts on the
    embedding itself, which is what margin losses and cosine scoring want. At least 15 frames are needed (ValueError).
    """

    contexts = CONTEXTS

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int = 512,
        channels: int = 512,
        pooled_channels: int = 1500,
        pooling: str = "statistics",
        pooling_options: dict[str, Any] | None = None,
        layer: str = "near",
        norm_epsilon: float = KALDI_BATCH_NORM_EPSILON,
    ) -> None:
        super().__init__()
        if layer not in ("near", "far"):
            raise unknown_name("embedding layer", layer, ["near", "far"])
        self.input_dim = input_dim
        self.embedding_dim = embedding_dim
        self.layer = layer
        self.min_frames = receptive_field(self.contexts)
        widths = [input_dim, *[channels] * (len(self.contexts) - 1), pooled_channels]
        self.frame_level = nn.Sequential(
            *[
                TdnnLayer(before, after, kernel, dilation, norm_epsilon)
                for (kernel, dilation), before, after in zip(self.contexts, widths, widths[1:], strict=False)
            ]
        )
        self.pooling = build_pooling(pooling, channels=pooled_channels, **(pooling_options or {}))
        self.segment6 = nn.Linear(self.pooling.output_dim, embedding_dim)
        self.norm6 = nn.BatchNorm1d(embedding_dim, eps=norm_epsilon, affine=False)
        self.segment7 = nn.Linear(embedding_dim, embedding_dim)
        self.norm7 = nn.BatchNorm1d(embedding_dim, eps=norm_epsilon, affine=False)

    def pooled(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """The utterance statistics, (batch, pooling.output_dim)."""
        check_frames(x, self.input_dim, self.min_frames)
        mask = frame_mask(lengths, x.shape[1], x.device, self.min_frames)
        return self.pooling(self.frame_level(x.transpose(1, 2)), complete(mask, self.min_frames))

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        near = self.segment6(self.pooled(x, lengths))
        return near if self.layer == "near" else self._far(near)

    def training_output(self, x: torch.Tensor) -> torch.Tensor:
        """What the loss sees, (batch, embedding_dim)."""
        far = self._far(self.segment6(self.pooled(x)))
        return self.norm7(torch.relu(far)) if self.layer == "near" else far

    def _far(self, near: torch.Tensor) -> torch.Tensor:
        return self.segment7(self.norm6(torch.relu(near)))
