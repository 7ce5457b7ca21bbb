#!/usr/bin/env python3
"""A table of voice activity detectors on one or several sets, and a picture of their accuracy over the sets."""

import io
import json
from pathlib import Path
from typing import Any

from plumbum import cli

from spkid.jobs import Program
from spkid.jobs.results import read_results
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.metrics.markdown import markdown_table
from spkid.metrics.plots import plot_accuracies
from spkid.metrics.sections import Table, percent
from spkid.train.experiment import DESCRIPTION

NEEDED = ("frames", "accuracy", "majority_class_accuracy", "miss_rate", "false_alarm_rate", "segments")


class CompareVad(Program):
    """Prints a Markdown table: a row for each detector and set, and of each set what the more frequent class gives.

    A detector's results are what steps/evaluate_vad.py wrote to DIR/results/SET. Where DIR is an experiment directory
    its parameters are told. With --picture, the sets have to be numbers, such as signal-to-noise ratios, perhaps in a
    folder (street/20).
    """

    EXAMPLE = "utils/compare_vad.py --system energy=exp/energy --system LSTM=exp/lstm --table exp/table.md valid single"

    systems = cli.SwitchAttr("--system", str, list=True, mandatory=True, argname="name=dir", help="a detector")
    table = cli.SwitchAttr("--table", str, default="", argname="file", help="write the table there too")
    picture = cli.SwitchAttr("--picture", str, default="", argname="png", help="draw accuracy over the sets")
    axis = cli.SwitchAttr("--axis", str, default="signal-to-noise ratio, dB", help="what the sets are, in the picture")

    def main(self, *sets: str) -> int:
        if not sets:
            raise InputError("name one or more sets: DIR/results/SET holds the results of steps/evaluate_vad.py")
        systems = dict(self._system(word) for word in self.systems)
        if len(systems) < len(self.systems):
            raise InputError("two detectors have one name: give each --system a name of its own")
        found = {name: [_results(place, one) for one in sets] for name, place in systems.items()}
        majority = [_majority(one, [results[row] for results in found.values()]) for row, one in enumerate(sets)]
        lines = _table(found, {name: _parameters(place) for name, place in systems.items()}, majority, sets)
        if self.picture:
            places = [_number(one) for one in sets]
            curves = {name: [one["accuracy"] for one in results] for name, results in found.items()}
            drawing = io.BytesIO()
            plot_accuracies(drawing, places, {**curves, "the more frequent class": majority}, self.axis)
            with atomic_write(self.picture, "wb") as stream:
                stream.write(drawing.getvalue())
        if self.table:
            with atomic_write(self.table) as stream:
                stream.write(lines)
        print(lines, end="")
        return 0

    def _system(self, word: str) -> tuple[str, Path]:
        name, equals, place = word.partition("=")
        if not (name and equals and place):
            raise InputError(f"--system {word}: give a name and a directory, as in LSTM=exp/lstm")
        return name, Path(place)


def _results(place: Path, name: str) -> dict[str, Any]:
    return read_results(place / "results" / name / "results.json", NEEDED, "steps/evaluate_vad.py")


def _majority(name: str, results: list[dict[str, Any]]) -> float:
    """Accuracy of the more frequent class of a set, on which all detectors must have been measured."""
    if len({(one["frames"], one["majority_class_accuracy"]) for one in results}) > 1:
        raise InputError(f"the detectors were not measured on the same set {name}: evaluate them again")
    return results[0]["majority_class_accuracy"]


def _parameters(place: Path) -> str:
    path = place / DESCRIPTION
    return f"{json.loads(path.read_text(encoding='utf-8'))['parameters']:,}" if path.exists() else ""


def _number(name: str) -> float:
    try:
        return float(name.rpartition("/")[2])
    except ValueError:
        raise InputError(f"--picture: the set {name} is not a number, by which it could be drawn") from None


def _table(
    found: dict[str, list[dict[str, Any]]], parameters: dict[str, str], majority: list[float], sets: tuple[str, ...]
) -> str:
    header = ["detector", "parameters", "set", "accuracy", "miss", "false alarm", "stretches F"]
    rows = []
    for row, one in enumerate(sets):
        rows.append(["the more frequent class", "", one, percent(majority[row]), "", "", ""])
        for name, results in found.items():
            values = results[row]
            rates = (values["accuracy"], values["miss_rate"], values["false_alarm_rate"])
            segments = values["segments"]["segment_f_measure"]
            rows.append([name, parameters[name], one, *map(percent, rates), percent(segments)])
    return markdown_table(Table(header, rows)) + "\n"


if __name__ == "__main__":
    CompareVad.run()
