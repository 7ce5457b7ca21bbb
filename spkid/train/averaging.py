"""Averages of weights: exponential over the updates, or plain over the last epochs.

Running statistics of batch normalisation are averaged like the weights, not computed again: they are themselves
exponential averages over batches, networks that lie close together on one path of training have nearly the same ones,
and computing them again would take a pass over the training data whose order and augmentation the result depends on.
(WeSpeaker and 3D-Speaker average checkpoints in the same way.) Counters of batches are those of
the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

State = dict[str, torch.Tensor]


class ExponentialAverage:
    """average <- d * average + (1 - d) * weights after every update, over all modules that are given.

    d is `decay`, but at most (1 + n) / (10 + n) in update n, so that the random weights of the beginning are forgotten
    even in a short training. Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.decay, self.updates = decay, 0
        values = [value.detach() for module in modules for value in module.state_dict().values()]
        self._live = [value for value in values if value.is_floating_point()]
        self._average = [value.clone() for value in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights in after an update of them."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(self._average, self._live, self.updates)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The modules hold the average inside, and their own weights again afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for average, value in zip(self._average, self._live, strict=True):
            kept = value.clone()
            value.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"updates": self.updates, "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the checkpoint stands."""
        self.updates = state["updates"]
        for average, value in zip(self._average, state["average"], strict=True):
            average.copy_(value)


class EpochWeights:
    """The weights after single epochs, `epochEEE-weights.pt` beside the checkpoints: what is averaged or chosen."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, epoch: int, states: Sequence[State]) -> None:
        """Writes the states of the modules after epoch number `epoch`, counted from 1."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path(epoch), "wb") as stream:
            torch.save(list(states), stream)

    def keep(self, epochs: Iterable[int]) -> None:
        """Deletes those of all other epochs."""
        wanted = {self._path(epoch) for epoch in epochs}
        for path in self.directory.glob("epoch*-weights.pt"):
            if path not in wanted:
                path.unlink()

    def mean(self, epochs: Sequence[int]) -> list[State]:
        """The mean of the states of these epochs, in ascending order. Raises InputError for a file that is not whole.

        Summed in float64, so that the order and the number of epochs cost no digit.
        """
        total: list[State] = []
        for epoch in epochs:
            try:
                states = torch.load(self._path(epoch), map_location="cpu", weights_only=True)
            except Exception as error:  # torch raises whatever the unpickler stumbled over
                raise InputError(
                    f"{self._path(epoch)} cannot be read ({str(error).splitlines()[0][:120]}), but the final weights "
                    f"are made from it; train again with --force"
                ) from None
            if not total:
                total = [{name: _widened(value) for name, value in state.items()} for state in states]
                continue
            for sums, state in zip(total, states, strict=True):
                for name, value in state.items():
                    sums[name] = sums[name] + _widened(value) if value.is_floating_point() else value
        return [
            {
                name: (value / len(epochs)).to(states[place][name].dtype) if value.is_floating_point() else value
                for name, value in sums.items()
            }
            for place, sums in enumerate(total)
        ]

    def _path(self, epoch: int) -> Path:
        return self.directory / f"epoch{epoch:03d}-weights.pt"


def _widened(value: torch.Tensor) -> torch.Tensor:
    return value.double() if value.is_floating_point() else value
