#!/usr/bin/env python3
"""Writes a list of trials from data directories."""

import sys

from plumbum import cli

from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.trials import Pair, all_pairs, balanced_pairs, write_trials
from spkid.metrics.identification import one_versus_many


class MakeTrials(Program):
    """Writes `enrolment test target|nontarget` lines: all pairs, or a choice of them at random.

    Usage: make_trials.py [options] <data-dir> <trials>, or <enrolment-dir> <test-dir> <trials>.
    """

    EXAMPLE = "utils/make_trials.py --balanced data/test data/test/trials_balanced"

    balanced = cli.Flag("--balanced", help="as many target as nontarget trials")
    targets = cli.SwitchAttr("--targets", cli.Range(1, 10**9), help="with --balanced: so many of each kind")
    negatives = cli.SwitchAttr(
        "--negatives",
        cli.Range(1, 10**6),
        help="for each speaker, one utterance against another of the speaker and so many of others (Deep Speaker: 99)",
    )
    rounds = cli.SwitchAttr("--rounds", cli.Range(1, 10**6), default=1, help="with --negatives: so often for a speaker")
    seed = cli.SwitchAttr("--seed", int, default=0, help="of the random choice")
    models = cli.Flag("--models", help="enrol speakers, not utterances: the first id is a speaker of the enrolment-dir")

    def main(self, data_dir: str, *arguments: str) -> int:
        if len(arguments) not in (1, 2):
            raise InputError("expected <data-dir> [<test-dir>] <trials> (--help shows the usage)")
        if self.models and len(arguments) == 1:
            raise InputError("--models needs an enrolment-dir and a test-dir (--help shows the usage)")
        if self.targets and not self.balanced:
            raise InputError("--targets says how many trials --balanced chooses: give both")
        if self.negatives and (self.balanced or len(arguments) == 2):
            raise InputError("--negatives draws from one data directory, and without --balanced")
        directories = [DataDir(name) for name in (data_dir, *arguments[:-1])]
        if self.negatives:
            pairs = _rounds(directories[0], self.negatives, self.rounds, self.seed)
        elif self.balanced:
            pairs = balanced_pairs(*directories, models=self.models, targets=self.targets or 0, seed=self.seed)
        else:
            pairs = all_pairs(*directories, models=self.models)
        targets, nontargets = write_trials(arguments[-1], pairs)
        for count, kind in ((targets, "target"), (nontargets, "nontarget")):
            if not count:
                print(f"make_trials: warning: no {kind} trials: error rates need both kinds", file=sys.stderr)
        print(f"make_trials: {targets} target and {nontargets} nontarget trials in {arguments[-1]}")
        return 0


def _rounds(data: DataDir, negatives: int, rounds: int, seed: int) -> list[Pair]:
    """An anchor, its positive and its negatives, speaker by speaker."""
    utterances = data.utterances
    try:
        anchors, others, is_target = one_versus_many(list(data.utt2spk.values()), negatives, rounds, seed)
    except ValueError as error:
        raise InputError(f"{data.path('utt2spk')}: {error}") from None
    rows = zip(anchors.ravel(), others.ravel(), is_target.ravel().tolist(), strict=True)
    return [(utterances[anchor], utterances[other], target) for anchor, other, target in rows]


if __name__ == "__main__":
    MakeTrials.run()
