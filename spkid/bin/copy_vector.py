"""copy-vector: copies vectors, or tables of vectors."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.bin._copying import copy
from spkid.kaldi.logging import run_tool
from spkid.kaldi.matrix import save_vector
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import VECTOR

USAGE = """Copy vectors, or archives of vectors (e.g. speaker vectors)
Usage: copy-vector [options] (vector-in-rspecifier|vector-in-rxfilename) (vector-out-wspecifier|vector-out-wxfilename)
e.g.: copy-vector --binary=false mean.vec -
  or: copy-vector scp:xvector.scp ark,t:-
See also: copy-matrix, vector-sum"""


@dataclass(frozen=True)
class CopyOptions:
    """Options of copy-vector (bin/copy-vector.cc)."""

    binary: bool = option(True, "Write in binary mode (only relevant if output is a wxfilename)")
    change_dim: int = option(-1, "Truncate or zero-pad the vectors to this many dimensions")
    scale: float = option(1.0, "This option can be used to scale the vectors being copied")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [CopyOptions, ReportOptions], argv, (2, 2))
    scale, size = np.float32(options.scale), options.change_dim

    def change(vector: np.ndarray) -> np.ndarray:
        if size >= 0:
            vector = np.pad(vector[:size], (0, max(0, size - len(vector))))
        return vector * scale

    report = Report(reporting.report)
    return copy(source, target, "vectors", VECTOR, save_vector, change, options.binary, report)


if __name__ == "__main__":
    sys.exit(main())
