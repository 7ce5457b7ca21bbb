"""What matrix-sum and vector-sum have in common: adding tables, the values of one table, or single files."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from spkid.bin._combining import combine_tables
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log
from spkid.kaldi.report import Report
from spkid.kaldi.tables import Holder, is_table, read_table


def weighted_sum(values: list[np.ndarray], scales: list[float]) -> np.ndarray:
    """The scaled sum of values of one shape. Raises InputError where the shapes differ."""
    shapes = [" x ".join(map(str, value.shape)) for value in values]
    if len(set(shapes)) > 1:
        raise InputError(f"different dimensions: {' vs. '.join(shapes)}")
    return sum(np.float32(scale) * value for scale, value in zip(scales, values, strict=True))


def add_values(named: Iterable[tuple[str, np.ndarray]], report: Report) -> np.ndarray | None:
    """The sum, in double precision, of values of one shape; empty ones and those of another shape fail."""
    total = None
    for key, value in named:
        if not value.size:
            report.add_failed(key, "empty")
        elif total is not None and total.shape != value.shape:
            report.add_failed(key, f"different dimensions: {value.shape} vs. {total.shape}")
        else:
            total = value.astype(np.float64) if total is None else total + value
            report.add_done()
    return total


def add(
    sources: list[str],
    target: str,
    holder: Holder,
    save: Callable[[str, np.ndarray, bool], None],
    report: Report,
    *,
    binary: bool = True,
    scales: tuple[float, float] = (1.0, 1.0),
    average: bool = False,
) -> int:
    """Adds what the arguments name, in one of Kaldi's three usages; returns the exit status.

    Tables into a table: id by id. One table into a file: all its values. Files into a file (all must fit). `scales`
    belong to the first two tables; `average` divides by the number of terms.
    """
    factors = [*scales, *[1.0] * len(sources)][: len(sources)]
    if scales != (1.0, 1.0) and not (len(sources) == 2 and is_table(target)):
        raise InputError("--scale1 and --scale2 are for the sum of two tables")
    if is_table(target):
        if average:
            factors = [factor / len(sources) for factor in factors]
        combine_tables(sources, target, holder, lambda values: weighted_sum(values, factors), report)
    else:
        if is_table(sources[0]) and len(sources) > 1:
            raise InputError(f"{len(sources)} tables cannot be summed into the single file {target}")
        one_table = is_table(sources[0])
        named = read_table(sources[0], holder) if one_table else ((name, holder.load(name)) for name in sources)
        total = add_values(named, report)
        if total is None or (report.failed and not one_table):
            raise InputError(f"{target} was not written: the sum of {' '.join(sources)} is incomplete")
        save(target, (total / report.done if average else total).astype(np.float32), binary)
    log(f"Added {report.done}; {len(report.failed)} had errors.")
    return report.finish()
