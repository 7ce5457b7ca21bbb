#!/usr/bin/env python3
"""Recordings of one's own for egs/mydata: collects them, splits them, chooses a system, and says how to use it.

speech/ann/anything/1.wav            a folder a speaker (local/directory.py)
speech.csv, speech.tsv               named columns: path and speaker; perhaps start, end, gender, ...
data/mine                            a data directory of Kaldi's: wav.scp, utt2spk, perhaps segments
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common import own_data
from local.common.own_system import choice_lines, choose_system, summarize
from local.directory import DirectoryPreparation
from spkid.jobs import Program, Step, boolean, fraction
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write


class MyData(Program):
    """Recordings of one's own: the parts of egs/mydata/run.sh."""

    EXAMPLE = "local/mydata.py collect speech data/collected"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `mydata.py collect`, `select`, `choose` or `summary` (--help says more)")


@MyData.subcommand("collect")
class Collect(Program):
    """Writes a data directory of SOURCE: a folder with a folder a speaker, a table, or a data directory of Kaldi's."""

    EXAMPLE = "local/mydata.py collect speech data/collected"

    base = cli.SwitchAttr("--base", str, default=".", help="folder that relative paths in wav.scp start from")
    path_column = cli.SwitchAttr("--path-column", str, default="", help="a table's column of files")
    speaker_column = cli.SwitchAttr("--speaker-column", str, default="", help="a table's column of speakers")
    segments = cli.SwitchAttr("--segments", str, default="", help="a table's columns of start and end: begin,finish")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, source: str, data_dir: str) -> int:
        kind, place = own_data.kind_of(Path(source))
        if kind != "kaldi":
            corpus = place if kind == "tree" else place.resolve().parent
            words = ["directory.py", *(["--force"] if self.force else []), "--corpus", str(corpus)]
            if kind == "table":
                names = {"path-column": self.path_column, "speaker-column": self.speaker_column}
                named = {**names, "segments": self.segments}
                words += ["--table", str(place), *(f"--{name}={column}" for name, column in named.items() if column)]
            return DirectoryPreparation.run([*words, data_dir], exit=False)[1]
        inputs = [place / name for name in ("wav.scp", "utt2spk", "segments") if (place / name).is_file()]
        outputs = [Path(data_dir) / "utt2spk"]
        with Step("collect", Path(data_dir) / ".collect", inputs, {}, outputs, self.force) as step:
            if not step.is_done:
                data = own_data.copy_kaldi(place, Path(data_dir), Path(self.base))
                step.finish(f"{data_dir}: {len(data.speakers)} speakers, {len(data.utterances)} utterances of {source}")
        return 0


