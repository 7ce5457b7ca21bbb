#!/usr/bin/env python3
"""VoxCeleb1 and VoxCeleb2: celebrities in interviews on YouTube, 16 kHz, 1,251 and 6,112 speakers, none in both.

Nagrani et al., "VoxCeleb: a large-scale speaker identification dataset", Interspeech 2017; Chung et al., "VoxCeleb2:
deep speaker recognition", Interspeech 2018. The trees, with or without the folders dev, test, wav and aac:

    <voxceleb1>/wav/id10001/1zcIwhmdeo4/00001.wav          1,211 speakers dev, 40 test (id10270 to id10309)
    <voxceleb2>/dev/aac/id00012/21Uxsk56VDQ/00001.m4a      5,994 speakers dev, 118 test; wav where it was converted
    <voxceleb1>/{veri_test.txt,...,vox1_meta.csv}          lists of trials, genders

An utterance is id10001-1zcIwhmdeo4-00001: speaker, video, number.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.archives import fetch
from local.common.media import convert, decoding_command
from local.common.voxceleb_lists import read_verification_list
from local.common.walking import File, LeftOut, files_below, folder
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.jobs import Program, Step
from spkid.kaldi import InputError
from spkid.kaldi.trials import write_trials

RATE = 16000
LISTS_URL = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta"
HOW_TO_GET = (
    "the audio is given on request: ask at https://mm.kaist.ac.kr/datasets/voxceleb, unpack what you get, and name the "
    "folders with `local/voxceleb.py prepare --voxceleb1 DIR --voxceleb2 DIR data`"
)
SPEAKER = re.compile(r"id1\d{4}|id0\d{4}")
TEST_SPEAKERS = range(10270, 10310)  # of VoxCeleb1
META = ("vox1_meta.csv", "vox2_meta.csv")
SPEAKERS = {"voxceleb1": 1251, "voxceleb1_train": 1211, "voxceleb1_test": 40}
SPEAKERS |= {"voxceleb2_train": 5994, "voxceleb2_test": 118}
UTTERANCES = {"voxceleb1": 153516, "voxceleb1_train": 148642, "voxceleb1_test": 4874}
UTTERANCES |= {"voxceleb2_train": 1092009, "voxceleb2_test": 36237}


class TrialList(NamedTuple):
    """A published list of trials: our file's name, its counts (files: where they are known), the directory it is of."""

    name: str
    trials: int
    files: int | None
    directory: str


TRIAL_LISTS = {
    "veri_test.txt": TrialList("trials_o", 37720, 4715, "voxceleb1_test"),
    "veri_test2.txt": TrialList("trials_o_cleaned", 37611, 4708, "voxceleb1_test"),
    "list_test_all.txt": TrialList("trials_e", 581480, None, "voxceleb1"),
    "list_test_all2.txt": TrialList("trials_e_cleaned", 579818, None, "voxceleb1"),
    "list_test_hard.txt": TrialList("trials_h", 552536, None, "voxceleb1"),
    "list_test_hard2.txt": TrialList("trials_h_cleaned", 550894, None, "voxceleb1"),
}


@dataclass
class Corpus:
    """The utterances of one of the two corpora by id: file (absolute), speaker, and whether of the test speakers."""

    files: dict[str, str] = field(default_factory=dict)
    speakers: dict[str, str] = field(default_factory=dict)
    test: set[str] = field(default_factory=set)  # speakers


