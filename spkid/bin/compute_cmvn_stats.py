"""compute-cmvn-stats: statistics for mean and variance normalisation (featbin/compute-cmvn-stats.cc)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spkid.features.cmvn_statistics import CMVN_STATISTICS, cmvn_statistics
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, TOKENS, VECTOR, TableWriter, is_table, open_table, read_table

USAGE = """Gathers statistics for cepstral mean and variance normalisation: of each utterance, with --spk2utt of each
speaker, and for a file instead of a table of everything together.
Usage: compute-cmvn-stats [options] <feats-rspecifier> (<stats-wspecifier>|<stats-wxfilename>)
e.g.: compute-cmvn-stats --spk2utt=ark:data/train/spk2utt scp:data/train/feats.scp ark,scp:cmvn.ark,cmvn.scp
  or: compute-cmvn-stats scp:data/train/feats.scp exp/global_cmvn.mat
See also: apply-cmvn, apply-cmvn-sliding"""


@dataclass(frozen=True)
class StatisticsOptions:
    """Options of compute-cmvn-stats."""

    spk2utt: str = option("", "Rspecifier of each speaker's utterances, for statistics of speakers")
    weights: str = option("", "Rspecifier of vectors: how much each frame of an utterance counts (such as a VAD's)")
    binary: bool = option(True, "Write the statistics of everything as binary, not text (tables: ark or ark,t)")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(
        USAGE, [StatisticsOptions, ReportOptions], argv, (2, 2)
    )
    report = Report(reporting.report)
    with contextlib.ExitStack() as opened:
        weights = opened.enter_context(open_table(options.weights, VECTOR)) if options.weights else None

        def statistics_of(utterance: str, features: np.ndarray) -> np.ndarray | None:
            if weights is not None and utterance not in weights:
                report.add_failed(utterance, f"has no weights in {options.weights}")
                return None
            try:
                statistics = cmvn_statistics(features, weights[utterance] if weights is not None else None)
            except ValueError as error:
                report.add_failed(utterance, error)
                return None
            report.add_done()
            return statistics

        if not is_table(target):
            if options.spk2utt:
                raise InputError(f"--spk2utt makes a table of statistics, and {target} is a file: write ark:{target}")
            total = _sum(statistics_of(*pair) for pair in read_table(source, MATRIX))
            if total is None:
                raise InputError(f"{source}: no features to gather statistics of")
            save_matrix(target, total.astype(np.float32), options.binary)
        else:
            writer = opened.enter_context(TableWriter(target, CMVN_STATISTICS))
            if options.spk2utt:
                table = opened.enter_context(open_table(source, MATRIX))
                for speaker, utterances in read_table(options.spk2utt, TOKENS):
                    total = _sum(statistics_of(*pair) for pair in _found(utterances, table, source, report))
                    if total is not None:
                        writer.write(speaker, total)
            else:
                for utterance, features in read_table(source, MATRIX):
                    statistics = statistics_of(utterance, features)
                    if statistics is not None:
                        writer.write(utterance, statistics)
    log(f"Gathered statistics of {report.done} utterances; {len(report.failed)} had errors.")
    return report.finish()


def _found(utterances: list[str], table, source: str, report: Report) -> Iterator[tuple[str, np.ndarray]]:
    """The features of the utterances that have any."""
    for utterance in utterances:
        if utterance in table:
            yield utterance, table[utterance]
        else:
            report.add_failed(utterance, f"has no features in {source}")


def _sum(statistics: Iterator[np.ndarray | None]) -> np.ndarray | None:
    total = None
    for one in statistics:
        if one is None:
            continue
        if total is not None and total.shape != one.shape:
            raise InputError(
                f"the utterances have features of {total.shape[1] - 1} as well as of {one.shape[1] - 1} dimensions"
            )
        total = one if total is None else total + one
    return total


if __name__ == "__main__":
    sys.exit(main())
