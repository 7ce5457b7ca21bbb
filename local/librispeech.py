#!/usr/bin/env python3
"""LibriSpeech (OpenSLR 12) and mini LibriSpeech (OpenSLR 31): read English books, 16 kHz.

Panayotov et al., "Librispeech: an ASR corpus based on public domain audio books", ICASSP 2015. CC BY 4.0.

    LibriSpeech/train-clean-100/19/198/19-198-0000.flac        speaker, chapter, number
    LibriSpeech/train-clean-100/19/198/19-198.trans.txt        19-198-0000 and its words
    LibriSpeech/SPEAKERS.TXT                                   19 | F | train-clean-100 | 25.19 | Kara Shallenberg

Utterances and speakers keep their names.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.downloads import OPENSLR, Archive, DownloadProgram
from local.common.walking import LeftOut, files_below, folder, read_text_table
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.jobs import Program
from spkid.jobs.results import read_results
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

BEST = ("f_measure", "true_positive_rate", "accuracy")
MEASURES = ("name", "eer", "eer_by_definition", *(f"best_f_measure.{name}" for name in BEST))


class Subset(NamedTuple):
    """What was published: OpenSLR's number, MD5 of the archive, speakers (None: not stated here), utterances."""

    openslr: int
    md5: str
    speakers: int | None
    utterances: int


SUBSETS = {
    "dev-clean": Subset(12, "42e2234ba48799c1f50f24a7926300a1", 40, 2703),
    "dev-other": Subset(12, "c8d0bcc9cca99d4f8b62fcc847357931", 33, 2864),
    "test-clean": Subset(12, "32fa31d27d2e1cad72775fee3f4849a9", 40, 2620),
    "test-other": Subset(12, "fb5a50374b501bb3bac4815ee91d3135", 33, 2939),
    "train-clean-100": Subset(12, "2a93770f6d5c6c964bc36631d331a522", 251, 28539),
    "train-clean-360": Subset(12, "c0e676e450a7ff2f54aeade5171606fa", 921, 104014),
    "train-other-500": Subset(12, "d1a0fd59409feb2c614ce4d30c387708", 1166, 148688),
    "train-clean-5": Subset(31, "5df7d4e78065366204ca6845bb08f490", None, 1519),
    "dev-clean-2": Subset(31, "6d7ab67ac6a1d2c993d050e16d61080d", None, 1089),
}
NAME = re.compile(r"(\d+)-(\d+)-(\d+)")
NOTES = ("SPEAKERS.TXT", "CHAPTERS.TXT", "BOOKS.TXT", "README.TXT", "LICENSE.TXT")


def archive_of(subset: str) -> Archive:
    """Where a subset is, with its checksum and how many recordings it has."""
    published = SUBSETS[subset]
    url = f"{OPENSLR}/{published.openslr}/{subset}.tar.gz"
    return Archive(url, (published.md5,), f"LibriSpeech/{subset}", published.utterances)


def read_genders(path: Path) -> dict[str, str]:
    """SPEAKERS.TXT: speaker -> m or f. Raises InputError where a line has another form."""
    genders = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith(";"):
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 3 or cells[1] not in ("M", "F"):
            raise InputError(f"{path}, line {number}: expected 'speaker | M or F | subset | minutes | name'")
        genders[cells[0]] = cells[1].lower()
    return genders


class LibriSpeech(Program):
    """LibriSpeech (OpenSLR 12) and mini LibriSpeech (OpenSLR 31): download, data preparation, table of results."""

    EXAMPLE = "local/librispeech.py prepare --corpus downloads/LibriSpeech --subsets train-clean-100,test-clean data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `librispeech.py download`, `prepare` or `table` (--help says more)")


