#!/usr/bin/env python3
"""Makes one data directory of several."""

from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_combine import combine_data_dirs


class CombineData(Program):
    """Writes the utterances of all source directories as one; files that only some of them have are left out."""

    EXAMPLE = "utils/combine_data.py data/train_combined data/train data/train_noisy"

    def main(self, new_dir: str, *source_dirs: str) -> int:
        if not source_dirs:
            raise InputError("no source directory is given (--help shows the usage)")
        target, said = combine_data_dirs(new_dir, [DataDir(source) for source in source_dirs])
        for sentence in said:
            print(f"combine_data: {sentence}")
        print(f"combine_data: {len(target.table('utt2spk').keys)} utterances in {target.root}")
        return 0


if __name__ == "__main__":
    CombineData.run()
