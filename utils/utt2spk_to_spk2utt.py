#!/usr/bin/env python3
"""Turns utt2spk into spk2utt."""

import sys

from spkid.jobs import Program
from spkid.kaldi.id_table import check_order, group_by_value, read_id_table


class Utt2spkToSpk2utt(Program):
    """Reads utt2spk (a file or standard input) and prints spk2utt, sorted by bytes."""

    EXAMPLE = "utils/utt2spk_to_spk2utt.py data/train/utt2spk > data/train/spk2utt"

    def main(self, utt2spk: str = "-") -> int:
        table = read_id_table(utt2spk).sorted()
        check_order(table.keys, utt2spk)
        grouped = group_by_value(table)
        sys.stdout.buffer.writelines(map(b"%b %b\n".__mod__, zip(grouped.keys, grouped.values, strict=True)))
        return 0


if __name__ == "__main__":
    Utt2spkToSpk2utt.run()
