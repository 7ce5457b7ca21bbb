#!/usr/bin/env python3
"""Finds what is wrong with a data directory before work starts."""

import sys

from plumbum import cli

from spkid.jobs import Program
from spkid.kaldi import DataDir


class ValidateDataDir(Program):
    """Checks a data directory; the first thing that is wrong ends in one sentence and exit status 1."""

    EXAMPLE = "utils/validate_data_dir.py --no-feats data/train"

    no_feats = cli.Flag("--no-feats", help="feats.scp need not be there yet")
    no_wav = cli.Flag("--no-wav", help="wav.scp need not be there, and is not looked at")
    no_text = cli.Flag("--no-text", help="text is not looked at (speaker recognition never demands it)")
    no_spk_sort = cli.Flag("--no-spk-sort", help="utt2spk need not be sorted by speaker too")
    non_print = cli.Flag("--non-print", help="accepted for Kaldi's sake: text may hold anything that is UTF-8")

    def main(self, data_dir: str) -> int:
        data = DataDir(data_dir)
        needs = [] if self.no_feats else ["feats.scp"]
        skip = ["wav.scp"] if self.no_wav else []
        needs += [] if self.no_wav else ["wav.scp"]
        skip += ["text"] if self.no_text else []
        for warning in data.check(needs, speaker_order=not self.no_spk_sort, skip=skip):
            print(f"validate_data_dir: warning: {warning}", file=sys.stderr)
        print(f"validate_data_dir: {data.root} is in order")
        return 0


if __name__ == "__main__":
    ValidateDataDir.run()
