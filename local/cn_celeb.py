#!/usr/bin/env python3
"""CN-Celeb 1 and 2 (OpenSLR 82): Chinese celebrities in eleven genres, 16 kHz.

Fan et al., "CN-CELEB: a challenging Chinese speaker recognition dataset", ICASSP 2020; Li et al., "CN-Celeb:
multi-genre speaker recognition", Speech Communication 2022. CC BY-SA 4.0.

    CN-Celeb_flac/data/id00000/singing-01-001.flac            1,000 speakers: dev/dev.lst names those to train on
    CN-Celeb_flac/eval/enroll/id00800-enroll.flac             196 speakers, each in one file
    CN-Celeb_flac/eval/test/id00800-singing-01-001.flac
    CN-Celeb_flac/eval/lists/{enroll,test,trials}.lst         id00800-enroll test/id00800-singing-01-001.wav 1
    CN-Celeb2_flac/data/id10000/interview-01-001.flac         1,996 speakers, all to train on

An utterance is id00000-singing-01-001; utt2cond holds its genre.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.downloads import OPENSLR, Archive, DownloadProgram
from local.common.walking import File, LeftOut, files_below, folder
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.jobs import Program
from spkid.kaldi import InputError
from spkid.kaldi.trials import write_trials

ARCHIVES = {
    "1": Archive(f"{OPENSLR}/82/cn-celeb_v2.tar.gz", ("7ab1b214028a7439e26608b2d5a0336c",), "CN-Celeb_flac", 120000),
    "2": Archive(
        f"{OPENSLR}/82/cn-celeb2_v2.tar.gz",
        ("4cdf738cff565ce35ad34274848659c3", "4ff59a7009b79ef7043498ad3882b81b", "3aa8e6e7f7ec4382f9926b1b31498228"),
        "CN-Celeb2_flac",
        520000,
        ("aa", "ab", "ac"),
    ),
}
SPEAKER = re.compile(r"id\d{5}")
FIRST_TEST_SPEAKER = "id00800"  # where there is no dev.lst
TRAIN_SPEAKERS = {(True, False): 797, (False, True): 1996, (True, True): 2793}
TEST_SPEAKERS = 196
TRIALS = 3484292
NOTES = ("dev.lst", "enroll.lst", "enroll.map", "test.lst", "trials.lst", "README.TXT", "README", "spk.lst")


def utterance_of(file: File) -> tuple[str, str] | None:
    """Utterance and speaker of data/id00000/singing-01-001.flac, eval/enroll/... or eval/test/...; None for others."""
    parts = file.parts
    if len(parts) == 3 and parts[0] == "data" and SPEAKER.fullmatch(parts[1]):
        return f"{parts[1]}-{file.stem}", parts[1]
    if len(parts) == 3 and parts[0] == "eval" and parts[1] in ("enroll", "test"):
        speaker = file.stem.partition("-")[0]
        return (file.stem, speaker) if SPEAKER.fullmatch(speaker) else None
    return None


def read_trials(path: Path) -> list[tuple[str, str, bool]]:
    """trials.lst: `id00800-enroll test/id00800-singing-01-001.wav 1` lines under our ids. Raises InputError."""
    trials = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or words[2] not in ("0", "1"):
            raise InputError(f"{path}, line {number}: expected 'enrolment file 0 or 1', got {line!r}")
        enrolment, test = (word.rpartition("/")[2].removesuffix(".wav").removesuffix(".flac") for word in words[:2])
        trials.append((enrolment, test, words[2] == "1"))
    if not trials:
        raise InputError(f"{path}: holds no trial")
    return trials


class CnCeleb(Program):
    """CN-Celeb 1 and 2 (OpenSLR 82): download and data preparation."""

    EXAMPLE = "local/cn_celeb.py prepare --cn-celeb1 downloads/CN-Celeb_flac --cn-celeb2 downloads/CN-Celeb2_flac data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `cn_celeb.py download` or `cn_celeb.py prepare` (--help says more)")


@CnCeleb.subcommand("download")
class Download(DownloadProgram):
    """Fetches CN-Celeb (22 GB) and CN-Celeb 2 (79 GB, in three files) into <directory>."""

    EXAMPLE = "local/cn_celeb.py download --corpora 1,2 downloads"

    corpora = cli.SwitchAttr("--corpora", cli.Set("1", "2", csv=True), default=["1", "2"], help="1, 2 or 1,2")

    def main(self, directory: str) -> int:
        return self.get(directory, [ARCHIVES[number] for number in self.corpora])


@CnCeleb.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/cnceleb_train, and <data>/cnceleb_eval (enrolment and test files) with its trials."""

    EXAMPLE = CnCeleb.EXAMPLE

    cn_celeb1 = cli.SwitchAttr("--cn-celeb1", str, default="", help="the folder CN-Celeb_flac")
    cn_celeb2 = cli.SwitchAttr("--cn-celeb2", str, default="", help="the folder CN-Celeb2_flac")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        data, left_out = Path(data_dir), LeftOut()
        given = [(name, path) for name, path in (("1", self.cn_celeb1), ("2", self.cn_celeb2)) if path]
        if not given:
            raise InputError("give --cn-celeb1, --cn-celeb2 or both; `local/cn_celeb.py download` fetches them")
        roots = [folder(path, f"--cn-celeb{name} names it") for name, path in given]
        found = {root: files_below(root, (".flac", ".wav"), left_out, ignore=NOTES) for root in roots}
        lists = [root / "dev/dev.lst" for root in roots] + [root / "eval/lists/trials.lst" for root in roots]
        lists = [path for path in lists if path.is_file()]
        dev_lists = (path.read_text(encoding="utf-8-sig").split() for path in lists if path.name == "dev.lst")
        train_speakers = {name for names in dev_lists for name in names if SPEAKER.fullmatch(name)}
        wav_scp: dict[str, dict[str, str]] = {"cnceleb_train": {}, "cnceleb_eval": {}}
        held_out = 0
        for root, files in found.items():
            for file in files:
                names = utterance_of(file)
                if names is None:
                    left_out.add("neither data/<speaker>/ nor eval/enroll/ nor eval/test/", file.path)
                    continue
                utterance, speaker = names
                if file.path.startswith("eval/"):
                    directory = "cnceleb_eval"
                elif speaker in train_speakers if train_speakers and speaker < "id1" else _trains(speaker):
                    directory = "cnceleb_train"
                else:
                    held_out += 1  # a test speaker's own recordings, of which eval/ holds what is tested
                    continue
                if utterance in wav_scp[directory]:
                    left_out.add("a second file of an utterance", file.path)
                else:
                    wav_scp[directory][utterance] = f"{root}/{file.path}"
        wav_scp = {name: entries for name, entries in wav_scp.items() if entries}
        if not wav_scp:
            raise InputError(f"{roots[0]}: has no data/<speaker>/ and no eval/; --cn-celeb1 names CN-Celeb_flac")
        trial_lists = [path for path in lists if path.name == "trials.lst"] if "cnceleb_eval" in wav_scp else []
        used = (File(f"{root}/{file.path}", file.size) for root, files in found.items() for file in files)
        outputs = ["cnceleb_eval/trials"] if trial_lists else []
        step = preparation("cn_celeb", data, list(wav_scp), used, inputs=lists, outputs=outputs, force=self.force)
        with step:
            if step.is_done:
                return 0
            for name, entries in wav_scp.items():
                utt2spk = {utterance: utterance.partition("-")[0] for utterance in entries}
                genres = {utterance: utterance.split("-")[1] for utterance in entries}
                write_data_dir(data / name, entries, utt2spk, utt2cond=genres)
                published = TEST_SPEAKERS
                if name == "cnceleb_train":
                    published = TRAIN_SPEAKERS[bool(self.cn_celeb1), bool(self.cn_celeb2)]
                told = compared(len(set(utt2spk.values())), published, "speakers")
                step.say(f"{data / name}: {told}, {len(entries)} utterances")
            if held_out:
                step.say(f"{held_out} recordings of test speakers in data/ are not trained on")
            for path in trial_lists:
                trials = read_trials(path)
                write_trials(data / "cnceleb_eval/trials", trials)
                names = {name for trial in trials for name in trial[:2]}
                absent = len(names - wav_scp["cnceleb_eval"].keys())
                told = compared(len(trials), TRIALS, "trials") + f" over {len(names)} files"
                warning = f"; warning: {absent} of the files are not in the corpus" if absent else ""
                step.say(f"{data / 'cnceleb_eval/trials'}: {told}{warning}")
            total = sum(map(len, wav_scp.values()))
            finish(step, left_out, f"{total} utterances in {', '.join(wav_scp)}")
        return 0


def _trains(speaker: str) -> bool:
    """Whether a speaker is to be trained on, where no list says so."""
    return speaker < FIRST_TEST_SPEAKER or speaker >= "id1"


if __name__ == "__main__":
    CnCeleb.run()
