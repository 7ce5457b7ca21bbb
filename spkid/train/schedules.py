"""Learning rates and margins as functions of the place in training, so that a resumed run needs no state of theirs.

Each schedule is a function of a `Place` that gives the factor on `optimizer.lr`. Its keyword arguments are the options
of the section `schedule`. The history of the epochs is part of the place, and every checkpoint holds it: a schedule
that listens to the validation (`plateau`) resumes exactly too.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spkid.kaldi import InputError
from spkid.train.patience import WATCHED, is_better


@dataclass(frozen=True)
class Place:
    """Where training stands.

    Attributes:
        done: the fraction of all updates behind us, 0 to 1.
        epoch: epochs behind us.
        history: the values of the finished epochs, as in metrics.jsonl.
    """

    done: float
    epoch: float
    history: Sequence[dict[str, Any]] = ()


def constant(place: Place) -> float:
    """Always 1."""
    return 1.0


def step(place: Place, *, step_epochs: int = 10, gamma: float = 0.1, milestones: list[int] | None = None) -> float:
    """`gamma` for each `step_epochs` behind us, or for each of the `milestones` (epochs) where they are given.

    torch's StepLR and MultiStepLR; with step_epochs 1 its ExponentialLR.
    """
    if milestones is not None:
        return gamma ** sum(place.epoch >= milestone for milestone in milestones)
    return gamma ** math.floor(place.epoch / step_epochs)


def exponential(place: Place, *, final: float = 0.1) -> float:
    """Falls by equal factors an update, down to `final`: Kaldi's schedule, and WeSpeaker's ExponentialDecrease."""
    return final**place.done


def cosine(place: Place, *, final: float = 0.0) -> float:
    """Half a cosine from 1 to `final`. Loshchilov, Hutter, "SGDR", ICLR 2017."""
    return _half_cosine(place.done, final)


def _half_cosine(done: float, final: float) -> float:
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def one_cycle(place: Place, *, rise: float = 0.3, start: float = 0.04, final: float = 4.0e-6) -> float:
    """Rises from `start` to 1 over the fraction `rise` of training and falls to `final`, both along half a cosine.

    Smith, Topin, "Super-convergence", 2018; the defaults are those of torch.optim.lr_scheduler.OneCycleLR.
    """
    if place.done < rise:
        return _half_cosine(1.0 - place.done / rise, start)
    return _half_cosine((place.done - rise) / max(1.0 - rise, 1.0e-9), final)


def cyclic(
    place: Place, *, cycle_epochs: float = 2.0, rise: float = 0.5, start: float = 0.1, gamma: float = 1.0
) -> float:
    """Triangles: up from `start` to 1 over the fraction `rise` of `cycle_epochs`, and down again.

    Every further cycle is `gamma` times as high above `start`: 1 is Smith's "triangular", 0.5 his "triangular2". Smith,
    "Cyclical learning rates for training neural networks", WACV 2017.
    """
    cycle, position = divmod(place.epoch / cycle_epochs, 1.0)
    height = position / rise if position < rise else (1.0 - position) / (1.0 - rise)
    return start + (1.0 - start) * height * gamma**cycle


def plateau(
    place: Place,
    *,
    watch: str = "valid_loss",
    patience: int = 3,
    gamma: float = 0.1,
    threshold: float = 1.0e-4,
    final: float = 0.0,
) -> float:
    """`gamma` each time more than `patience` evaluations in a row brought nothing, but never less than `final`.

    watch: valid_loss, valid_accuracy or dev_eer; threshold: the gain, relative to the best so far, that counts. torch's
    ReduceLROnPlateau.
    """
    best, waited, falls = None, 0, 0
    for values in place.history:
        if watch not in values:
            continue
        if best is None or is_better(watch, values[watch], best, threshold):
            best, waited = values[watch], 0
        else:
            waited += 1
        if waited > patience:
            falls, waited = falls + 1, 0
    return max(gamma**falls, final)


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "cyclic": cyclic,
    "plateau": plateau,
}

COMMON = {"epochs": 20, "warmup_epochs": 0.0}


def options(name: str) -> dict[str, Any]:
    """The keys of a schedule's section and their defaults."""
    parameters = inspect.signature(SCHEDULES[name]).parameters
    return {**COMMON, **{key: item.default for key, item in parameters.items() if item.kind is item.KEYWORD_ONLY}}


