"""ivector-compute-lda: an LDA transform from labelled vectors."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from spkid.backend.transforms import Lda
from spkid.backend.vectors import blaming, first_ids, load_vectors
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.options import option, parse_command_line
from spkid.kaldi.tables import TOKEN, open_table

USAGE = """Estimates a matrix for linear discriminant analysis from vectors and their speakers. Its last column moves
the mean of these vectors to zero, so that it is applied to vectors as they are (transform-vec).
Usage: ivector-compute-lda [options] <ivector-rspecifier> <utt2spk-rspecifier> <lda-matrix-wxfilename>
e.g.: ivector-compute-lda --dim=150 scp:exp/xvector.scp ark:data/train/utt2spk exp/transform.mat
See also: transform-vec, ivector-compute-plda"""


@dataclass(frozen=True)
class LdaOptions:
    """Options of ivector-compute-lda (ivectorbin/ivector-compute-lda.cc)."""

    dim: int = option(100, "Dimensions that are kept, fewer than there are speakers")
    total_covariance_factor: float = option(
        0.0, "Which covariance becomes unit: 0 the within-speaker one, 1 the total, between them a mixture"
    )
    covariance_floor: float = option(1e-6, "Least eigenvalue of that covariance, relative to the largest")
    binary: bool = option(True, "Write the matrix as binary, not text")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (source, utt2spk, target) = parse_command_line(USAGE, [LdaOptions], argv, (3, 3))
    table = load_vectors(source)
    speakers, without, rows = [], [], []
    with open_table(utt2spk, TOKEN) as speaker_of:
        for row, key in enumerate(table.ids):
            if key in speaker_of:
                rows.append(row)
                speakers.append(speaker_of[key])
            else:
                without.append(key)
    if without:
        warn(f"{len(without)} vectors have no speaker in {utt2spk}: {first_ids(without)}")
    if not rows:
        raise InputError(f"no vector of {source} has a speaker in {utt2spk}")
    log(f"Read {len(rows)} vectors of {len(set(speakers))} speakers")
    lda = Lda(options.dim, options.total_covariance_factor, options.covariance_floor)
    with blaming(source):
        lda.fit(table.matrix[rows], speakers)
    log("Between-speaker variances in the space of unit covariance: " + " ".join(f"{x:.6g}" for x in lda.ratios_))
    save_matrix(target, lda.matrix_.astype(np.float32), options.binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
