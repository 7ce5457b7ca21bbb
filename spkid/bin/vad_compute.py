"""vad-compute: decides frame by frame by a trained network where there is speech."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from spkid.kaldi import InputError
from spkid.kaldi.io import open_input
from spkid.kaldi.logging import log, run_tool, warn
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import VECTOR, TableWriter

USAGE = """Decide by a trained network where the utterances of a data directory have speech
Usage: vad-compute [options] <exp-dir> <data-dir> <utterance-list> <vad-wspecifier>
e.g.: vad-compute exp/lstm data/train utterances.1 ark,scp:vad.1.ark,vad.1.scp
The first word of each line of the list is an utterance. Features are those of the data directory where the network was
trained on such, else they are computed from its audio; decisions belong to the directory's frames in both cases."""


@dataclass(frozen=True)
class DecisionOptions:
    """How probabilities become decisions."""

    threshold: float = option(0.5, "Frames whose probability of speech is greater are speech")
    smoothing: int = option(0, "Frames on each side over which probabilities are averaged before")

    def __post_init__(self) -> None:
        if self.smoothing < 0:
            raise InputError(f"--smoothing is a number of frames from 0 on, not {self.smoothing}")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    groups, (exp_dir, data_dir, utterance_list, target) = parse_command_line(
        USAGE, [DecisionOptions, ReportOptions], argv, (4, 4)
    )
    options, reporting = groups
    import torch  # takes seconds to start: not for --help

    from spkid.train.speech_detection import SpeechDetector

    torch.set_num_threads(1)  # sums depend on it
    with open_input(utterance_list) as stream:
        utterances = [line.decode("utf-8").split()[0] for line in stream]
    report = Report(reporting.report)
    frames = speech = 0
    detector = SpeechDetector(exp_dir, options.threshold, options.smoothing)
    with TableWriter(target, VECTOR) as writer:
        for utterance, decisions in detector.decisions(data_dir, utterances):
            if isinstance(decisions, InputError):
                report.add_failed(utterance, decisions)
                continue
            if not decisions.any():
                warn(f"{utterance}: no frame was judged speech")
            frames, speech = frames + len(decisions), speech + int(decisions.sum())
            writer.write(utterance, decisions)
            report.add_done()
    log(f"Decided about {report.done} utterances, failed for {len(report.failed)}")
    if frames:
        log(f"Proportion of speech was {speech / frames:g} over {frames} frames.")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
