#!/usr/bin/env python3
"""A copy of a data directory whose recordings have no silence any more (Deep Speaker's preparation)."""

from copy_audio import CopyAudio
from plumbum import cli


class RemoveSilence(CopyAudio):
    """Writes OUT-DIR: the utterances of DATA-DIR as WAV archives without their chunks of 50 ms below --threshold.

    Levels are Deep Speaker's: 20 log10 of the root of the sum of squares of 16-bit samples, over their number.
    Utterances in which nothing is left are dropped and counted. Logs go to LOG-DIR (OUT-DIR/log), archives to
    ARCHIVE-DIR (OUT-DIR/data).
    """

    EXAMPLE = "steps/data/remove_silence.py --nj 8 --threshold 15 data/train data/train_speech exp/remove_silence"

    threshold = cli.SwitchAttr("--threshold", float, default=15.0, help="in dB; Deep Speaker on Kaldi's files: 20")
    min_duration = cli.SwitchAttr(
        "--min-duration",
        float,
        default=0.0,
        help="what is shorter is filled up with zeros to so many seconds (Deep Speaker: 1.61)",
    )

    def main(self, data_dir: str, out_dir: str, log_dir: str = "", archive_dir: str = "") -> int:
        options = {"threshold": self.threshold, "min_duration": self.min_duration}
        tool = ["wav-remove-silence", f"--threshold={self.threshold}", f"--min-duration={self.min_duration}"]
        places = data_dir, out_dir, log_dir, archive_dir
        self.copy("remove_silence", tool, options, places, f"without silence in {out_dir}")
        return 0


if __name__ == "__main__":
    RemoveSilence.run()
