#!/usr/bin/env python3
"""A copy of a data directory with faster or slower, and so higher or deeper, voices: new speakers to train on."""

from pathlib import Path

from copy_audio import CopyAudio

from spkid.bin.wav_perturb_speed import FASTEST, SLOWEST
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_combine import copy_data_dir


class PerturbDataDirSpeed(CopyAudio):
    """Plays every utterance of DATA-DIR FACTOR times as fast and writes the copies as OUT-DIR.

    Time and pitch change together (the samples are resampled and keep their nominal rate), which moves formants as a
    vocal tract of another length does: a copy is another voice, so `sp0.9-` goes in front of the names of utterances
    and speakers. Yamamoto et al., "Speaker augmentation and bandwidth extension for deep speaker embedding",
    Interspeech 2019. Logs go to LOG-DIR (OUT-DIR/log), archives to ARCHIVE-DIR (OUT-DIR/data).
    """

    EXAMPLE = "steps/data/perturb_data_dir_speed.py --nj 8 0.9 data/train data/train_sp0.9"

    def main(self, factor: str, data_dir: str, out_dir: str, log_dir: str = "", archive_dir: str = "") -> int:
        speed, self._prefix = _factor(factor), f"sp{factor}-".encode()
        tool = ["wav-perturb-speed", f"--factor={speed}"]
        places = data_dir, out_dir, log_dir, archive_dir
        what = f"of {data_dir} at {factor} times their speed"
        self.copy("perturb_data_dir_speed", tool, {"factor": speed}, places, what)
        return 0

    def renamed(self, data: DataDir, place: Path) -> DataDir:
        return copy_data_dir(data, place, rename_utterance=self._rename, rename_speaker=self._rename)

    def _rename(self, name: bytes) -> bytes:
        return self._prefix + name


def _factor(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not SLOWEST <= speed <= FASTEST or speed == 1.0:
        raise InputError(f"{text} is no factor: a number from {SLOWEST} to {FASTEST} other than 1 is needed")
    return speed


if __name__ == "__main__":
    PerturbDataDirSpeed.run()
