#!/usr/bin/env python3
"""Turns spk2utt into utt2spk."""

import sys

from spkid.jobs import Program
from spkid.kaldi.id_table import check_order, read_id_table, ungroup


class Spk2uttToUtt2spk(Program):
    """Reads spk2utt (a file or standard input) and prints utt2spk, sorted by bytes."""

    EXAMPLE = "utils/spk2utt_to_utt2spk.py data/train/spk2utt > data/train/utt2spk"

    def main(self, spk2utt: str = "-") -> int:
        table = ungroup(read_id_table(spk2utt)).sorted()
        check_order(table.keys, spk2utt)
        sys.stdout.buffer.writelines(map(b"%b %b\n".__mod__, zip(table.keys, table.values, strict=True)))
        return 0


if __name__ == "__main__":
    Spk2uttToUtt2spk.run()
