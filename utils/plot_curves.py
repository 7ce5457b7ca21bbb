#!/usr/bin/env python3
"""Learning curves of one or several trainings in one picture: loss and accuracy, on training and held-out data."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from spkid.jobs import Program
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

PANELS = (
    ("train_loss", "loss in training"),
    ("train_accuracy", "accuracy in training, %"),
    ("valid_loss", "loss on validation"),
    ("valid_accuracy", "accuracy on validation, %"),
)


class PlotCurves(Program):
    """Draws metrics.jsonl of every EXP-DIR into OUT.png, 2 x 2: losses to the left, accuracies to the right.

    The upper panels are of training, the lower ones of validation. The epoch with the least validation loss is marked.
    """

    EXAMPLE = "utils/plot_curves.py exp/lstm exp/blstm exp/curves.png"

    def main(self, exp_dir: str, *others: str) -> int:
        if not others or Path(others[-1]).suffix != ".png":
            raise InputError("OUT.png is missing: the last argument is the picture (--help shows the usage)")
        *rest, picture = others
        histories = {directory: read_history(Path(directory)) for directory in dict.fromkeys([exp_dir, *rest])}
        with atomic_write(picture, "wb") as stream:
            draw(histories, stream)
        for name, history in histories.items():
            print(f"plot_curves: {name}: {describe(history)}")
        print(f"plot_curves: {picture}")
        return 0


def read_history(directory: Path) -> list[dict]:
    """The values of every epoch. Raises InputError where nothing has been trained."""
    path = directory / "metrics.jsonl"
    try:
        history = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read, so nothing has been trained there ({error})") from None
    if not history:
        raise InputError(f"{path}: no epoch has ended there yet")
    return history


def best(history: list[dict]) -> dict | None:
    """The epoch with the least validation loss."""
    return min(
        (values for values in history if "valid_loss" in values), key=lambda one: one["valid_loss"], default=None
    )


def describe(history: list[dict]) -> str:
    """Its length and its best epoch."""
    chosen = best(history)
    told = f"{len(history)} epochs, training accuracy {100 * history[-1]['train_accuracy']:.2f}% in the last"
    if chosen is None:
        return told
    accuracy = 100 * chosen["valid_accuracy"]
    return (
        f"{told}; validation loss {chosen['valid_loss']:.4f}, accuracy {accuracy:.2f}% in the best, {chosen['epoch']}"
    )


def draw(histories: dict[str, list[dict]], stream) -> None:
    """The picture, as PNG, into a binary stream."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from spkid.metrics.plots import COLOURS

    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (key, title) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        scale = 100 if key.endswith("accuracy") else 1
        for number, (name, history) in enumerate(histories.items()):
            colour = COLOURS[number % len(COLOURS)]
            points = [(values["epoch"], scale * values[key]) for values in history if key in values]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, marker=".", label=name)
            chosen = best(history)
            if chosen is not None:
                axes.plot(
                    chosen["epoch"], scale * chosen[key], "o", color=colour, markersize=8, markerfacecolor="white"
                )
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small", frameon=False)
        else:
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="gray")
    figure.savefig(stream, format="png", dpi=120)


if __name__ == "__main__":
    PlotCurves.run()
