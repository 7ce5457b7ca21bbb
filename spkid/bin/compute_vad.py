"""compute-vad: decides frame by frame whether there is speech, from the energy (ivectorbin/compute-vad.cc)."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.features.options import VadOptions
from spkid.features.vad import compute_vad
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table

USAGE = """Read features and write, for each utterance, a vector of floats: 1.0 for each frame judged voiced, else 0.0.
A frame is voiced if enough of the frames around it have a log energy (column 0 of the features) above a threshold.
Usage: compute-vad [options] <feats-rspecifier> <vad-wspecifier>
e.g.: compute-vad --vad-energy-threshold=5.5 scp:feats.scp ark,scp:vad.ark,vad.scp"""


@dataclass(frozen=True)
class OmissionOptions:
    """Which utterances are written."""

    omit_unvoiced_utts: bool = option(False, "Do not write utterances that were judged 100% unvoiced")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups = [VadOptions, OmissionOptions, ReportOptions]
    (options, omission, reporting), (source, target) = parse_command_line(USAGE, groups, argv, (2, 2))
    report = Report(reporting.report)
    empty = unvoiced = frames = voiced_frames = 0
    with TableWriter(target, VECTOR) as writer:
        for utterance, features in read_table(source, MATRIX):
            if not len(features):
                empty += 1
                report.add_failed(utterance, "its feature matrix is empty")
                continue
            decisions = compute_vad(features, options)
            voiced = int(decisions.sum())
            frames += len(decisions)
            voiced_frames += voiced
            if not voiced:
                unvoiced += 1
                if omission.omit_unvoiced_utts:
                    report.add_failed(utterance, "no frame was judged voiced")
                    continue
                warn(f"{utterance}: no frame was judged voiced")
            writer.write(utterance, decisions)
            report.add_done()
    done = report.done + len(report.failed) - empty - unvoiced
    log(
        f"Applied energy based voice activity detection; processed {done} utterances successfully; "
        f"{empty} had empty features, and {unvoiced} were completely unvoiced."
    )
    if frames:
        log(f"Proportion of voiced frames was {voiced_frames / frames:g} over {frames} frames.")
    status = report.finish()
    return status if done else 1


if __name__ == "__main__":
    sys.exit(main())
