#!/usr/bin/env python3
"""speechocean762 (OpenSLR 101): 250 Mandarin speakers reading English, 20 utterances each, 16 kHz, about half children.

Zhang et al., "speechocean762: an open-source non-native English speech corpus for pronunciation assessment",
Interspeech 2021. CC BY 4.0. The corpus as published:

    WAVE/SPEAKER0001/000010011.WAV
    train/{wav.scp,utt2spk,spk2utt,spk2gender,...}    125 speakers, wav.scp with paths relative to the corpus
    test/...                                          125 others

Its speakers are called 0001 and its utterances 000010011. Here a speaker is SPEAKER0001 and an utterance
SPEAKER0001-000010011, so that the speaker is a prefix of the utterance (Kaldi sorts both in the same order then).
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.archives import extract, fetch
from spkid.audio.durations import utterance_durations
from spkid.backend.trials import read_scores, read_trials
from spkid.jobs import Program, Step
from spkid.jobs.lock import Lock
from spkid.jobs.results import read_results
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_dir import write_spk2utt
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import read_id_map, write_id_map
from spkid.kaldi.trials import all_pairs, balanced_pairs, write_trials
from spkid.metrics.curve import TrialScores

URL = "https://www.openslr.org/resources/101/speechocean762.tar.gz"
NAME = "speechocean762"
HALVES = ("train", "test")
TEST_SPEAKERS = 30  # where there is no test half
DEV_SPEAKERS = 15
TABLES = ("wav.scp", "utt2spk", "spk2gender")


@dataclass(frozen=True)
class Utterance:
    """One recording of the corpus under its new names."""

    name: str
    speaker: str
    gender: str
    path: Path


def read_half(corpus: Path, half: str) -> list[Utterance]:
    """The utterances of `train` or `test`, sorted by their new names. Raises InputError where a table lacks a line."""
    wav_scp, utt2spk, spk2gender = (read_id_map(str(corpus / half / name)) for name in TABLES)
    utterances = []
    for published, path in sorted(wav_scp.items()):
        if published not in utt2spk:
            raise InputError(f"{corpus / half / 'utt2spk'}: has no line for utterance {published} of wav.scp")
        number = utt2spk[published]
        if number not in spk2gender:
            raise InputError(f"{corpus / half / 'spk2gender'}: has no line for speaker {number} of utt2spk")
        speaker = f"SPEAKER{number}"
        utterances.append(Utterance(f"{speaker}-{published}", speaker, spk2gender[number], corpus / path))
    return utterances


def missing_files(utterances: list[Utterance]) -> list[Path]:
    """The recordings that are not there, or are empty."""
    return [one.path for one in utterances if not one.path.is_file() or not one.path.stat().st_size]


def is_complete(corpus: Path) -> bool:
    """Whether both halves are there with all of their recordings."""
    tables = [corpus / half / name for half in HALVES for name in TABLES]
    return all(path.is_file() for path in tables) and not any(missing_files(read_half(corpus, half)) for half in HALVES)


def split_speakers(train: list[str], test: list[str], num_dev: int, group: int = 0) -> dict[str, list[str]]:
    """The speakers of each set, sorted: {"train": ..., "dev": ..., "test": ...}; no "dev" where num_dev is 0.

    train, test: the speakers of the published halves. Where there is no test half the last TEST_SPEAKERS of the train
    half stand in for it. The development speakers are spread evenly over the sorted rest; another `group` of them
    shares none with the first, for cross-validation.
    """
    train, test = sorted(train), sorted(test)
    if not test:
        train, test = train[:-TEST_SPEAKERS], train[-TEST_SPEAKERS:]
    if len(train) < num_dev + 2 or len(test) < 2:
        raise InputError(
            f"{len(train)} + {len(test)} speakers are too few for {num_dev} development speakers, 2 training speakers "
            f"and 2 test speakers"
        )
    groups = len(train) // num_dev if num_dev else 1
    if group >= groups:
        raise InputError(f"there is no development group {group}: {len(train)} speakers make {groups}, counted from 0")
    dev = train[group::groups][:num_dev]
    sets = {"train": [speaker for speaker in train if speaker not in set(dev)], "dev": dev, "test": test}
    return {name: speakers for name, speakers in sets.items() if speakers}


def write_data_dir(directory: Path, utterances: list[Utterance]) -> DataDir:
    """Writes wav.scp, utt2spk, spk2utt, spk2gender and utt2dur. Raises InputError for a recording that is damaged."""
    directory.mkdir(parents=True, exist_ok=True)
    data = DataDir(directory)
    write_id_map(data.path("wav.scp"), {one.name: one.path for one in utterances})
    write_id_map(data.path("utt2spk"), {one.name: one.speaker for one in utterances})
    write_id_map(data.path("spk2gender"), {one.speaker: one.gender for one in utterances})
    write_spk2utt(data.path("spk2utt"), data.table("utt2spk"))
    durations = utterance_durations(data)
    for utterance, reason in durations.failed.items():
        raise InputError(f"utterance {utterance}: {reason}")
    write_id_map(data.path("utt2dur"), {name: f"{seconds:.4f}" for name, seconds in durations.utterances.items()})
    data.check(needs=("wav.scp", "utt2dur"))
    return data


class Speechocean762(Program):
    """speechocean762 (OpenSLR 101): download and data preparation."""

    EXAMPLE = "local/speechocean762.py prepare --corpus downloads/speechocean762 data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `speechocean762.py download` or `speechocean762.py prepare` (--help says more)")


@Speechocean762.subcommand("download")
class Download(Program):
    """Fetches the corpus (520 MB) into <directory>/speechocean762, going on where an earlier attempt broke off.

    Nothing is fetched where all of its files are there. OpenSLR publishes no checksum: the archive's length, its own
    CRC and the presence of every listed recording are checked, and its SHA-256 is printed and kept in archive.sha256.
    """

    EXAMPLE = "local/speechocean762.py download downloads"

    url = cli.SwitchAttr("--url", str, default=URL, help="a mirror of the archive")
    sha256 = cli.SwitchAttr("--sha256", str, default="", help="what the archive must be, where you know it")
    keep_archive = cli.Flag("--keep-archive", help="do not remove the archive when it is unpacked")

    def main(self, directory: str) -> int:
        corpus = Path(directory) / NAME
        if not is_complete(corpus):
            corpus.parent.mkdir(parents=True, exist_ok=True)
            with Lock(corpus.parent / ".lock"):
                self._fetch(corpus)
        print(f"speechocean762: {corpus} is complete")
        return 0

    def _fetch(self, corpus: Path) -> None:
        archive, unpacked = corpus.with_name(f"{NAME}.tar.gz"), corpus.with_name("unpacked")
        if not archive.exists():
            checksum = fetch(self.url, archive, self.sha256)
            print(f"speechocean762: {archive} has SHA-256 {checksum}", flush=True)
            with atomic_write(corpus.with_name("archive.sha256")) as stream:
                stream.write(f"{checksum}  {archive.name}\n")
        shutil.rmtree(unpacked, ignore_errors=True)
        extract(archive, unpacked)
        if not is_complete(unpacked / NAME):
            raise InputError(f"{archive}: lacks a table or a recording of {NAME}; see {unpacked}")
        shutil.rmtree(corpus, ignore_errors=True)
        (unpacked / NAME).rename(corpus)
        shutil.rmtree(unpacked)
        if not self.keep_archive:
            archive.unlink()


@Speechocean762.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/{train,dev,test} with their trials from the corpus in --corpus.

    The published halves are training and test set. Where there is only a train half, its last 30 speakers are the
    test set. The development speakers are taken out of the training speakers, evenly spread.
    """

    EXAMPLE = Speechocean762.EXAMPLE

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="folder with WAVE, train and perhaps test")
    dev_speakers = cli.SwitchAttr(
        "--dev-speakers", cli.Range(0, 100), default=DEV_SPEAKERS, help="0: no development set, all others train"
    )
    dev_group = cli.SwitchAttr("--dev-group", cli.Range(0, 100), default=0, help="another set of development speakers")
    seed = cli.SwitchAttr("--seed", int, default=0, help="of the draw of the balanced trials")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        corpus, data = Path(self.corpus).resolve(), Path(data_dir)
        halves = [half for half in HALVES if (corpus / half).is_dir()]
        if "train" not in halves:
            raise InputError(f"{corpus}: has no folder 'train'; --corpus names the folder that holds WAVE and train")
        inputs = [corpus / half / name for half in halves for name in TABLES]
        names = ["train", *(["dev"] if self.dev_speakers else []), "test"]
        outputs = [data / name / file for name in names for file in ("wav.scp", "utt2spk", "spk2utt", "utt2dur")]
        outputs += [data / name / file for name in names[1:] for file in ("trials", "trials_balanced")]
        options = {"dev_speakers": self.dev_speakers, "dev_group": self.dev_group, "seed": self.seed}
        with Step("speechocean762_prepare", data / ".speechocean762", inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            utterances = {half: read_half(corpus, half) for half in halves}
            everything = [one for half in halves for one in utterances[half]]
            _check(everything)
            published = [sorted({one.speaker for one in utterances.get(half, [])}) for half in HALVES]
            sets = split_speakers(*published, self.dev_speakers, self.dev_group)
            for name, speakers in sets.items():
                members = [one for one in everything if one.speaker in set(speakers)]
                directory = write_data_dir(data / name, members)
                step.say(f"{data / name}: {len(speakers)} speakers, {len(members)} utterances")
                if name != "train":
                    write_trials(directory.path("trials"), all_pairs(directory))
                    write_trials(directory.path("trials_balanced"), balanced_pairs(directory, seed=self.seed))
            split = "the official split"
            if len(halves) == 1:
                split = f"the last {TEST_SPEAKERS} speakers of the train half are the test set"
            step.finish(f"{len(everything)} utterances; {split}", speakers={name: len(sets[name]) for name in sets})
        return 0


@Speechocean762.subcommand("compare")
class Compare(Program):
    """Prints the equal error rates of two results and their ratio; refuses results of different trials."""

    EXAMPLE = "local/speechocean762.py compare exp/baseline/results/dev_trials exp/light_xvector/results/dev_trials"

    def main(self, baseline_dir: str, system_dir: str) -> int:
        baseline, system = map(_results, (baseline_dir, system_dir))
        if baseline["trials"]["md5"] != system["trials"]["md5"]:
            raise InputError(f"{baseline_dir} and {system_dir} are results of different trials: evaluate both again")
        ratio = system["eer"] / baseline["eer"] if baseline["eer"] else float("nan")
        print(
            f"compare: {system['trials']['file']}: EER of the baseline {100 * baseline['eer']:.2f}%, "
            f"of the system {100 * system['eer']:.2f}%, ratio {ratio:.2f}"
        )
        return 0


@Speechocean762.subcommand("curves")
class Curves(Program):
    """Draws the error tradeoffs of several results (directories of steps/evaluate.py) into one picture."""

    EXAMPLE = "local/speechocean762.py curves exp/noise.png exp/lde_xvector_audio/results/{dev,dev_noisy}_trials"

    def main(self, picture: str, *results_dirs: str) -> int:
        from spkid.metrics.plots import plot_det  # matplotlib: not for the other commands

        if not results_dirs:
            raise InputError(f"{picture}: say which results to draw")
        systems = {}
        for directory in results_dirs:
            results = _results(directory)
            trials = read_trials(results["trials"]["file"])
            matched = read_scores(results["scores"]["file"], trials)
            values, is_target = matched.scores[~matched.missing], trials.is_target[~matched.missing]
            systems[results["name"]] = TrialScores(values[is_target], values[~is_target])
        with atomic_write(picture, "wb") as stream:
            plot_det(stream, systems, "Detection error tradeoff")
        return 0


def _results(directory: str) -> dict:
    return read_results(Path(directory) / "results.json", ("eer", "trials.md5", "trials.file"), "steps/evaluate.py")


def _check(utterances: list[Utterance]) -> None:
    missing = missing_files(utterances)
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise InputError(f"{len(missing)} of {len(utterances)} recordings are missing or empty: {shown}")
    twice = [name for name, count in Counter(one.name for one in utterances).items() if count > 1]
    if twice:
        raise InputError(f"utterance {twice[0]} is in both halves of the corpus")


if __name__ == "__main__":
    Speechocean762.run()
