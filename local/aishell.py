#!/usr/bin/env python3
"""AISHELL-1 (OpenSLR 33): 400 speakers reading Mandarin, 16 kHz, 178 hours.

Bu et al., "AISHELL-1: an open-source Mandarin speech corpus and a speech recognition baseline", O-COCOSDA 2017.
Apache 2.0. The corpus as published, after its archives of single speakers were unpacked:

    data_aishell/wav/{train,dev,test}/S0002/BAC009S0002W0122.wav      340, 40 and 20 speakers
    data_aishell/transcript/aishell_transcript_v0.8.txt               BAC009S0002W0122 and its words
    resource_aishell/speaker.info                                     0002 F (another archive; where it is there)

An utterance is S0002-BAC009S0002W0122, so that the speaker is its prefix.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.archives import extract
from local.common.downloads import OPENSLR, Archive, DownloadProgram, merge_tree
from local.common.walking import File, LeftOut, files_below, folder, read_text_table
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.trials import all_pairs, write_trials

ARCHIVE = Archive(f"{OPENSLR}/33/data_aishell.tgz", ("2f494334227864a8a8fec932999db9d8",), "data_aishell", 141600)
SPEAKERS = {"train": 340, "dev": 40, "test": 20}
UTTERANCES = {"train": 120098, "dev": 14326, "test": 7176}
TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"


def read_tree(found: list[File], left_out: LeftOut) -> dict[str, dict[str, list[File]]]:
    """Set -> speaker -> recordings, sorted, among the files below data_aishell."""
    sets: dict[str, dict[str, list[File]]] = {name: {} for name in SPEAKERS}
    for file in found:
        parts = file.parts
        if len(parts) != 4 or parts[0] != "wav" or parts[1] not in sets:
            left_out.add("not wav/<train, dev or test>/<speaker>/<utterance>.wav", file.path)
        elif parts[2] not in file.stem:
            left_out.add("the name does not hold the speaker's", file.path)
        else:
            sets[parts[1]].setdefault(parts[2], []).append(file)
    return sets


def choose(speakers: dict[str, list[File]], number: int, utterances: int, seed: int) -> dict[str, list[File]]:
    """So many speakers and so many recordings of each, drawn by the seed; 0 takes all.

    A speaker with fewer recordings than wanted is not drawn.

    Raises:
        InputError: there are not so many speakers with so many recordings.
    """
    fit = sorted(speaker for speaker, files in speakers.items() if len(files) >= utterances)
    if not utterances:
        fit = sorted(speakers)
    if len(fit) < number:
        raise InputError(f"{number} speakers are wanted and {len(fit)} have at least {utterances} recordings")
    draw = random.Random(seed)
    chosen = sorted(draw.sample(fit, number)) if number else fit
    return {
        speaker: sorted(draw.sample(speakers[speaker], utterances)) if utterances else speakers[speaker]
        for speaker in chosen
    }


def unpack_speakers(corpus: Path) -> None:
    """Unpacks `wav/S0002.tar.gz` and so on, each holding `train/S0002/...`, in place, and removes them."""
    for archive in sorted((corpus / "wav").glob("*.tar.gz")):
        unpacked = archive.with_name(f".{archive.name}.unpacked")
        extract(archive, unpacked)
        merge_tree(unpacked, corpus / "wav")
        unpacked.rmdir()
        archive.unlink()


class Aishell(Program):
    """AISHELL-1 (OpenSLR 33): download and data preparation."""

    EXAMPLE = "local/aishell.py prepare --corpus downloads/data_aishell data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `aishell.py download` or `aishell.py prepare` (--help says more)")


@Aishell.subcommand("download")
class Download(DownloadProgram):
    """Fetches AISHELL-1 (15 GB) into <directory>/data_aishell and unpacks the archives of the speakers in it."""

    EXAMPLE = "local/aishell.py download downloads"

    def main(self, directory: str) -> int:
        return self.get(directory, [ARCHIVE], unpack_speakers)


@Aishell.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/{train,dev,test}, all of it or a selection; where test is a selection, its trials too (all pairs).

    The laboratory sheet on x-vectors takes 300 speakers with 10 utterances each for training and 20 with 10 for test:
    --train-speakers 300 --utterances 10. The draw follows from the seed.
    """

    EXAMPLE = "local/aishell.py prepare --corpus downloads/data_aishell --train-speakers 300 --utterances 10 data"

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="the folder data_aishell")
    train_speakers = cli.SwitchAttr("--train-speakers", cli.Range(0, 340), default=0, help="so many of them; 0: all")
    test_speakers = cli.SwitchAttr("--test-speakers", cli.Range(0, 20), default=0, help="so many of them; 0: all")
    utterances = cli.SwitchAttr("--utterances", cli.Range(0, 10**4), default=0, help="of each speaker; 0: all")
    seed = cli.SwitchAttr("--seed", int, default=0, help="of the draw")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data = folder(self.corpus, "--corpus names the folder data_aishell"), Path(data_dir)
        if next((root / "wav").glob("*.tar.gz"), None) is not None:
            raise InputError(
                f"{root / 'wav'}: holds archives of speakers that were not unpacked: "
                f"for f in *.tar.gz; do tar xzf $f; done in it, or `local/aishell.py download`"
            )
        left_out = LeftOut()
        found = files_below(root, (".wav",), left_out, ignore=(Path(TRANSCRIPT).name,))
        sets = read_tree(found, left_out)
        if not any(sets.values()):
            raise InputError(f"{root}: has no wav/train, wav/dev or wav/test; --corpus names the folder data_aishell")
        numbers = {"train": self.train_speakers, "dev": 0, "test": self.test_speakers}
        sets = {
            name: choose(speakers, numbers[name], self.utterances, self.seed)
            for name, speakers in sets.items()
            if speakers
        }
        selected = bool(self.utterances or self.test_speakers) and "test" in sets
        info = root.parent / "resource_aishell" / "speaker.info"
        inputs = [path for path in (root / TRANSCRIPT, info) if path.is_file()]
        names = ("train_speakers", "test_speakers", "utterances", "seed")
        step = preparation(
            "aishell",
            data,
            list(sets),
            found,
            inputs=inputs,
            options={name: getattr(self, name) for name in names},
            outputs=["test/trials"] if selected else [],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            texts = read_text_table(root / TRANSCRIPT) if root / TRANSCRIPT in inputs else {}
            told = read_text_table(info) if info in inputs else {}
            genders = {f"S{name.removeprefix('S')}": gender.lower() for name, gender in told.items()}
            total = 0
            for name, speakers in sets.items():
                total += _write(root, data / name, speakers, texts, genders)
                whole = not (self.utterances or numbers[name])
                counts = compared(len(speakers), SPEAKERS[name] if whole else None, "speakers")
                number = sum(map(len, speakers.values()))
                utterances = compared(number, UTTERANCES[name] if whole else None, "utterances")
                step.say(f"{data / name}: {counts}, {utterances}")
            if selected:
                targets, nontargets = write_trials(data / "test/trials", all_pairs(DataDir(data / "test")))
                step.say(f"{data / 'test/trials'}: {targets} target and {nontargets} nontarget trials, all pairs")
            finish(step, left_out, f"{total} utterances in {', '.join(sets)}")
        return 0


def _write(
    root: Path, directory: Path, speakers: dict[str, list[File]], texts: dict[str, str], genders: dict[str, str]
) -> int:
    wav_scp, utt2spk, text = {}, {}, {}
    for speaker, files in speakers.items():
        for file in files:
            name = f"{speaker}-{file.stem}"
            wav_scp[name], utt2spk[name] = f"{root}/{file.path}", speaker
            if file.stem in texts:
                text[name] = texts[file.stem]
    # the published transcript lacks some recordings; a table must have all
    whole = text if len(text) == len(utt2spk) else {}
    write_data_dir(directory, wav_scp, utt2spk, text=whole, spk2gender=genders)
    return len(utt2spk)


if __name__ == "__main__":
    Aishell.run()
