"""apply-cmvn: normalises features by statistics gathered beforehand (featbin/apply-cmvn.cc)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spkid.bin._memory import keep_freed_memory
from spkid.features.cmvn_statistics import CMVN_STATISTICS, apply_cmvn
from spkid.kaldi.errors import InputError
from spkid.kaldi.logging import log, run_tool
from spkid.kaldi.options import ReportOptions, option, parse_command_line
from spkid.kaldi.report import Report
from spkid.kaldi.tables import MATRIX, TOKEN, TableWriter, is_table, open_table, read_table

USAGE = """Applies cepstral mean (and optionally variance) normalisation: each utterance by its own statistics, with
--utt2spk by its speaker's, and with a file instead of a table all of them by the same.
Usage: apply-cmvn [options] (<stats-rspecifier>|<stats-rxfilename>) <feats-rspecifier> <feats-wspecifier>
e.g.: apply-cmvn --norm-vars=true --utt2spk=ark:data/train/utt2spk scp:cmvn.scp scp:feats.scp ark:-
See also: compute-cmvn-stats, apply-cmvn-sliding"""


@dataclass(frozen=True)
class CmvnOptions:
    """Options of apply-cmvn."""

    utt2spk: str = option("", "Rspecifier of each utterance's speaker, for statistics of speakers")
    norm_vars: bool = option(False, "Normalise variances as well")
    norm_means: bool = option(True, "Normalise means; false copies the features as they are")
    reverse: bool = option(False, "Give features of mean zero and variance one the mean and variance of the statistics")
    skip_dims: str = option("", "Dimensions to leave as they are: whole numbers between colons, such as 13:14:15")


@run_tool
def main(argv: list[str] | None = None) -> int:
    """Runs the tool; returns its exit status."""
    (options, reporting), (statistics_source, source, target) = parse_command_line(
        USAGE, [CmvnOptions, ReportOptions], argv, (3, 3)
    )
    if options.norm_vars and not options.norm_means:
        raise InputError("--norm-vars=true needs --norm-means=true: the variance is around the mean")
    skip_dims = _dims(options.skip_dims)
    keep_freed_memory()
    report = Report(reporting.report)
    with contextlib.ExitStack() as opened:
        statistics_of = _statistics(statistics_source, options.utt2spk, opened)
        writer = opened.enter_context(TableWriter(target, MATRIX))
        for utterance, features in read_table(source, MATRIX):
            if options.norm_means:
                try:
                    statistics = statistics_of(utterance)
                    features = apply_cmvn(features, statistics, options.norm_vars, options.reverse, skip_dims)
                except (KeyError, ValueError) as error:
                    report.add_failed(utterance, error.args[0])
                    continue
            writer.write(utterance, features)
            report.add_done()
    log(
        f"Applied cepstral mean {'and variance ' if options.norm_vars else ''}normalization to {report.done} "
        f"utterances, errors on {len(report.failed)}"
    )
    return report.finish()


def _dims(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(":")] if text else []
    except ValueError:
        raise InputError(f"--skip-dims takes whole numbers between colons, such as 13:14:15, not {text!r}") from None


def _statistics(source: str, utt2spk: str, opened: contextlib.ExitStack) -> Callable[[str], np.ndarray]:
    """What finds the statistics of an utterance; it raises KeyError where there are none."""
    if not is_table(source):
        if utt2spk:
            raise InputError(f"--utt2spk needs a table of statistics, and {source} is a file: did you forget ark:?")
        statistics = CMVN_STATISTICS.load(source)
        return lambda utterance: statistics
    table = opened.enter_context(open_table(source, CMVN_STATISTICS))
    speaker_of = opened.enter_context(open_table(utt2spk, TOKEN)) if utt2spk else None

    def statistics_of(utterance: str) -> np.ndarray:
        if speaker_of is not None and utterance not in speaker_of:
            raise KeyError(f"has no speaker in {utt2spk}")
        key = utterance if speaker_of is None else speaker_of[utterance]
        if key not in table:
            raise KeyError(f"{source} holds no statistics of {key}")
        return table[key]

    return statistics_of


if __name__ == "__main__":
    sys.exit(main())
