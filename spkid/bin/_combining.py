"""Several tables made into one, id by id: what paste-feats, matrix-sum and vector-sum share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.report import Report
from spkid.kaldi.tables import Holder, TableWriter, open_table, read_table


def combine_tables(
    sources: list[str], target: str, holder: Holder, combine: Callable[[list[np.ndarray]], np.ndarray], report: Report
) -> None:
    """Writes, for each id of the first table, what `combine` makes of its values in all tables.

    An id that a table lacks fails, and one whose values `combine` refuses with InputError.
    """
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(TableWriter(target, holder))
        others = [opened.enter_context(open_table(name, holder)) for name in sources[1:]]
        for key, first in read_table(sources[0], holder):
            missing = [name for name, table in zip(sources[1:], others, strict=True) if key not in table]
            if missing:
                report.add_failed(key, f"missing in {missing[0]}")
                continue
            try:
                combined = combine([first, *(table[key] for table in others)])
            except InputError as error:
                report.add_failed(key, error)
                continue
            writer.write(key, combined)
            report.add_done()
