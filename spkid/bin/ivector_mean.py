"""ivector-mean: the mean of all vectors, or of each speaker's."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

import numpy as np

from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.matrix import save_vector
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import INT, TOKENS, VECTOR, TableWriter, open_table, read_table

USAGE = """Averages vectors: with two arguments all of them, into one file; with three or four those of each speaker,
into a table by speaker, and counts them (PLDA scoring wants to know how many there were: see its --num-utts).
Usage: ivector-mean [options] <ivector-rspecifier> <mean-wxfilename>
or:    ivector-mean [options] <spk2utt-rspecifier> <ivector-rspecifier> <ivector-wspecifier> [<num-utt-wspecifier>]
e.g.: ivector-mean scp:exp/xvectors_train/xvector.scp exp/xvectors_train/mean.vec
  or: ivector-mean ark:data/enroll/spk2utt scp:exp/xvector.scp ark:exp/spk_xvector.ark ark,t:exp/num_utts.ark
See also: ivector-subtract-global-mean"""


@dataclass(frozen=True)
class MeanOptions:
    """Options of ivector-mean (ivectorbin/ivector-mean.cc)."""

    binary: bool = option(False, "Write the mean of all vectors as binary, not text (tables: ark or ark,t)")


def add_up(total: np.ndarray | None, key: str, vector: np.ndarray) -> np.ndarray:
    """The running sum, float64; refuses vectors that are not finite or not of the same size."""
    if not np.isfinite(vector).all():
        raise InputError(f"the vector of {key} is not finite")
    if total is None:
        return vector.astype(np.float64)
    if total.shape != vector.shape:
        raise InputError(f"the vector of {key} has {vector.size} dimensions, those before it have {total.size}")
    return total + vector


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), names = parse_command_line(USAGE, [MeanOptions, ReportOptions], argv, (2, 4))
    report = Report(reporting.report)
    if len(names) == 2:
        total = None
        for key, vector in read_table(names[0], VECTOR):
            total = add_up(total, key, vector)
            report.add_done()
        if total is None:
            raise InputError(f"{names[0]}: no vector to take the mean of")
        save_vector(names[1], (total / report.done).astype(np.float32), options.binary)
        log(f"Computed the mean of {report.done} vectors")
        return report.finish()

    missing = 0
    with contextlib.ExitStack() as opened:
        vectors = opened.enter_context(open_table(names[1], VECTOR))
        writer = opened.enter_context(TableWriter(names[2], VECTOR))
        counts = opened.enter_context(TableWriter(names[3], INT)) if len(names) == 4 else None
        for speaker, utterances in read_table(names[0], TOKENS):
            total, count = None, 0
            for utterance in utterances:
                if utterance not in vectors:
                    warn(f"no vector for the utterance {utterance}")
                    missing += 1
                    continue
                total = add_up(total, utterance, vectors[utterance])
                count += 1
            if total is None:
                report.add_failed(speaker, "none of its utterances has a vector")
                continue
            writer.write(speaker, (total / count).astype(np.float32))
            if counts is not None:
                counts.write(speaker, count)
            report.add_done()
    log(f"Computed the means of {report.done} speakers, failed for {len(report.failed)}; {missing} utterances missing")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
