"""xvector-compute: embeddings of utterances by a trained network."""

from __future__ import annotations

from dataclasses import dataclass

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import open_input
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import VECTOR, TableWriter

USAGE = """Compute embeddings (x-vectors) of the utterances of a data directory, batch by batch
Usage: xvector-compute [options] <exp-dir> <data-dir> <batch-list> <vector-wspecifier>
e.g.: xvector-compute --chunk-size=10000 exp/xvector data/test batches.1 ark,scp:xvector.1.ark,xvector.1.scp
Each line of the batch list holds the ids of utterances of one length, which are computed together; the results depend
on the batches, so that steps/extract_xvectors.py cuts them before it divides them among its jobs."""


@dataclass(frozen=True)
class ExtractionOptions:
    """Options of nnet3-xvector-compute that apply."""

    chunk_size: int = option(10000, "Utterances of more frames are cut into chunks of this size, and averaged")
    min_chunk_size: int = option(25, "The least number of frames that the network is given")
    pad_input: bool = option(
        True, "If true, repeat the first and last frame of shorter chunks; if false, fail or leave them out"
    )
    num_threads: int = option(1, "Threads of the matrix products; the last digits depend on it")
    use_gpu: bool = option(False, "Compute on the GPU")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups, (exp_dir, data_dir, batch_list, target) = parse_command_line(
        USAGE, [ExtractionOptions, ReportOptions], argv, (4, 4)
    )
    options, reporting = groups
    from spkid.train.extraction import ExtractionSettings, Extractor  # torch: not for --help

    settings = ExtractionSettings(
        options.chunk_size, options.min_chunk_size, options.pad_input, options.num_threads, options.use_gpu
    )
    with open_input(batch_list) as stream:
        batches = [line.decode("utf-8").split() for line in stream]
    report = Report(reporting.report)
    extractor = Extractor(exp_dir, data_dir, [utterance for batch in batches for utterance in batch], settings)
    with TableWriter(target, VECTOR) as writer:
        for batch in batches:
            for utterance, vector in extractor.embed(batch):
                if isinstance(vector, InputError):
                    report.add_failed(utterance, vector)
                else:
                    writer.write(utterance, vector)
                    report.add_done()
    log(f"Computed {report.done} embeddings, failed for {len(report.failed)}")
    return report.finish()
