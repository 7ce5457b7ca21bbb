#!/usr/bin/env python3
"""Splits a data directory for parallel jobs, by duration."""

from plumbum import cli

from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError


class SplitData(Program):
    """Writes <data-dir>/split<n>/1 ... of about equal duration (with --per-utt: split<n>utt), each a data directory.

    The parts are consecutive, keep speakers whole unless --per-utt is given, and depend on the directory alone.
    """

    EXAMPLE = "utils/split_data.py --per-utt data/train 8"

    per_utt = cli.Flag("--per-utt", help="split between any two utterances, not only between speakers")

    def main(self, data_dir: str, number: str) -> int:
        if not number.isdigit():
            raise InputError(f"{number}: is not a number of parts")
        DataDir(data_dir).split(int(number), per_utterance=self.per_utt)
        return 0


if __name__ == "__main__":
    SplitData.run()
