"""Networks in eval mode, made faster for a CPU. Their outputs are the same ones but for rounding."""

from torch import nn

LEAST_WEIGHTS = 1 << 17  # of a layer: what oneDNN gains on smaller ones (CAM++) it needs to prepare for each length


def prefer_onednn(network: nn.Module) -> None:
    """Let oneDNN compute a network's 1x1 convolutions on a CPU even where this process has one thread; in place.

    For small batches and one thread torch takes MKL's matrix product instead (aten/src/ATen/native/Convolution.cpp,
    `use_mkldnn`), unless the convolution is dilated; MKL needs up to half as long again where the number of frames is
    odd (benchmarks/extraction.py --layers). Inputs of up to 20480 values stay with torch all the same. A kernel of one
    frame reaches as far with a dilation of 2 as without one.
    """
    for layer in network.modules():
        is_pointwise = isinstance(layer, nn.Conv1d | nn.Conv2d) and max(layer.kernel_size) == 1
        if is_pointwise and layer.weight.numel() >= LEAST_WEIGHTS:
            layer.dilation = (2,) * len(layer.dilation)
