"""What every network must do, in small sizes."""

import pytest
import torch

from spkid.nnet import NETWORKS, build_model

torch.set_num_threads(1)

FEATURES = {
    "xvector": {"input_dim": 8, "embedding_dim": 5, "channels": 8, "pooled_channels": 12},
    "asv_xvector": {"input_dim": 8, "embedding_dim": 5, "channels": 8, "pooled_channels": 12},
    "etdnn": {"input_dim": 8, "embedding_dim": 5, "channels": 8, "pooled_channels": 12},
    "ecapa_tdnn": {"input_dim": 8, "embedding_dim": 5, "channels": 16, "pooled_channels": 12},
    "resnet18": {"input_dim": 13, "embedding_dim": 5, "channels": 2},
    "resnet50": {"input_dim": 8, "embedding_dim": 5, "channels": 2},
    "campplus": {"input_dim": 13, "embedding_dim": 5, "channels": 8, "growth": 2},
    "eres2net": {"input_dim": 13, "embedding_dim": 5, "channels": 8},
    "redimnet": {"input_dim": 24, "embedding_dim": 5, "variant": "b2"},
    "deep_speaker_rescnn": {"input_dim": 8, "embedding_dim": 5},
    "deep_speaker_simple_cnn": {"input_dim": 8, "embedding_dim": 5},
    "deep_speaker_gru": {"input_dim": 8, "embedding_dim": 5, "channels": 8},
}
WAVEFORMS = {
    "resnet_se34l": {"embedding_dim": 5, "channels": 8},
    "resnet_se34v2": {"embedding_dim": 5, "channels": 8, "n_mels": 20},
    "vggvox": {"embedding_dim": 5},
    "rawnet3": {"embedding_dim": 5, "channels": 32},
}
FRAMES = {"frame_mlp", "lstm_vad"}


def small(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    if name in WAVEFORMS:
        return build_model(name, **WAVEFORMS[name]), 0.1 * torch.randn(4, 12000)
    return build_model(name, **FEATURES[name]), torch.randn(4, 60, FEATURES[name]["input_dim"])


def test_no_network_is_forgotten():
    families = {"resnet34", "resnet101", "resnet152", "resnet221", "resnet293"}
    own_tests = {"light_xvector", "lde_xvector"}
    assert set(NETWORKS) - own_tests == {*FEATURES, *WAVEFORMS, *FRAMES, *families}


@pytest.mark.parametrize("name", sorted({**FEATURES, **WAVEFORMS}))
def test_a_batch_is_what_its_members_are_alone(name):
    network, x = small(name)
    network.train()
    with torch.no_grad():
        for _ in range(12):  # running statistics that are not those of the start
            network(x)
        network.eval()
        together = network(x)
        alone = torch.cat([network(one[None]) for one in x])
    assert together.shape == (4, 5)
    assert network.embedding_dim == 5
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", sorted({**FEATURES, **WAVEFORMS}))
def test_every_learned_tensor_gets_a_gradient(name):
    network, x = small(name)
    output = network.train().training_output(x) if hasattr(network, "training_output") else network.train()(x)
    (output * torch.randn_like(output)).sum().backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", sorted({**FEATURES, **WAVEFORMS}))
def test_bf16_gives_nearly_the_same(name):
    network, x = small(name)
    network.eval()
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(x)
    assert rough.isfinite().all()
    assert (rough.float() - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_the_shortest_utterance_and_one_frame_less(name):
    network, x = small(name)
    network.eval()
    with torch.no_grad():
        assert network(x[:1, : network.min_frames]).isfinite().all()
        if network.min_frames > 1:
            with pytest.raises(ValueError, match=f"at least {network.min_frames} frames"):
                network(x[:1, : network.min_frames - 1])
        with pytest.raises(ValueError, match=rf"features \(batch, frames, {network.input_dim}\)"):
            network(x[:, :, 1:])


@pytest.mark.parametrize("variant", ["b0", "b1", "b3", "b4", "b5", "b6"])
def test_variants_of_redimnet_run(variant):
    network = build_model("redimnet", variant=variant).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 4, network.input_dim)).isfinite().all()
    with pytest.raises(ValueError, match="cannot divide 70 dimensions by its strides"):
        build_model("redimnet", variant="b1", input_dim=70)


def test_deep_speaker_embeddings_have_length_one():
    for name in ("deep_speaker_rescnn", "deep_speaker_simple_cnn", "deep_speaker_gru"):
        network, x = small(name)
        with torch.no_grad():
            torch.testing.assert_close(network.eval()(x).norm(dim=1), torch.ones(4))


def test_frame_mlp_gives_log_probabilities_of_stacked_frames():
    network = build_model("frame_mlp", input_dim=4, num_classes=7, frames=5, channels=6)
    x = torch.randn(3, 5, 4)
    output = network(x)
    torch.testing.assert_close(output.exp().sum(dim=1), torch.ones(3))
    assert torch.equal(output, network(x.flatten(1)))
    with pytest.raises(ValueError, match=r"stacked frames \(batch, 5, 4\) but was given \(3, 4, 4\)"):
        network(x[:, 1:])


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}])
def test_lstm_vad_gives_a_probability_a_frame(options):
    network = build_model("lstm_vad", input_dim=3, channels=4, **options)
    output = network(torch.randn(2, 9, 3))
    assert output.shape == (2, 9)
    assert ((output > 0) & (output < 1)).all()


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 4), ("resnet18", 12), ("eres2net", 4)])
def test_narrow_networks_can_be_trained(name, channels):
    network = build_model(name, input_dim=40, channels=channels).train()
    for frames in (60, 80, 100):
        network(torch.randn(4, frames, 40)).square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())
