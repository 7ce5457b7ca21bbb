"""Averages of weights are those of float64, come and go without a trace, and survive a checkpoint."""

import numpy as np
import pytest
import torch
from torch import nn

from spkid.kaldi import InputError
from spkid.train.averaging import ExponentialAverage, FinalWeights

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


def rows(*losses):
    return [{"epoch": 1 + place, "valid_loss": loss} for place, loss in enumerate(losses)]


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def test_no_decay_is_no_average(modules):
    average = ExponentialAverage(modules, 0.0)
    train(modules, 3, average.update)
    last = values(modules)
    with average.applied():
        assert all((values(modules)[name] == last[name]).all() for name in last)
    assert average.state_dict() == {"updates": 0, "average": []}


def test_the_mean_of_the_last_epochs_is_the_mean_of_their_weights(modules, tmp_path):
    final = FinalWeights(tmp_path, last_epochs=3)
    history, trace = [], {}
    for epoch in range(1, 6):
        train(modules, 2)
        trace[epoch] = values(modules)
        history += [{"epoch": epoch}]
        final.save(history, modules)
        final.forget(history)
    assert files(tmp_path) == [f"epoch00{epoch}-weights.pt" for epoch in (3, 4, 5)]
    train(modules, 2)
    final.load(history, modules)
    for name, value in values(modules).items():
        if name.endswith("num_batches_tracked"):
            assert value == trace[5][name]
        else:
            mean = np.mean([trace[epoch][name] for epoch in (3, 4, 5)], axis=0)
            assert (value == mean.astype(np.float32)).all()


def test_the_best_epoch_is_kept(modules, tmp_path):
    final = FinalWeights(tmp_path, best="valid_loss")
    losses, trace = [3.0, 2.0, 2.5, 1.0, 1.0, 4.0], {}
    for epoch in range(1, 7):
        train(modules, 1)
        trace[epoch] = values(modules)
        final.save(rows(*losses[:epoch]), modules)
        final.forget(rows(*losses[:epoch]))
        assert len(files(tmp_path)) == 1
    final.load(rows(*losses), modules)
    assert all((values(modules)[name] == trace[4][name]).all() for name in trace[4])


def test_the_last_weights_need_no_file(modules, tmp_path):
    final = FinalWeights(tmp_path)
    last = values(modules)
    final.save(rows(1.0), modules)
    final.load(rows(1.0), modules)
    assert files(tmp_path) == []
    assert all((values(modules)[name] == last[name]).all() for name in last)


def test_without_a_single_evaluation_the_last_epoch_is_the_best(tmp_path):
    assert FinalWeights(tmp_path, best="dev_eer").epochs(rows(1.0, 2.0)) == [2]


@pytest.mark.parametrize("content", [b"PK", None])
def test_weights_that_are_not_there_are_named(modules, tmp_path, content):
    final = FinalWeights(tmp_path, differ=True)
    if content is not None:
        (tmp_path / "epoch001-weights.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"epoch001-weights\.pt cannot be read .*--force"):
        final.load(rows(1.0), modules)
