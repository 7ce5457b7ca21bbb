"""apply-cmvn-sliding: normalises features by the statistics of a moving window (featbin/apply-cmvn-sliding.cc)."""

from __future__ import annotations

import sys

from spkid.bin._memory import keep_freed_memory
from spkid.features.cmvn import apply_cmvn_sliding
from spkid.features.options import CmvnOptions
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, TableWriter, read_table

USAGE = """Apply cepstral mean (and optionally variance) normalisation over a sliding window to each utterance.
With --center=true the window is centred on the frame that is normalised, otherwise it precedes it.
Usage: apply-cmvn-sliding [options] <feats-rspecifier> <feats-wspecifier>
e.g.: apply-cmvn-sliding --norm-vars=false --center=true --cmn-window=300 scp:feats.scp ark:normalised.ark"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (source, target) = parse_command_line(USAGE, [CmvnOptions, ReportOptions], argv, (2, 2))
    keep_freed_memory()
    report = Report(reporting.report)
    with TableWriter(target, MATRIX) as writer:
        for utterance, features in read_table(source, MATRIX):
            if not len(features):
                report.add_failed(utterance, "its feature matrix is empty")
                continue
            writer.write(utterance, apply_cmvn_sliding(features, options))
            report.add_done()
    log(
        f"Applied sliding-window cepstral mean {'and variance ' if options.norm_vars else ''}normalization to "
        f"{report.done} utterances, {len(report.failed)} had errors."
    )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
