"""Schedules are those of torch and of the published trainers, and functions of what a checkpoint holds."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from spkid.kaldi import InputError
from spkid.train import schedules

UPDATES = 8  # in an epoch


def ours(epochs=40, **section):
    schedule = schedules.Schedule({"epochs": epochs, **section}, UPDATES)
    return [schedule.factor(update) for update in range(epochs * UPDATES)]


def theirs(make, steps, lr=1.0):
    """What a scheduler of torch gives to `steps` steps of it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.parametrize(
    ("section", "make"),
    [
        # the VoxCeleb trainer (system S1): StepLR(test_interval, 0.95)
        (
            {"name": "step", "step_epochs": 10, "gamma": 0.95},
            lambda optimizer: lr_scheduler.StepLR(optimizer, 10, 0.95),
        ),
        # asv_beginner (system S2)
        (
            {"name": "step", "milestones": [20, 35]},
            lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [20, 35], 0.1),
        ),
        (
            {"name": "step", "step_epochs": 1, "gamma": 0.9},
            lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9),
        ),
        ({"name": "constant"}, lambda optimizer: lr_scheduler.ConstantLR(optimizer, 1.0)),
    ],
)
def test_schedules_of_whole_epochs_are_those_of_torch(section, make):
    factors = ours(**section)
    assert factors[::UPDATES] == pytest.approx(theirs(make, 40))
    assert factors[UPDATES - 1 :: UPDATES] == factors[::UPDATES]  # nothing moves within an epoch


@pytest.mark.parametrize(("gamma", "mode"), [(1.0, "triangular"), (0.5, "triangular2")])
@pytest.mark.parametrize("rise", [0.5, 0.25])
def test_cyclic_is_that_of_torch(gamma, mode, rise):
    factors = ours(name="cyclic", cycle_epochs=5, rise=rise, start=0.1, gamma=gamma)
    up = int(5 * UPDATES * rise)
    expected = theirs(
        lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.1, 1.0, up, 5 * UPDATES - up, mode, cycle_momentum=False),
        40 * UPDATES,
    )
    assert factors == pytest.approx(expected)


@pytest.mark.parametrize(
    ("section", "make"),
    [
        (
            {"name": "cosine", "final": 0.0},
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 40 * UPDATES - 1),
        ),
        (
            {"name": "one_cycle"},
            lambda optimizer: lr_scheduler.OneCycleLR(
                optimizer, 1.0, total_steps=40 * UPDATES + 1, cycle_momentum=False
            ),
        ),
    ],
)
def test_schedules_of_updates_are_those_of_torch(section, make):
    assert ours(**section) == pytest.approx(theirs(make, 40 * UPDATES), abs=0.01)  # torch ends a step later


def test_exponential_with_warm_up_is_wespeakers():
    """wespeaker/utils/schedulers.py ExponentialDecrease: 0.1 to 5e-5 in 150 epochs, the first 6 from zero."""
    epochs, start, final, warm = 150, 0.1, 5e-5, 6
    factors = ours(epochs, name="exponential", final=final / start, warmup_epochs=warm)
    for update, factor in enumerate(factors):
        expected = math.exp(update / (epochs * UPDATES) * math.log(final / start))
        rising = min((update + 1) / (warm * UPDATES + 1), 1.0)
        assert factor == pytest.approx(expected * rising, rel=0.01)
    assert factors[-1] == pytest.approx(final / start, rel=0.01)


@pytest.mark.parametrize(("watch", "mode"), [("valid_loss", "min"), ("valid_accuracy", "max"), ("dev_eer", "min")])
def test_plateau_is_that_of_torch_and_needs_only_the_history(watch, mode):
    generator = torch.Generator().manual_seed(3)
    values = (torch.randint(1, 12, (60,), generator=generator) / 10).tolist()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=2, min_lr=0.01, eps=0.0)
    section = {"name": "plateau", "watch": watch, "patience": 2, "gamma": 0.5, "final": 0.01}
    schedule = schedules.Schedule({"epochs": 60, **section}, UPDATES)
    history, seen = [], set()
    for epoch, value in enumerate(values):
        factor = schedule.factor(epoch * UPDATES, history)
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"])
        seen.add(factor)
        scheduler.step(value)
        history += [{"epoch": 2 * epoch + 1}, {"epoch": 2 * epoch + 2, watch: value}]  # every second one evaluated
    assert len(seen) > 4


def margins(**options):
    return [schedules.margin_at(epoch / 2, 0.2, **options) for epoch in range(100)]


def test_the_margin_grows_from_one_epoch_to_another():
    linear = margins(initial=0.0, start_epoch=10, full_epoch=20, rise="linear")
    assert set(linear[:21]) == {0.0}
    assert linear[30] == pytest.approx(0.1)
    assert set(linear[40:]) == {0.2}
    fast = margins(initial=0.05, start_epoch=10, full_epoch=20, rise="exponential")
    assert set(fast[:21]) == {0.05}
    assert fast[20:40] == sorted(fast[20:40])
    assert fast[25] > 0.14
    assert set(fast[40:]) == {0.2}


def test_the_margin_is_that_of_wespeakers_scheduler():
    """wespeaker/utils/schedulers.py MarginScheduler, increase_start_epoch 21, fix_start_epoch 41, type exp."""
    for iteration in range(20 * UPDATES, 40 * UPDATES):
        part = (iteration - 20 * UPDATES) / (20 * UPDATES)
        expected = 0.2 * (1.0 - math.exp(part * math.log(1e-3 / (1.0 + 1e-6))))
        options = {"initial": 0.0, "start_epoch": 20, "full_epoch": 40, "rise": "exponential"}
        assert schedules.margin_at(iteration / UPDATES, 0.2, **options) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"name": "plateau", "watch": "loss"}, "schedule.watch must be one of valid_loss, valid_accuracy, dev_eer"),
        ({"name": "plateau", "patience": -1}, "schedule.patience must not be negative"),
        ({"name": "plateau", "gamma": 0}, "schedule.gamma must be positive"),
        ({"name": "cyclic", "cycle_epochs": 0}, "schedule.cycle_epochs must be positive"),
        ({"name": "cyclic", "rise": 2}, "schedule.rise is a fraction"),
        ({"name": "step", "milestones": 20}, r"schedule.milestones is a list of epochs, such as \[20, 35\], not 20"),
        ({"name": "step", "milestones": ["x"]}, "schedule.milestones is a list"),
    ],
)
def test_values_that_cannot_be_are_refused(section, sentence):
    with pytest.raises(InputError, match=sentence):
        schedules.check(section)
