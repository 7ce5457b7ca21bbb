"""ivector-plda-scoring-dense: PLDA scores of all pairs of the segments of each recording, for diarisation."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

import numpy as np

from spkid.backend.dense import dense_plda_scores
from spkid.backend.plda import Plda
from spkid.backend.vectors import first_ids
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, TOKENS, VECTOR, TableWriter, open_table, read_table

USAGE = """Scores all pairs of the segments of each recording with PLDA, after a PCA of the recording's vectors. Every
recording gives one matrix, its rows and columns in the order of the segments in reco2utt.
Usage: ivector-plda-scoring-dense [options] <plda> <reco2utt-rspecifier> <ivectors-rspecifier> <scores-wspecifier>
e.g.: ivector-plda-scoring-dense --target-energy=0.9 exp/plda ark:reco2utt scp:xvector.scp ark,scp:s.ark,s.scp
See also: agglomerative-cluster, ivector-plda-scoring"""


@dataclass(frozen=True)
class DenseOptions:
    """Options of ivector-plda-scoring-dense (ivectorbin/ivector-plda-scoring-dense.cc)."""

    target_energy: float = option(0.5, "Share of the variance of a recording's vectors that its PCA keeps")
    normalize_length: bool = option(
        True, "Scale each vector to the length that the model expects, weighted by the model's variances"
    )
    simple_length_normalization: bool = option(False, "Scale to length sqrt(dimension) instead")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (model, reco2utt, source, target) = parse_command_line(
        USAGE, [DenseOptions, ReportOptions], argv, (4, 4)
    )
    if not 0 <= options.target_energy <= 1:
        raise InputError(f"--target-energy is a share, 0 to 1, and {options.target_energy:g} is not")
    plda = Plda.read(model)
    report = Report(reporting.report)
    with contextlib.ExitStack() as opened:
        vectors = opened.enter_context(open_table(source, VECTOR))
        writer = opened.enter_context(TableWriter(target, MATRIX))
        for recording, segments in read_table(reco2utt, TOKENS):
            missing = [segment for segment in segments if segment not in vectors]
            if missing or not segments:
                reason = f"no vector of {first_ids(missing)}" if missing else "it has no segments"
                report.add_failed(recording, reason)
                continue
            try:
                matrix = np.stack([vectors[segment] for segment in segments])
                scores = dense_plda_scores(
                    matrix,
                    plda,
                    options.target_energy,
                    options.normalize_length,
                    options.simple_length_normalization,
                )
            except ValueError as error:
                report.add_failed(recording, error)
                continue
            writer.write(recording, scores)
            report.add_done()
    log(f"Processed {report.done} recordings, {len(report.failed)} had errors.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
