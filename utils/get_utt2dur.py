#!/usr/bin/env python3
"""Writes utt2dur: the duration of each utterance in seconds."""

import sys

from plumbum import cli

from spkid.audio.durations import utterance_durations
from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.tables import write_id_map


class GetUtt2dur(Program):
    """Writes <data-dir>/utt2dur from the headers of the audio files, and reco2dur where there are segments.

    Without wav.scp the durations are those of utt2num_frames.
    """

    EXAMPLE = "utils/get_utt2dur.py --nj 4 data/train"

    jobs = cli.SwitchAttr("--nj", cli.Range(1, 1000), default=4, help="recordings that are opened at a time")
    frame_shift = cli.SwitchAttr("--frame-shift", float, default=0.01, help="seconds, for durations from frames")

    def main(self, data_dir: str) -> int:
        data = DataDir(data_dir)
        durations = utterance_durations(data, jobs=self.jobs, frame_shift=self.frame_shift)
        for name, reason in durations.failed.items():
            print(f"get_utt2dur: {name}: {reason}", file=sys.stderr)
        if durations.failed:
            raise InputError(
                f"{data.root}: {len(durations.failed)} recordings or segments cannot be read (named above): "
                "restore them, or remove their lines from wav.scp and run utils/fix_data_dir.py"
            )
        if durations.recordings:
            write_id_map(data.path("reco2dur"), _as_text(durations.recordings))
        write_id_map(data.path("utt2dur"), _as_text(durations.utterances))
        total = sum(durations.utterances.values())
        print(f"get_utt2dur: {len(durations.utterances)} utterances, {total / 3600:.2f} hours in {data.root}")
        return 0


def _as_text(durations: dict[str, float]) -> dict[str, str]:
    return {key: f"{seconds:.7g}" for key, seconds in durations.items()}


if __name__ == "__main__":
    GetUtt2dur.run()