def check(section: dict[str, Any]) -> None:
    """Raise InputError for values that no training can have."""
    values = {**options(section["name"]), **section}
    epochs, warmup = values["epochs"], values["warmup_epochs"]
    if not isinstance(epochs, int) or epochs < 1:
        raise InputError(f"schedule.epochs must be a whole number of at least 1, not {epochs}")
    if not 0 <= warmup < epochs:
        raise InputError(f"schedule.warmup_epochs must lie between 0 and schedule.epochs, not {warmup}")
    for key in ("step_epochs", "gamma", "cycle_epochs"):
        if not values.get(key, 1) > 0:
            raise InputError(f"schedule.{key} must be positive, not {values[key]}")
    if not 0 <= values.get("rise", 0.0) <= 1:
        raise InputError(f"schedule.rise is a fraction, between 0 and 1, not {values['rise']}")
    for key in ("start", "threshold", "patience"):
        if not values.get(key, 0) >= 0:
            raise InputError(f"schedule.{key} must not be negative, not {values[key]}")
    if not values.get("final", 1) >= (0 if section["name"] != "exponential" else 1.0e-12):
        raise InputError(f"schedule.final must be positive, not {values['final']}")
    milestones = values.get("milestones")
    if milestones is not None and not (
        isinstance(milestones, list) and all(isinstance(one, int) and one > 0 for one in milestones)
    ):
        raise InputError(f"schedule.milestones is a list of epochs, such as [20, 35], not {milestones}")
    if values.get("watch", WATCHED[0]) not in WATCHED:
        raise InputError(f"schedule.watch must be one of {', '.join(WATCHED)}, not '{values['watch']}'")


class Schedule:
    """The learning rate factor of every update of a training."""

    def __init__(self, section: dict[str, Any], updates_per_epoch: int) -> None:
        section = dict(section)
        self._function = SCHEDULES[section.pop("name")]
        self.epochs = section.pop("epochs", COMMON["epochs"])
        self._warmup = section.pop("warmup_epochs", COMMON["warmup_epochs"])
        self._options = section
        self._updates_per_epoch = updates_per_epoch

    def factor(self, update: int, history: Sequence[dict[str, Any]] = ()) -> float:
        """The factor on the learning rate for update number `update`, counted from 0, after the epochs of `history`."""
        total = max(self.epochs * self._updates_per_epoch - 1, 1)
        epoch = update / self._updates_per_epoch
        value = self._function(Place(min(update / total, 1.0), epoch, history), **self._options)
        if epoch < self._warmup:
            value *= (update + 1) / (self._warmup * self._updates_per_epoch + 1)
        return value


RISES = ("linear", "exponential")
EXPONENTIAL_REST = 1.0e-3  # what an exponential rise leaves open just before its end (WeSpeaker's MarginScheduler)


def margin_at(epoch: float, full: float, *, initial: float, start_epoch: float, full_epoch: float, rise: str) -> float:
    """The margin when `epoch` epochs lie behind: `initial` up to `start_epoch`, `full` from `full_epoch` on.

    rise: "linear", or "exponential", which does most of it early: initial + (full - initial) (1 - 0.001^x) with x from
    0 to 1. WeSpeaker's MarginScheduler counts epochs from 1: its increase_start_epoch 21 and fix_start_epoch 41 are
    start_epoch 20 and full_epoch 40.
    """
    if epoch >= full_epoch:
        return full
    part = max(0.0, (epoch - start_epoch) / (full_epoch - start_epoch))
    return initial + (full - initial) * (part if rise == "linear" else 1.0 - EXPONENTIAL_REST**part)
