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
from spkid.train.patience import best_epoch


class ExponentialAverage:
    """average <- d * average + (1 - d) * weights after every update, over all modules that are given.

    d is `decay`, but at most (1 + n) / (10 + n) in update n, so that the random weights of the beginning are forgotten
    even in a short training. With decay 0 the average is the weights themselves, and nothing is kept. Polyak, Juditsky,
    "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.decay, self.updates = decay, 0
        values = [value for module in modules for value in module.state_dict().values()] if decay else []
        self._live = [value.detach() for value in values if value.is_floating_point()]
        self._average = [value.clone() for value in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights in after an update of them."""
        if not self._live:
            return
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


class FinalWeights:
    """What the final network is made of: the weights after one epoch, or the mean over the last few.

    The weights of the epochs that may be needed lie beside the checkpoints, `epochEEE-weights.pt`. Which they are
    follows from the history of the epochs alone. Where the final weights are those that the last checkpoint holds
    anyway, no such file is written.

    Args:
        directory: of the checkpoints.
        last_epochs: how many of the last epochs are averaged.
        best: the value (such as "valid_loss") whose best epoch is taken instead of the last one; None: the last.
        differ: whether the weights that are given to `save` are others than those of the checkpoint.
    """

    def __init__(self, directory: Path, last_epochs: int = 1, best: str | None = None, differ: bool = False) -> None:
        self.directory, self.last_epochs, self.best = directory, last_epochs, best
        self._stored = last_epochs > 1 or best is not None or differ

    def epochs(self, history: Sequence[dict[str, Any]]) -> list[int]:
        """The numbers (from 1, ascending) of the epochs that the final weights would be made of after this history."""
        if self.best is not None:
            return [best_epoch(history, self.best) or len(history)]
        return list(range(max(1, len(history) - self.last_epochs + 1), len(history) + 1))

    def save(self, history: Sequence[dict[str, Any]], modules: Sequence[nn.Module]) -> None:
        """Writes the weights after the last epoch of the history, if they may be needed."""
        if self._stored and len(history) in self.epochs(history):
            with atomic_write(self._path(len(history)), "wb") as stream:
                torch.save([module.state_dict() for module in modules], stream)

    def forget(self, history: Sequence[dict[str, Any]]) -> None:
        """Deletes the weights that are no longer needed, once a checkpoint holds the history."""
        needed = {self._path(epoch) for epoch in self.epochs(history)}
        for path in set(self.directory.glob("epoch*-weights.pt")) - needed:
            path.unlink()

    def load(self, history: Sequence[dict[str, Any]], modules: Sequence[nn.Module]) -> None:
        """Puts the final weights into the modules. Raises InputError for a file that is not whole.

        A mean is summed in float64 in the order of the epochs.
        """
        if not self._stored:
            return
        epochs = self.epochs(history)
        states = self._read(epochs[0])
        sums = [{name: _widened(value) for name, value in state.items()} for state in states]
        for epoch in epochs[1:]:
            states = self._read(epoch)
            for total, state in zip(sums, states, strict=True):
                for name, value in state.items():
                    total[name] = total[name] + value if value.is_floating_point() else value
        for module, total in zip(modules, sums, strict=True):
            mean = {name: value / len(epochs) if value.is_floating_point() else value for name, value in total.items()}
            module.load_state_dict(mean)

    def _path(self, epoch: int) -> Path:
        return self.directory / f"epoch{epoch:03d}-weights.pt"

    def _read(self, epoch: int) -> list[dict[str, torch.Tensor]]:
        try:
            return torch.load(self._path(epoch), map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever the unpickler stumbled over
            raise InputError(
                f"{self._path(epoch)} cannot be read ({str(error).splitlines()[0][:120]}), but the final weights "
                f"are made from it; train again with --force"
            ) from None


def _widened(value: torch.Tensor) -> torch.Tensor:
    return value.double() if value.is_floating_point() else value
