#!/usr/bin/env python3
"""Keeps the lines of a file whose id is in a list."""

import sys

from plumbum import cli

from spkid.jobs import Program
from spkid.kaldi import InputError
from spkid.kaldi.id_table import read_ids
from spkid.kaldi.io import open_input


class FilterScp(Program):
    """Prints the lines of a file (or of standard input) whose id is the first field of a line of the list."""

    EXAMPLE = "utils/filter_scp.py data/dev/utt2spk data/all/feats.scp > data/dev/feats.scp"

    exclude = cli.Flag("--exclude", help="print the other lines instead")
    field = cli.SwitchAttr("-f", cli.Range(1, 1000), default=1, help="which field of the line is the id, from 1")

    def main(self, id_list: str, scp: str = "-") -> int:
        wanted = set(read_ids(id_list))
        position = self.field - 1
        with open_input(scp) as stream:
            for number, line in enumerate(stream, 1):
                fields = line.split(None, self.field)
                if len(fields) <= position:
                    raise InputError(f"{scp}: line {number} has no field {self.field}")
                if (fields[position] in wanted) != self.exclude:
                    sys.stdout.buffer.write(line)
        return 0


if __name__ == "__main__":
    FilterScp.run()
