#!/usr/bin/env python3
"""Copies a data directory, under other ids where asked."""

from plumbum import cli

from spkid.jobs import Program
from spkid.kaldi import DataDir
from spkid.kaldi.data_combine import copy_data_dir


class CopyDataDir(Program):
    """Copies the known files of a data directory; utterances and speakers take the prefixes and suffixes given."""

    EXAMPLE = "utils/copy_data_dir.py --utt-suffix=-noise data/train data/train_noise"

    utterance_prefix = cli.SwitchAttr("--utt-prefix", str, default="", help="before every utterance id")
    utterance_suffix = cli.SwitchAttr("--utt-suffix", str, default="", help="after every utterance id")
    speaker_prefix = cli.SwitchAttr("--spk-prefix", str, default="", help="before every speaker id")
    speaker_suffix = cli.SwitchAttr("--spk-suffix", str, default="", help="after every speaker id")

    def main(self, data_dir: str, new_dir: str) -> int:
        utterance = (self.utterance_prefix.encode(), self.utterance_suffix.encode())
        speaker = (self.speaker_prefix.encode(), self.speaker_suffix.encode())
        copy_data_dir(
            DataDir(data_dir),
            new_dir,
            rename_utterance=lambda key: key.join(utterance),
            rename_speaker=lambda key: key.join(speaker),
        )
        return 0


if __name__ == "__main__":
    CopyDataDir.run()
