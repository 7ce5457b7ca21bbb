#!/usr/bin/env python3
"""Repairs what can be repaired in a data directory."""

from spkid.jobs import Program
from spkid.kaldi import DataDir


class FixDataDir(Program):
    """Sorts by bytes, drops repeated and unusable lines and the utterances that some file lacks, makes spk2utt again.

    Every file that changes is first copied to <data-dir>/.backup.
    """

    EXAMPLE = "utils/fix_data_dir.py data/train"

    def main(self, data_dir: str) -> int:
        data = DataDir(data_dir)
        done = data.fix()
        for sentence in done:
            print(f"fix_data_dir: {sentence}")
        state = "files as they were are in .backup" if done else "there was nothing to repair"
        with open(data.path("utt2spk"), "rb") as lines:
            print(f"fix_data_dir: {data.root} has {sum(1 for _ in lines)} utterances; {state}")
        return 0


if __name__ == "__main__":
    FixDataDir.run()