def read_tree(root: Path, number: int, found: list[File], left_out: LeftOut, test: Iterable[str] = ()) -> Corpus:
    """The utterances among the files below the folder of VoxCeleb1 (`number` 1) or VoxCeleb2 (2).

    A recording that is there as m4a and as WAV counts once, as WAV.

    Args:
        test: speakers of VoxCeleb2's test set, besides those in a folder called test.
    """
    corpus, prefix = Corpus(test=set(test)), "id1" if number == 1 else "id0"
    for file in sorted(found, key=lambda file: not file.path.lower().endswith(".wav")):
        parts = file.parts
        place = next((place for place, part in enumerate(parts) if SPEAKER.fullmatch(part)), None)
        if place is None or len(parts) != place + 3:
            left_out.add("not <speaker>/<video>/<number>", file.path)
            continue
        speaker = parts[place]
        if not speaker.startswith(prefix):
            left_out.add(f"of a speaker of VoxCeleb{3 - number}, in the folder of VoxCeleb{number}", file.path)
            continue
        name = f"{speaker}-{parts[place + 1]}-{file.stem}"
        if name in corpus.files:
            left_out.add("a second file of an utterance (WAV goes before others)", file.path)
            continue
        corpus.files[name] = f"{root}/{file.path}"
        corpus.speakers[name] = speaker
        if "test" in parts[:place] if number == 2 else int(speaker[2:]) in TEST_SPEAKERS:
            corpus.test.add(speaker)
    return corpus


