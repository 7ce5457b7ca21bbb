"""Networks, pooling and losses: pure PyTorch, tensors in, tensors out.

    from spkid.nnet import build_loss, build_model, build_pooling
    model = build_model("xvector", input_dim=30)
    loss = build_loss("am_softmax", embedding_dim=512, num_classes=100, margin=0.2, scale=30)
    value = loss(model(torch.randn(8, 200, 30)), labels)

A new network is one file in this folder and one line in its table, `NETWORKS` of `registry.py`.
"""

from spkid.nnet.registry import (
    LOSSES,
    NETWORKS,
    POOLINGS,
    build_loss,
    build_model,
    build_pooling,
    count_parameters,
    loss_options,
    network_options,
    takes_lengths,
)

__all__ = [
    "LOSSES",
    "NETWORKS",
    "POOLINGS",
    "build_loss",
    "build_model",
    "build_pooling",
    "count_parameters",
    "loss_options",
    "network_options",
    "takes_lengths",
]
