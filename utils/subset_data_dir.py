#!/usr/bin/env python3
"""Makes a data directory of some of another's utterances."""

from plumbum import cli

from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_subset import choose_utterances, utterances_of_speakers, write_parts
from spkid.kaldi.id_table import read_ids, show


class SubsetDataDir(Program):
    """Chooses utterances at random (or as an option says) and writes them as a data directory.

    Usage: subset_data_dir.py [options] <data-dir> <number> <new-dir>, or with a list <data-dir> <new-dir>.
    """

    EXAMPLE = "utils/subset_data_dir.py --per-spk data/train 10 data/train_10each"

    first = cli.Flag("--first", help="the first utterances", group="Ways")
    last = cli.Flag("--last", help="the last utterances", group="Ways")
    shortest = cli.Flag("--shortest", help="the shortest utterances", group="Ways")
    speakers = cli.Flag("--speakers", help="whole speakers at random, until there are so many utterances", group="Ways")
    per_speaker = cli.Flag("--per-spk", help="so many utterances of each speaker, at random", group="Ways")
    utterance_list = cli.SwitchAttr("--utt-list", str, argname="FILE", help="these utterances", group="Ways")
    speaker_list = cli.SwitchAttr("--spk-list", str, argname="FILE", help="these speakers' utterances", group="Ways")
    seed = cli.SwitchAttr("--seed", int, default=0, help="of the random choice")

    def main(self, data_dir: str, *arguments: str) -> int:
        data = DataDir(data_dir)
        listed = bool(self.utterance_list) + bool(self.speaker_list)
        flags = {
            "first": self.first,
            "last": self.last,
            "shortest": self.shortest,
            "speakers": self.speakers,
            "per-speaker": self.per_speaker,
        }
        ways = [way for way, given in flags.items() if given]
        if listed + len(ways) > 1:
            raise InputError("only one way of choosing can be given (--help lists them)")
        if len(arguments) != (1 if listed else 2):
            expected = "<data-dir> <new-dir>" if listed else "<data-dir> <number> <new-dir>"
            raise InputError(f"expected {expected} (--help shows the usage)")
        if self.utterance_list:
            chosen = read_ids(self.utterance_list)
            known = data.table("utt2spk")
            absent = set(chosen).difference(known.keys)
            if absent:
                print(f"subset_data_dir: {data.root} lacks {len(absent)} of the list, the first is {show(min(absent))}")
        elif self.speaker_list:
            chosen = utterances_of_speakers(data, set(read_ids(self.speaker_list)))
        else:
            if not arguments[0].isdigit():
                raise InputError(f"{arguments[0]}: is not a number of utterances")
            chosen = choose_utterances(data, int(arguments[0]), ways[0] if ways else "random", self.seed)
        (subset,) = write_parts(data, dict.fromkeys(chosen, 0), [arguments[-1]])
        print(f"subset_data_dir: {len(subset.table('utt2spk').keys)} utterances of {data.root} in {subset.root}")
        return 0


if __name__ == "__main__":
    SubsetDataDir.run()