def subsets(text: str) -> list[str]:
    """`train-clean-100,test-clean`: names of subsets between commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in SUBSETS:
            raise ValueError(f"there is no subset {name}; there are {', '.join(SUBSETS)}")
    return names


@LibriSpeech.subcommand("download")
class Download(DownloadProgram):
    """Fetches subsets into <directory>/LibriSpeech; those of mini LibriSpeech are train-clean-5 and dev-clean-2."""

    EXAMPLE = "local/librispeech.py download --subsets train-clean-5,dev-clean-2 downloads"

    subsets = cli.SwitchAttr("--subsets", subsets, mandatory=True, help="names between commas")

    def main(self, directory: str) -> int:
        return self.get(directory, [archive_of(subset) for subset in self.subsets])


@LibriSpeech.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/train_clean_100 and so on, a data directory a subset, with genders from SPEAKERS.TXT."""

    EXAMPLE = LibriSpeech.EXAMPLE

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="the folder LibriSpeech")
    subsets = cli.SwitchAttr("--subsets", subsets, default=[], help="names between commas; else all that are there")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data = folder(self.corpus, "--corpus names the folder LibriSpeech"), Path(data_dir)
        names = self.subsets or [name for name in SUBSETS if (root / name).is_dir()]
        if not names:
            raise InputError(f"{root}: has no subset such as train-clean-100; --corpus names the folder LibriSpeech")
        left_out, found, sets, texts = LeftOut(), [], {}, {}
        for name in names:
            directory = folder(root / name, f"there is no subset {name} in {root}")
            files = files_below(directory, (".flac", ".wav", ".trans.txt"), left_out)
            sets[name], texts[name] = {}, []
            for file in files:
                match = NAME.fullmatch(file.stem)
                if file.path.endswith(".trans.txt"):
                    texts[name].append(directory / file.path)
                elif match is None or file.parts[-3:-1] != list(match.groups()[:2]):
                    left_out.add("not <speaker>/<chapter>/<speaker>-<chapter>-<number>.flac", f"{name}/{file.path}")
                elif file.stem in sets[name]:
                    left_out.add("a second file of an utterance", f"{name}/{file.path}")
                else:
                    sets[name][file.stem] = f"{directory}/{file.path}"
            found += [file._replace(path=f"{name}/{file.path}") for file in files]
        speakers = root / "SPEAKERS.TXT"
        inputs = [speakers] if speakers.is_file() else []
        directories = [name.replace("-", "_") for name in names]
        with preparation("librispeech", data, directories, found, inputs=inputs, force=self.force) as step:
            if step.is_done:
                return 0
            genders = read_genders(speakers) if inputs else {}
            for name, directory in zip(names, directories, strict=True):
                wav_scp = sets[name]
                utt2spk = {utterance: utterance.partition("-")[0] for utterance in wav_scp}
                text = _texts(texts[name], wav_scp, left_out)
                write_data_dir(data / directory, wav_scp, utt2spk, text=text, spk2gender=genders)
                published, number = SUBSETS[name], len(set(utt2spk.values()))
                told = compared(number, published.speakers, "speakers")
                step.say(f"{data / directory}: {told}, {compared(len(wav_scp), published.utterances, 'utterances')}")
            finish(step, left_out, f"{sum(map(len, sets.values()))} utterances in {', '.join(directories)}")
        return 0


@LibriSpeech.subcommand("table")
class ResultTable(Program):
    """Prints Deep Speaker's measures of results (directories of steps/evaluate.py) as a table, and writes it to OUT.

    EER of Kaldi and of the grid of thresholds 0, 0.001, ..., 1 (for scores within -1 and 1); F-measure, true positive
    rate and accuracy at the threshold with the best F-measure; how often the positive is nearer than all negatives,
    where steps/evaluate.py was asked for it (--top-k 1).
    """

    EXAMPLE = "local/librispeech.py table exp/results.md exp/{rescnn,gru}_hard/results/{deep_speaker,all_pairs}"

    def main(self, out: str, *results_dirs: str) -> int:
        if not results_dirs:
            raise InputError(f"{out}: say which results it is to hold")
        rows = [_measures(Path(directory)) for directory in results_dirs]
        columns = ("trials", "system", "EER", "EER (grid)", "F-measure", "TPR", "accuracy", "nearest")
        lines = [columns, ("---",) * len(columns), *rows]
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        with atomic_write(out) as stream:
            stream.write(text)
        print(text, end="")
        return 0


def _measures(directory: Path) -> tuple[str, ...]:
    """A row of the table. Raises InputError where there are no results."""
    results = read_results(directory / "results.json", MEASURES, "steps/evaluate.py")
    best, nearest = results["best_f_measure"], results.get("identification")
    rates = [results["eer"], results["eer_by_definition"].get("grid"), *(best[name] for name in BEST)]
    rates.append(nearest["top_k"].get("1") if nearest else None)
    cells = [directory.name, results["name"]]
    return (*cells, *("" if rate is None else f"{100 * rate:.2f}%" for rate in rates))


def _texts(paths: list[Path], wav_scp: dict[str, str], left_out: LeftOut) -> dict[str, str]:
    """The words of all utterances; nothing where some have none, since a table must have all."""
    text = {}
    for path in paths:
        for utterance, words in read_text_table(path).items():
            if utterance in wav_scp:
                text[utterance] = words
            else:
                left_out.add("in a transcript, but not there", utterance)
    return text if len(text) == len(wav_scp) else {}


if __name__ == "__main__":
    LibriSpeech.run()
