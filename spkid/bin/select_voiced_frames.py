"""select-voiced-frames: keeps the frames that compute-vad judged voiced (ivectorbin/select-voiced-frames.cc)."""

from __future__ import annotations

import sys

from spkid.features.vad import select_voiced
from spkid.kaldi import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, open_table, read_table

USAGE = """Select the frames of each utterance that compute-vad, or a program like it, judged voiced (1.0, else 0.0).
Usage: select-voiced-frames [options] <feats-rspecifier> <vad-rspecifier> <feats-wspecifier>
e.g.: select-voiced-frames scp:feats.scp scp,s,cs:vad.scp ark:-"""


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (reporting,), (source, decisions, target) = parse_command_line(USAGE, [ReportOptions], argv, (3, 3))
    report = Report(reporting.report)
    with open_table(decisions, VECTOR) as vad, TableWriter(target, MATRIX) as writer:
        for utterance, features in read_table(source, MATRIX):
            if not len(features):
                report.add_failed(utterance, "its feature matrix is empty")
                continue
            if utterance not in vad:
                report.add_failed(utterance, f"no decisions on voicing for it in {decisions}")
                continue
            try:
                voiced = select_voiced(features, vad[utterance])
            except InputError as error:
                report.add_failed(utterance, error)
                continue
            if not len(voiced):
                report.add_failed(utterance, "no frame was judged voiced")
                continue
            writer.write(utterance, voiced)
            report.add_done()
    log(f"Done selecting voiced frames; processed {report.done} utterances, {len(report.failed)} had errors.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
