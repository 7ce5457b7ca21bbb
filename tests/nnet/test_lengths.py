"""Padded batches: a row's embedding is what the utterance gives alone, to 1e-5, whatever the padding holds."""

import pytest
import torch

from spkid.nnet import POOLINGS, build_model, build_pooling, takes_lengths
from tests.nnet.test_all_networks import FEATURES, WAVEFORMS

torch.set_num_threads(1)

LENGTHS = torch.tensor([150, 231, 232, 24, 99, 100, 230])
OPTIONS = {
    **FEATURES,
    "lde_xvector": {"input_dim": 8, "embedding_dim": 5, "num_ceps": 4, "classes": 3, "channels": 6},
}
VARIANTS = [
    ("ecapa_tdnn", {"layout": "wespeaker"}),
    ("ecapa_tdnn", {"global_context": False}),
    ("xvector", {"layer": "far"}),
    ("xvector", {"pooling": "attentive_statistics"}),
    ("asv_xvector", {"layer": "near", "pooling": "max"}),
    ("resnet18", {"pooling": "multi_query_attentive_statistics", "pooling_options": {"num_heads": 2}}),
    ("campplus", {"pooling": "xi"}),
]


def trained(name: str, **options) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network whose running statistics are not those of the start, in eval mode, and a padded batch for it."""
    torch.manual_seed(0)
    network = build_model(name, **{**OPTIONS[name], **options}).train()
    dims = OPTIONS[name]["input_dim"]
    with torch.no_grad():
        for _ in range(12):
            network(torch.randn(4, 60, dims))
    return network.eval(), torch.randn(len(LENGTHS), int(LENGTHS.max()), dims)


@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in sorted(OPTIONS) if takes_lengths(name)), *VARIANTS]
)
def test_a_row_of_a_padded_batch_is_what_it_is_alone(name, options):
    network, x = trained(name, **options)
    with torch.no_grad():
        alone = torch.cat([network(row[None, :length]) for row, length in zip(x, LENGTHS, strict=True)])
        for filling in (0.0, 1000.0):
            for row, length in zip(x, LENGTHS, strict=True):
                row[length:] = filling
            torch.testing.assert_close(network(x, LENGTHS), alone, atol=1e-5, rtol=1e-5)


def test_the_networks_that_recipes_train_on_features_take_lengths():
    without = {"redimnet", "deep_speaker_rescnn", "deep_speaker_simple_cnn", "deep_speaker_gru"}
    assert {name for name in OPTIONS if not takes_lengths(name)} == without
    assert not any(takes_lengths(name) for name in WAVEFORMS)


@pytest.mark.parametrize("name", ["redimnet", "deep_speaker_gru"])
def test_a_network_without_masks_does_not_take_lengths(name):
    network = build_model(name, **OPTIONS[name])
    with pytest.raises(TypeError):
        network(torch.randn(1, 20, network.input_dim), torch.tensor([20]))


@pytest.mark.parametrize("name", sorted(name for name in OPTIONS if takes_lengths(name)))
def test_lengths_out_of_range_are_refused(name):
    network, x = trained(name)
    for wrong in (network.min_frames - 1, x.shape[1] + 1):
        with pytest.raises(ValueError, match=f"between {network.min_frames} and 232 frames but are .*{wrong}"):
            network(x[:2], torch.tensor([200, wrong]))


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_looks_at_the_frames_that_count(name):
    torch.manual_seed(0)
    pooling = build_pooling(name, channels=8).eval()
    x = torch.randn(3, 8, 12)
    lengths = torch.tensor([12, 5, 1])
    mask = (torch.arange(12) < lengths[:, None])[:, None]
    with torch.no_grad():
        alone = torch.cat([pooling(row[None, :, :length]) for row, length in zip(x, lengths, strict=True)])
        x[1, :, 5:] = 50.0
        torch.testing.assert_close(pooling(x, mask), alone, atol=1e-5, rtol=1e-5)
