"""What extraction does to a network to be fast: it stays the same function."""

import copy

import numpy as np
import pytest
import torch

from spkid.nnet import build_model
from spkid.train import inference
from tests.nnet.test_all_networks import FEATURES, WAVEFORMS, small

torch.set_num_threads(1)


def products(network, x):
    """The operations with which torch computes the convolutions of a network, and its output."""
    with torch.inference_mode(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        output = network(x)
    return {event.key for event in profile.key_averages()}, output


@pytest.mark.parametrize("name", sorted({**FEATURES, **WAVEFORMS}))
def test_the_output_of_every_network_is_the_same(name, monkeypatch):
    monkeypatch.setattr(inference, "LEAST_WEIGHTS", 0)
    network, x = small(name)
    with torch.no_grad():
        network.train()(x)  # running statistics that are not those of the start
    network.eval()
    faster = copy.deepcopy(network)
    inference.prefer_onednn(faster)
    with torch.inference_mode():
        for rows in (x[:1], x):
            expected, output = network(rows), faster(rows)
            assert (output - expected).abs().max() <= 1e-5 * expected.square().mean().sqrt()


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_one_thread_computes_large_products_with_onednn():
    torch.manual_seed(0)
    # torch computes inputs of up to 20480 values by itself
    network, x = build_model("ecapa_tdnn", input_dim=128, channels=512).eval(), torch.randn(1, 201, 128)
    before, expected = products(network, x)
    inference.prefer_onednn(network)
    after, output = products(network, x)
    assert "aten::_slow_conv2d_forward" in before
    assert "aten::_slow_conv2d_forward" not in after
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
