"""Learning rates as functions of the place in training, so that a resumed run needs no state of theirs.

Each schedule is a function of `done` (the fraction of all updates behind us, 0 to 1) and `epoch` (epochs behind us, a
float) that gives the factor on `optimizer.lr`. Its keyword arguments are the options of the section `schedule`.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from spkid.kaldi import InputError


def constant(done: float, epoch: float) -> float:
    """Always 1."""
    return 1.0


def step(
    done: float, epoch: float, *, step_epochs: int = 10, gamma: float = 0.1, milestones: list[int] | None = None
) -> float:
    """`gamma` for each `step_epochs` behind us, or for each of the `milestones` (epochs) where they are given."""
    if milestones is not None:
        return gamma ** sum(epoch >= milestone for milestone in milestones)
    return gamma ** math.floor(epoch / step_epochs)


def exponential(done: float, epoch: float, *, final: float = 0.1) -> float:
    """Falls by equal factors an update, down to `final` (Kaldi's schedule)."""
    return final**done


def cosine(done: float, epoch: float, *, final: float = 0.0) -> float:
    """Half a cosine from 1 to `final`. Loshchilov, Hutter, "SGDR", ICLR 2017."""
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def one_cycle(done: float, epoch: float, *, rise: float = 0.3, start: float = 0.04, final: float = 4.0e-6) -> float:
    """Rises from `start` to 1 over the fraction `rise` of training and falls to `final`, both along half a cosine.

    Smith, Topin, "Super-convergence", 2018; the defaults are those of torch.optim.lr_scheduler.OneCycleLR.
    """
    if done < rise:
        return start + (1.0 - start) * 0.5 * (1.0 - math.cos(math.pi * done / rise))
    return cosine((done - rise) / max(1.0 - rise, 1.0e-9), epoch, final=final)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
    "one_cycle": one_cycle,
}

COMMON = {"epochs": 20, "warmup_epochs": 0.0}


def options(name: str) -> dict[str, Any]:
    """The keys of a schedule's section and their defaults."""
    parameters = inspect.signature(SCHEDULES[name]).parameters
    return {**COMMON, **{key: item.default for key, item in parameters.items() if item.kind is item.KEYWORD_ONLY}}


def check(section: dict[str, Any]) -> None:
    """Raise InputError for values that no training can have."""
    epochs, warmup = section.get("epochs", COMMON["epochs"]), section.get("warmup_epochs", 0.0)
    if not isinstance(epochs, int) or epochs < 1:
        raise InputError(f"schedule.epochs must be a whole number of at least 1, not {epochs}")
    if not 0 <= warmup < epochs:
        raise InputError(f"schedule.warmup_epochs must lie between 0 and schedule.epochs, not {warmup}")
    for key in ("step_epochs", "gamma"):
        if not section.get(key, 1) > 0:
            raise InputError(f"schedule.{key} must be positive, not {section[key]}")
    if not 0 <= section.get("rise", 0.0) <= 1:
        raise InputError(f"schedule.rise is a fraction of training, between 0 and 1, not {section['rise']}")
    if not section.get("final", 1) >= (0 if section["name"] != "exponential" else 1.0e-12):
        raise InputError(f"schedule.final must be positive, not {section['final']}")


class Schedule:
    """The learning rate factor of every update of a training."""

    def __init__(self, section: dict[str, Any], updates_per_epoch: int) -> None:
        section = dict(section)
        self._function = SCHEDULES[section.pop("name")]
        self.epochs = section.pop("epochs", COMMON["epochs"])
        self._warmup = section.pop("warmup_epochs", COMMON["warmup_epochs"])
        self._options = section
        self._updates_per_epoch = updates_per_epoch

    def factor(self, update: int) -> float:
        """The factor on the learning rate for update number `update`, counted from 0."""
        total = max(self.epochs * self._updates_per_epoch - 1, 1)
        epoch = update / self._updates_per_epoch
        value = self._function(min(update / total, 1.0), epoch, **self._options)
        if epoch < self._warmup:
            value *= (update + 1) / (self._warmup * self._updates_per_epoch + 1)
        return value
