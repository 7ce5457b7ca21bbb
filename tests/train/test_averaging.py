"""Averages of weights are those of float64, come and go without a trace, and survive a checkpoint."""

import numpy as np
import pytest
import torch
from torch import nn

from spkid.kaldi import InputError
from spkid.train.averaging import EpochWeights, ExponentialAverage

torch.set_num_threads(1)


@pytest.fixture
def modules():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), nn.Linear(2, 5, bias=False)


def train(modules, updates, after_update=lambda: None):
    network, head = modules
    optimizer = torch.optim.SGD([*network.parameters(), *head.parameters()], lr=0.3)
    for _ in range(updates):
        optimizer.zero_grad()
        head(network(torch.randn(6, 3))).square().mean().backward()
        optimizer.step()
        after_update()


def values(modules):
    return {f"{place}.{name}": value.double().numpy().copy() for place, module in enumerate(modules)
            for name, value in module.state_dict().items()}  # fmt: skip


def test_exponential_average_is_that_of_float64(modules):
    average = ExponentialAverage(modules, 0.8)
    trace = [values(modules)]

    def after_update():
        average.update()
        trace.append(values(modules))

    train(modules, 60, after_update)
    expected = trace[0]
    for number, weights in enumerate(trace[1:], start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        expected = {name: decay * expected[name] + (1 - decay) * weights[name] for name in weights}
    last = values(modules)
    with average.applied():
        inside = values(modules)
        for name, value in inside.items():
            if name.endswith("num_batches_tracked"):
                assert value == 60
            else:
                np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6)
        assert any((inside[name] != last[name]).any() for name in last)
    assert all((values(modules)[name] == last[name]).all() for name in last)


def test_the_average_comes_out_again_when_something_fails_inside(modules):
    average = ExponentialAverage(modules, 0.9)
    train(modules, 3, average.update)
    last = values(modules)
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert all((values(modules)[name] == last[name]).all() for name in last)


def test_the_average_goes_on_from_a_checkpoint(modules, tmp_path):
    average = ExponentialAverage(modules, 0.9)
    train(modules, 5, average.update)
    torch.save(average.state_dict(), tmp_path / "state.pt")
    again = ExponentialAverage(modules, 0.9)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    def both():
        average.update()
        again.update()

    train(modules, 5, both)
    with average.applied():
        one = values(modules)
    with again.applied():
        other = values(modules)
    assert all((one[name] == other[name]).all() for name in one)


def test_the_mean_of_epochs_is_the_mean_of_their_weights(modules, tmp_path):
    stored = EpochWeights(tmp_path)
    trace = {}
    for epoch in range(1, 6):
        train(modules, 2)
        trace[epoch] = values(modules)
        stored.save(epoch, [module.state_dict() for module in modules])
    stored.keep([2, 3, 4])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"epoch00{epoch}-weights.pt" for epoch in (2, 3, 4)]
    network, head = stored.mean([2, 3, 4])
    mean = {f"{place}.{name}": value for place, state in enumerate((network, head)) for name, value in state.items()}
    for name, value in mean.items():
        if name.endswith("num_batches_tracked"):
            assert value == trace[4][name]
        else:
            assert value.dtype == torch.float32
            expected = np.mean([trace[epoch][name] for epoch in (2, 3, 4)], axis=0)
            assert (value.numpy() == expected.astype(np.float32)).all()
    modules[0].load_state_dict(network)
    alone = stored.mean([3])[1]["weight"]
    assert (alone.double().numpy() == trace[3]["1.weight"]).all()


def test_weights_that_are_not_there_are_named(modules, tmp_path):
    stored = EpochWeights(tmp_path)
    stored.save(1, [module.state_dict() for module in modules])
    (tmp_path / "epoch001-weights.pt").write_bytes(b"PK")
    for epochs in ([1], [2]):
        with pytest.raises(InputError, match=rf"epoch00{epochs[0]}-weights\.pt cannot be read .*--force"):
            stored.mean(epochs)
