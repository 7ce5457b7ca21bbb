"""What the tools that work on vectors one by one have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spkid.kaldi.report import Report
from spkid.kaldi.tables import VECTOR, TableWriter, read_table


def convert_vectors(
    rspecifier: str, wspecifier: str, convert: Callable[[np.ndarray], np.ndarray], report: Report
) -> None:
    """Writes convert(vector), in float32, of every vector of a table; one that is not finite fails.

    `convert` raises ValueError for a vector that it cannot take, which then fails with that reason.
    """
    with TableWriter(wspecifier, VECTOR) as writer:
        for key, vector in read_table(rspecifier, VECTOR):
            if not np.isfinite(vector).all():
                report.add_failed(key, "the vector is not finite")
                continue
            try:
                converted = convert(vector)
            except ValueError as error:
                report.add_failed(key, error)
                continue
            writer.write(key, converted.astype(np.float32))
            report.add_done()
