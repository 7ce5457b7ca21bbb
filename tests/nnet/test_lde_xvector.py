"""lde_xvector: the description of an utterance is what its definition says."""

import numpy as np
import pytest
import torch
from scipy.fft import dct

from spkid.features import DeltaOptions, add_deltas
from spkid.nnet import build_model
from spkid.nnet.lde_xvector import RELEVANCE, STRIDE, _cosine_transform, _derivative

torch.set_num_threads(1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = build_model("lde_xvector", input_dim=12, embedding_dim=7, num_ceps=5, classes=3, channels=8)
    with torch.no_grad():
        network.centres.normal_()
        network(torch.randn(16, 50, 12))  # running statistics that are not those of the beginning
    return network.eval()


def test_cepstra_and_derivatives_are_the_usual_ones():
    np.testing.assert_allclose(_cosine_transform(5, 12), dct(np.eye(12), norm="ortho", axis=0)[:5], atol=1e-6)
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    expected = add_deltas(features, DeltaOptions(delta_order=1))[:, 4:]
    np.testing.assert_allclose(_derivative(torch.from_numpy(features.T)[None])[0].T, expected, atol=1e-6)


def test_a_description_by_hand(network):
    posteriors = torch.softmax(torch.randn(2, 3, 20), dim=1)
    frames = torch.randn(2, 10, 20)
    found = network.describe(posteriors, frames).detach().numpy()
    for utterance in range(2):
        parts = []
        for sound in range(3):
            weights = posteriors[utterance, sound].numpy()
            centre = network.centres[sound].detach().numpy()
            distances = frames[utterance].numpy() - centre[:, None]
            parts.append((distances * weights).sum(axis=1) / (weights.sum() + RELEVANCE))
        parts += [frames[utterance].numpy().mean(axis=1), frames[utterance].numpy().std(axis=1)]
        np.testing.assert_allclose(found[utterance], np.concatenate(parts), atol=1e-4)


def test_sounds_are_told_apart_without_the_mean_but_the_embedding_knows_it(network):
    seen = []
    network.assignment.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    x = torch.randn(1, 40, 12)
    one, other = network(x), network(x + 3.0)
    torch.testing.assert_close(seen[0], seen[1], atol=1e-4, rtol=0)
    assert (one - other).abs().max() > 0.1


def test_an_embedding_does_not_depend_on_its_batch(network):
    x = torch.randn(4, 33, 12)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames", [3, 4, 5, 8])
def test_short_utterances_have_embeddings(network, frames):
    assert network(torch.randn(2, frames, 12)).isfinite().all()


def test_every_parameter_learns(network):
    network.train()
    network(torch.randn(8, 10 * STRIDE, 12)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(("options", "sentence"), [({"num_ceps": 13}, "num_ceps is 13"), ({"num_ceps": 0}, "num_ceps")])
def test_impossible_sizes(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_model("lde_xvector", input_dim=12, **options)


def test_too_few_frames(network):
    with pytest.raises(ValueError, match="at least 3 frames"):
        network(torch.randn(1, 2, 12))