@MyData.subcommand("select")
class Select(Program):
    """Writes <data>/train_all and <data>/test_all of what the data check found usable, all at one sampling rate.

    Takes <data>/collected_train and <data>/collected_test with their checks <check>/train and <check>/test; or, where
    there is only <data>/collected with <check>/all, divides the speakers. <data>/rate and <data>/decisions say what
    was decided.
    """

    EXAMPLE = "local/mydata.py select data exp/check"

    rate = cli.SwitchAttr("--rate", cli.Set("0", "8000", "16000"), default="0", help="0: what suits the recordings")
    share = cli.SwitchAttr("--test-share", fraction, default=0.2, help="of the speakers, where they are divided")
    divide = cli.SwitchAttr("--divide", boolean, default=False, help="true: there is one collection")
    nj = cli.SwitchAttr("--nj", cli.Range(1, 256), default=2, help="processes that resample")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, check_dir: str) -> int:
        root, check = Path(data_dir), Path(check_dir)
        names = {"all": "collected"} if self.divide else {"train": "collected_train", "test": "collected_test"}
        files = [root / collected / table for collected in names.values() for table in ("wav.scp", "utt2spk")]
        inputs = [*files, *(check / name / file for name in names for file in ("utterances.tsv", "usable"))]
        options = {"rate": self.rate, "share": self.share, "divide": self.divide}
        outputs = [root / "rate", root / "decisions", *(root / f"{one}_all" / "utt2spk" for one in ("train", "test"))]
        with Step("select", root / ".select", inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            sets = {name: own_data.read_check(root / collected, check / name) for name, collected in names.items()}
            told = [sentence for name, one in sets.items() for sentence in _left_out(name, one)]
            rates = [one.rates[utterance] for one in sets.values() for utterance in sorted(one.usable)]
            if not rates:
                raise InputError(f"no utterance is usable: {check}/{next(iter(names))}/report.html says why")
            rate, why = (int(self.rate), "as --rate says") if self.rate != "0" else own_data.common_rate(rates)
            told.append(f"sampling rate {rate}: {why}")
            if self.divide:
                speakers = Counter(sets["all"].data.utt2spk[utterance] for utterance in sets["all"].usable)
                chosen = own_data.split_speakers(speakers, self.share)
                told.append(f"divided by speaker: {len(speakers) - len(chosen)} to train on, {len(chosen)} to test")
                spoken = sets["all"].data.utt2spk
                test = {utterance for utterance in sets["all"].usable if spoken[utterance] in chosen}
                parts = {"train": (sets["all"], sets["all"].usable - test), "test": (sets["all"], test)}
            else:
                parts = {name: (one, one.usable) for name, one in sets.items()}
            written = {}
            for name, (one, utterances) in parts.items():
                if not utterances:
                    raise InputError(f"no utterance for {name} is usable: {check}/{name}/report.html says why")
                copies = root / "resampled" / str(rate)
                written[name], copied = own_data.write_set(one, root / f"{name}_all", utterances, rate, copies, self.nj)
                for old, number in sorted(copied.items()):
                    told.append(f"{name}: {number} recordings of {old} Hz are copied at {rate} Hz to {copies}")
            shared = set(written["train"].speakers) & set(written["test"].speakers)
            if shared:
                told.append(
                    f"warning: {len(shared)} speakers have the same name in train and test, {min(shared)} among them: "
                    "if they are the same people, the error rates are those of known voices, and too good"
                )
            for sentence in told:
                step.say(sentence)
            for name, lines in (("rate", [str(rate)]), ("decisions", told)):
                with atomic_write(root / name) as stream:
                    stream.writelines(f"{line}\n" for line in lines)
            sizes = (f"{len(one.speakers)} speakers, {len(one.utterances)} utterances" for one in written.values())
            step.finish("{root}: train {0}; test {1}".format(*sizes, root=root))
        return 0


@MyData.subcommand("choose")
class Choose(Program):
    """Chooses a configuration by the size of TRAIN, fits it to rate and import, and writes EXP/choice.sh and a YAML."""

    EXAMPLE = "local/mydata.py choose --rate 16000 data/train data/test exp"

    config = cli.SwitchAttr("--config", str, default="", help="this configuration; or statistics: no network")
    initial = cli.SwitchAttr("--initial", str, default="", help="experiment directory to fine-tune")
    rate = cli.SwitchAttr("--rate", cli.Set("8000", "16000"), default="16000", help="of the recordings")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, train: str, test: str, exp: str) -> int:
        root = Path(exp)
        inputs = [Path(train) / "utt2spk", Path(test) / "utt2spk"]
        inputs += [Path(self.config)] if self.config not in ("", "statistics") else []
        inputs += [Path(self.initial) / "final.json"] if self.initial else []
        conf = Path("conf")
        options = {"config": self.config, "initial": self.initial, "rate": self.rate}
        with Step("choose", root / ".choose", inputs, options, [root / "choice.sh"], self.force) as step:
            if step.is_done:
                return 0
            choice = choose_system(DataDir(train), DataDir(test), int(self.rate), self.config, self.initial, conf, root)
            with atomic_write(root / "choice.sh") as stream:
                stream.writelines(f"{line}\n" for line in choice_lines(choice))
            step.finish(f"{choice.name}: {choice.why}")
        return 0


@MyData.subcommand("summary")
class Summary(Program):
    """Prints the error rates, the threshold, and the commands that use the system; keeps them in EXP/summary.md."""

    EXAMPLE = "local/mydata.py summary --test data/test exp cosine,import exp/tune exp/import"

    test = cli.SwitchAttr("--test", str, mandatory=True, help="data directory with recordings for the examples")
    decisions = cli.SwitchAttr("--decisions", str, default="", help="what `select` wrote")
    method = cli.SwitchAttr("--method", str, mandatory=True, help="the scoring whose threshold is used")

    def main(self, exp: str, system: str, *results: str) -> int:
        text = summarize(Path(system), self.method, list(results), DataDir(self.test), self.decisions, os.getcwd())
        print(text)
        with atomic_write(Path(exp) / "summary.md") as stream:
            stream.write(text + "\n")
        return 0


def _left_out(name: str, one: own_data.Checked) -> list[str]:
    reasons = Counter(
        one.problems[utterance].split(",")[0] for utterance in one.problems if utterance not in one.usable
    )
    return [f"{name}: {number} utterances are left out: {why}" for why, number in sorted(reasons.items())]


if __name__ == "__main__":
    MyData.run()
