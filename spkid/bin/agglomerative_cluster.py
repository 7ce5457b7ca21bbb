"""agglomerative-cluster: clusters the segments of each recording by their scores, for diarisation."""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import dataclass

import numpy as np

from spkid.backend.clustering import FIRST_PASS_MAX_POINTS, agglomerative_clusters
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import INT, MATRIX, TOKENS, TableWriter, open_table, read_table

USAGE = """Clusters the segments of each recording by the scores of their pairs, agglomeratively: the two clusters of
the highest average score are merged while it is no less than a threshold, or down to a known number of speakers. A
matrix of scores has a row and a column for each segment, in the order of reco2utt. Labels count from 1 in a recording.
Usage: agglomerative-cluster [options] <scores-rspecifier> <reco2utt-rspecifier> <labels-wspecifier>
e.g.: agglomerative-cluster --threshold=0.5 scp:scores.scp ark:reco2utt ark,t:labels
  or: agglomerative-cluster --reco2num-spk-rspecifier=ark:reco2num_spk scp:scores.scp ark:reco2utt ark,t:labels
See also: ivector-plda-scoring-dense"""


@dataclass(frozen=True)
class ClusterOptions:
    """Options of agglomerative-cluster (ivectorbin/agglomerative-cluster.cc)."""

    threshold: float = option(0.0, "Merge clusters whose average score is at least this (with --read-costs: at most)")
    read_costs: bool = option(False, "The matrices hold costs: a smaller value means more alike")
    reco2num_spk_rspecifier: str = option(
        "", "Rspecifier of the number of speakers of each recording; so many clusters are made, whatever the threshold"
    )
    max_spk_fraction: float = option(
        1.0, "No cluster holds more than this share of a recording's segments (only where the number is known)"
    )
    first_pass_max_points: int = option(
        FIRST_PASS_MAX_POINTS, "Cluster longer recordings in two passes, the first over runs of so many segments"
    )


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, reco2utt, target) = parse_command_line(
        USAGE, [ClusterOptions, ReportOptions], argv, (3, 3)
    )
    report = Report(reporting.report)
    with contextlib.ExitStack() as opened:
        utterances_of = opened.enter_context(open_table(reco2utt, TOKENS))
        known = options.reco2num_spk_rspecifier
        numbers = opened.enter_context(open_table(known, INT)) if known else None
        writer = opened.enter_context(TableWriter(target, INT))
        for recording, scores in read_table(source, MATRIX):
            if recording not in utterances_of:
                report.add_failed(recording, f"is not in {reco2utt}")
                continue
            utterances = utterances_of[recording]
            if len(scores) != len(utterances):
                report.add_failed(recording, f"has {len(utterances)} segments and {len(scores)} rows of scores")
                continue
            if numbers is not None and recording not in numbers:
                report.add_failed(recording, f"has no number of speakers in {known}")
                continue
            number = None if numbers is None else numbers[recording]
            try:
                labels = _labels(recording, scores if options.read_costs else -scores, number, options)
            except ValueError as error:
                report.add_failed(recording, error)
                continue
            for utterance, label in zip(utterances, labels.tolist(), strict=True):
                writer.write(utterance, label)
            report.add_done()
    log(f"Clustered {report.done} recordings; {len(report.failed)} had errors.")
    return report.finish()


def _labels(recording: str, costs: np.ndarray, number: int | None, options: ClusterOptions) -> np.ndarray:
    if number is None:
        threshold = options.threshold if options.read_costs else -options.threshold
        return agglomerative_clusters(costs, threshold, first_pass_max_points=options.first_pass_max_points)
    fraction = options.max_spk_fraction
    if not 1 <= fraction * number <= number:
        warn(f"{recording}: {number} clusters cannot each hold at most {fraction:g} of the segments: no limit is set")
        fraction = 1.0
    return agglomerative_clusters(costs, math.inf, number, fraction, options.first_pass_max_points)


if __name__ == "__main__":
    sys.exit(main())