def read_meta(path: Path) -> dict[str, tuple[str, str]]:
    """vox1_meta.csv or vox2_meta.csv: speaker -> (m or f, dev or test).

    Raises:
        InputError: the columns of identity, gender and set are not there.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [[cell.strip() for cell in re.split(r"[\t,]", line)] for line in lines if line.strip()]
    header = [cell.lower() for cell in rows[0]] if rows else []
    try:
        gender, set_name = header.index("gender"), header.index("set")
        return {row[0]: (row[gender], row[set_name]) for row in rows[1:]}
    except (ValueError, IndexError):
        raise InputError(f"{path}: a table with the columns 'VoxCeleb ID', 'Gender' and 'Set' is expected") from None


class VoxCeleb(Program):
    """VoxCeleb1 and VoxCeleb2: lists and data preparation."""

    EXAMPLE = "local/voxceleb.py prepare --voxceleb1 /corpora/voxceleb1 --voxceleb2 /corpora/voxceleb2 data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `voxceleb.py download`, `prepare` or `summary` (--help says more)")


@VoxCeleb.subcommand("download")
class Download(Program):
    """Fetches the lists of trials and the tables of speakers into a folder; says how to get the audio.

    What is there already is kept. The counts of the lists are checked by `prepare`.
    """

    EXAMPLE = "local/voxceleb.py download /corpora/voxceleb1"

    url = cli.SwitchAttr("--url", str, default=LISTS_URL, help="a mirror of the folder of lists")

    def main(self, directory: str) -> int:
        for name in (*TRIAL_LISTS, *META):
            path = Path(directory) / name
            if not path.exists():
                fetch(f"{self.url}/{name}", path)
        print(f"voxceleb: the lists of trials and the tables of speakers are in {directory}; {HOW_TO_GET}")
        return 0


@VoxCeleb.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/voxceleb1_{train,test} and <data>/voxceleb2_{train,test}, and the trials.

    voxceleb1_test gets trials_o and trials_o_cleaned. Where the lists E or H are there, <data>/voxceleb1 holds all of
    VoxCeleb1 with trials_{e,h} and trials_{e,h}_cleaned. Recordings as m4a are decoded by ffmpeg whenever they are
    read, or once with --convert. Counts that differ from the published ones are said.
    """

    EXAMPLE = VoxCeleb.EXAMPLE

    voxceleb1 = cli.SwitchAttr("--voxceleb1", str, default="", help="folder of VoxCeleb1")
    voxceleb2 = cli.SwitchAttr("--voxceleb2", str, default="", help="folder of VoxCeleb2")
    lists = cli.SwitchAttr("--lists", str, default="", help="folder of lists and tables; else that of VoxCeleb1")
    convert = cli.SwitchAttr("--convert", str, default="", help="decode m4a once, to WAV files below this folder")
    nj = cli.SwitchAttr("--nj", cli.Range(1, 256), default=4, help="files converted at a time")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        given = {1: self.voxceleb1, 2: self.voxceleb2}
        if not any(given.values()):
            raise InputError(f"give --voxceleb1, --voxceleb2 or both; {HOW_TO_GET}")
        roots = {number: folder(path, f"--voxceleb{number} names it") for number, path in given.items() if path}
        left_out = LeftOut()
        ignore = {*TRIAL_LISTS, *META}
        found = {n: files_below(root, (".wav", ".m4a", ".flac"), left_out, ignore=ignore) for n, root in roots.items()}
        lists = folder(self.lists, "--lists names it") if self.lists else next(iter(roots.values()))
        wanted = TRIAL_LISTS if 1 in roots else {}
        trial_lists = {lists / name: one for name, one in wanted.items() if (lists / name).is_file()}
        tables = [lists / name for name in META if (lists / name).is_file()]
        names = [f"voxceleb{number}_{part}" for number in roots for part in ("train", "test")]
        if any(one.directory == "voxceleb1" for one in trial_lists.values()):
            names.append("voxceleb1")
        meta = {speaker: facts for table in tables for speaker, facts in read_meta(table).items()}
        test = {speaker for speaker, (_, part) in meta.items() if part == "test"}
        corpora = {number: read_tree(root, number, found[number], left_out, test) for number, root in roots.items()}
        sets = {name: _members(corpora, name) for name in names}
        sets = {name: members for name, members in sets.items() if members}
        for number, root in roots.items():
            if not corpora[number].files:
                raise InputError(f"{root}: no recording of a VoxCeleb{number} speaker in it; {HOW_TO_GET}")
        step = preparation(
            "voxceleb",
            Path(data_dir),
            list(sets),
            (File(f"{root}/{file.path}", file.size) for number, root in roots.items() for file in found[number]),
            inputs=[*trial_lists, *tables],
            options={"convert": self.convert},
            outputs=[f"{one.directory}/{one.name}" for one in trial_lists.values() if one.directory in sets],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            genders = {speaker: gender for speaker, (gender, _) in meta.items() if gender in ("m", "f")}
            wav_scp = self._wav_scp(step, corpora, left_out)
            for name, members in sets.items():
                members = [utterance for utterance in members if utterance in wav_scp]
                corpus = corpora[int(name[len("voxceleb")])]
                utt2spk = {utterance: corpus.speakers[utterance] for utterance in members}
                scripts = {utterance: wav_scp[utterance] for utterance in members}
                write_data_dir(Path(data_dir) / name, scripts, utt2spk, spk2gender=genders)
                _say_counts(step, Path(data_dir) / name, name, utt2spk)
            if 2 in corpora and "voxceleb2_test" not in sets and not (lists / META[1]).is_file():
                step.say(f"all of {roots[2]} is taken for dev: it has no folder test, and {lists} no {META[1]}")
            for number, corpus in corpora.items():
                _say_missing(step, number, corpus, meta)
            for path, one in trial_lists.items():
                if one.directory in sets:
                    _write_trials(step, path, one, Path(data_dir) / one.directory / one.name, wav_scp)
            if 1 in roots and not trial_lists:
                step.say(f"warning: no list of trials in {lists}: `local/voxceleb.py download {lists}` fetches them")
            finish(step, left_out, f"{len(wav_scp)} utterances in {', '.join(sets)}")
        return 0

    def _wav_scp(self, step: Step, corpora: dict[int, Corpus], left_out: LeftOut) -> dict[str, str]:
        """Utterance -> file or command, of both corpora."""
        wav_scp = {name: path for corpus in corpora.values() for name, path in corpus.files.items()}
        compressed = {name: path for name, path in wav_scp.items() if path.lower().endswith(".m4a")}
        if not self.convert:
            if compressed and not shutil.which("ffmpeg"):
                step.say("warning: there is no ffmpeg on this machine, which the m4a files are read through")
            return wav_scp | {name: decoding_command(path, RATE) for name, path in compressed.items()}
        target = Path(self.convert).resolve()
        converted = {
            name: target.joinpath(*path.split("/")[-3:]).with_suffix(".wav") for name, path in compressed.items()
        }
        failed = convert([(path, converted[name]) for name, path in compressed.items()], RATE, self.nj)
        for name, path in compressed.items():
            if path in failed:
                left_out.add(f"ffmpeg cannot decode it ({failed[path]})", path)
                del wav_scp[name]
            else:
                wav_scp[name] = str(converted[name])
        return wav_scp


@VoxCeleb.subcommand("summary")
class Summary(Program):
    """Prints what the VoxCeleb trainer prints of a published network: parameters, speeds, EER and minDCF in its terms.

    EXP-DIR is an import of steps/import_model.py; RESULT the name of a list's scores below its results. The trainer's
    number of parameters includes the loss's. Speeds are those of the steps, with the start of their programs.
    """

    EXAMPLE = "local/voxceleb.py summary exp/baseline_lite_ap o_crops"

    def main(self, exp_dir: str, result: str) -> int:
        exp = Path(exp_dir)
        facts = _json(exp / "final.json")
        network, loss = facts["parameters"], facts["imported"]["loss_parameters"]
        extraction = _json(exp / "xvectors_test/.done.json")
        utterances = extraction["ids"]["done"]
        found = _json(exp / "results" / result / "results.json")
        seconds = _json(exp / f"results/.scores_{result}.step/.done.json")["seconds"]
        print(f"voxceleb: Model has {network + loss} parameters: network {network}, loss {loss}")
        print(
            f"voxceleb: {utterances / extraction['seconds']:.2f} utterances/s, "
            f"{found['trials']['count'] / max(seconds, 1e-3):.0f} trials/s"
        )
        cost = found["min_dcf"]["0.05"]["value"]
        print(f"voxceleb: {result}: EER {100 * found['eer_by_definition']['trainer']:.4f}%, minDCF(.05) {cost:.4f}")
        return 0


def _json(path: Path) -> dict[str, Any]:
    """A record of a step or of an import.

    Raises:
        InputError: it is not there.
    """
    if not path.exists():
        raise InputError(f"{path}: is missing: run the stages before this one")
    return json.loads(path.read_text(encoding="utf-8"))


def _members(corpora: dict[int, Corpus], name: str) -> list[str]:
    """The utterances of a data directory: voxceleb1, voxceleb1_train, voxceleb2_test, ..."""
    corpus, part = corpora[int(name[len("voxceleb")])], name.partition("_")[2]
    if not part:
        return list(corpus.speakers)
    return [name for name, speaker in corpus.speakers.items() if (speaker in corpus.test) == (part == "test")]


def _say_counts(step: Step, directory: Path, name: str, utt2spk: dict[str, str]) -> None:
    speakers = compared(len(set(utt2spk.values())), SPEAKERS[name], "speakers")
    step.say(f"{directory}: {speakers}, {compared(len(utt2spk), UTTERANCES[name], 'utterances')}")


def _say_missing(step: Step, number: int, corpus: Corpus, meta: dict[str, tuple[str, str]]) -> None:
    known = {speaker for speaker in meta if speaker.startswith("id1" if number == 1 else "id0")}
    absent = sorted(known - set(corpus.speakers.values()))
    if absent:
        shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if absent[3:] else "")
        step.say(f"warning: {len(absent)} speakers of {META[number - 1]} have no recording: {shown}")


def _write_trials(step: Step, path: Path, published: TrialList, target: Path, wav_scp: dict[str, str]) -> None:
    trials, utterances = read_verification_list(path)
    write_trials(target, trials)
    absent = sum(utterance not in wav_scp for utterance in utterances)
    step.say(
        f"{target}: {compared(len(trials), published.trials, 'trials')} over "
        f"{compared(len(utterances), published.files, 'files')}"
        + (f"; warning: {absent} of the files are not in the corpus" if absent else "")
    )


if __name__ == "__main__":
    VoxCeleb.run()
