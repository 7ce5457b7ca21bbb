"""What copy-matrix and copy-vector have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log
from spkid.kaldi.report import Report
from spkid.kaldi.tables import Holder, TableWriter, is_table, read_table


def copy(
    source: str,
    target: str,
    plural: str,
    holder: Holder,
    save: Callable[[str, np.ndarray, bool], None],
    change: Callable[[np.ndarray], np.ndarray],
    binary: bool,
    report: Report,
) -> int:
    """Copies a table to a table, or a file to a file, applying `change` to each value; returns the exit status.

    `plural` names values in messages ("matrices"); `holder` must be able to load a single file, `save` to write one.
    """
    if is_table(source) != is_table(target):
        raise InputError(f"cannot copy from {source} to {target}: both must be tables (ark:, scp:) or both be files")
    if not is_table(source):
        save(target, change(holder.load(source)), binary)
        log(f"Copied {source or '-'} to {target or '-'}")
        report.add_done()
        return report.finish()
    with TableWriter(target, holder) as writer:
        for key, value in read_table(source, holder):
            writer.write(key, change(value))
            report.add_done()
    log(f"Copied {report.done} {plural}.")
    return report.finish()
