#!/usr/bin/env python3
"""Writes utt2num_frames: the number of frames of each utterance."""

from spkid.jobs import Program
from spkid.kaldi import DataDir
from spkid.kaldi.tables import SHAPE, read_table, write_id_map


class GetUtt2numFrames(Program):
    """Writes <data-dir>/utt2num_frames from the headers that feats.scp points to."""

    EXAMPLE = "utils/get_utt2num_frames.py data/train"

    def main(self, data_dir: str) -> int:
        data = DataDir(data_dir)
        data.require("feats.scp")
        frames = {key: shape[0] for key, shape in read_table(f"scp:{data.path('feats.scp')}", SHAPE)}
        write_id_map(data.path("utt2num_frames"), frames)
        print(f"get_utt2num_frames: {len(frames)} utterances, {sum(frames.values())} frames in {data.root}")
        return 0


if __name__ == "__main__":
    GetUtt2numFrames.run()
