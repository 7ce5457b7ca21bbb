"""xvector-compute: embeddings of utterances by a trained network."""

from __future__ import annotations

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_input
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter
from spkid.train.extraction_options import ExtractionOptions

USAGE = """Compute embeddings (x-vectors) of the utterances of a data directory, batch by batch
Usage: xvector-compute [options] <exp-dir> <data-dir> <batch-list> <vector-wspecifier>
e.g.: xvector-compute --chunk-size=10000 exp/xvector data/test batches.1 ark,scp:xvector.1.ark,xvector.1.scp
Each line of the batch list holds the ids of utterances of nearly one length, which are computed together; the last
digits depend on the batches, so that steps/extract_xvectors.py cuts them before it divides them among its jobs. With
--crops the table holds matrices, a row a crop. A data directory without feats.scp is read as audio."""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups, (exp_dir, data_dir, batch_list, target) = parse_command_line(
        USAGE, [ExtractionOptions, ReportOptions], argv, (4, 4)
    )
    options, reporting = groups
    from spkid.train.extraction import Extractor  # torch: not for --help

    with open_input(batch_list) as stream:
        batches = [line.decode("utf-8").split() for line in stream]
    report = Report(reporting.report)
    extractor = Extractor(exp_dir, data_dir, [utterance for batch in batches for utterance in batch], options)
    with TableWriter(target, MATRIX if options.crops else VECTOR) as writer:
        for utterance, vector in extractor.embed(batches):
            if isinstance(vector, InputError):
                report.add_failed(utterance, vector)
            else:
                writer.write(utterance, vector)
                report.add_done()
    log(f"Computed {report.done} embeddings, failed for {len(report.failed)}")
    return report.finish()
