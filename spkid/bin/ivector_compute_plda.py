"""ivector-compute-plda: a PLDA model from labelled vectors."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.backend.plda import Plda
from spkid.backend.vectors import blaming, first_ids, load_vectors
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.options import option, parse_command_line
from spkid.kaldi.tables import TOKENS, read_table

USAGE = """Trains probabilistic linear discriminant analysis on vectors and their speakers. The vectors should be as
they will be scored: mean subtracted, LDA applied, length normalised.
Usage: ivector-compute-plda [options] <spk2utt-rspecifier> <ivector-rspecifier> <plda-wxfilename>
e.g.: ivector-compute-plda ark:data/train/spk2utt ark:normalized.ark exp/plda
See also: ivector-compute-lda, ivector-plda-scoring, ivector-copy-plda"""


@dataclass(frozen=True)
class PldaOptions:
    """Options of ivector-compute-plda (ivectorbin/ivector-compute-plda.cc)."""

    num_em_iters: int = option(10, "Iterations of expectation-maximisation")
    binary: bool = option(True, "Write the model as binary, not text")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options,), (spk2utt, source, target) = parse_command_line(USAGE, [PldaOptions], argv, (3, 3))
    if options.num_em_iters < 1:
        raise InputError("--num-em-iters is 1 or more")
    table = load_vectors(source)
    rows, speakers, missing = [], [], []
    for speaker, utterances in read_table(spk2utt, TOKENS):
        for utterance in utterances:
            if utterance in table.rows:
                rows.append(table.rows[utterance])
                speakers.append(speaker)
            else:
                missing.append(utterance)
    if missing:
        warn(f"{len(missing)} utterances of {spk2utt} have no vector: {first_ids(missing)}")
    if not rows:
        raise InputError(f"no utterance of {spk2utt} has a vector in {source}")
    log(f"Read {len(rows)} vectors of {len(set(speakers))} speakers")
    with blaming(source):
        plda = Plda(options.num_em_iters).fit(table.matrix[rows], speakers)
    for iteration, value in enumerate(plda.objective_):
        log(f"Iteration {iteration} of {options.num_em_iters}: log-likelihood per vector {value:.6g}")
    log(
        "Between-speaker variances where the within-speaker covariance is unit: "
        + " ".join(f"{x:.6g}" for x in plda.psi_)
    )
    plda.write(target, options.binary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
