#!/usr/bin/env python3
"""Small corpora in the trees of the real ones, so that a recipe runs whole without them.

The speech is that of speechocean762 (`--speech` names the folder, local/speechocean762.py fetches it), or else
espeak-ng's forty synthetic voices of egs/mini. Names, nesting, lists and tables are those of the published corpora;
error rates on such a corpus say that a recipe works and nothing about the corpus it is named after. The file MINIATURE
in it says so; by it recipes know that their small sizes are wanted (utils/miniature.sh).
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local import mini, speechocean762
from local.common import layouts, marked_speech
from local.common.layouts import Voice
from local.common.marked_speech import marked_recording
from local.common.noises import SLOPES, coloured_noise
from local.common.synthetic_speech import load_espeak
from local.common.walking import MINIATURE, LeftOut, files_below, folder
from spkid.audio import read_audio, resample
from spkid.audio.labels import Interval
from spkid.features import MfccOptions, add_deltas, mfcc
from spkid.jobs import Program, Step
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import read_id_map

MARK = "Made by local/miniature.py, in the tree of a real corpus. Recipes take narrow networks and few epochs for it."
SOURCES = [Path(module).resolve() for module in (__file__, layouts.__file__, marked_speech.__file__)]  # the design


def recorded_voices(corpus: Path, rate: int) -> list[Voice]:
    """The speakers of speechocean762's train half."""
    texts = read_id_map(corpus / "train" / "text")
    own: dict[str, list[speechocean762.Utterance]] = {}
    for utterance in speechocean762.read_half(corpus, "train"):
        own.setdefault(utterance.speaker, []).append(utterance)
    return [
        Voice(
            utterances[0].gender,
            [texts.get(one.name.partition("-")[2], "") for one in utterances],
            partial(_read, [str(one.path) for one in utterances], rate),
            rate,
        )
        for utterances in own.values()
    ]


def synthetic_voices(number: int, utterances: int, rate: int, wav_dir: Path, nj: int) -> list[Voice]:
    """So many of egs/mini's voices, whose recordings are made in `wav_dir` where they are not there yet.

    Raises:
        InputError: there are not so many voices or utterances, or there is no espeak-ng.
    """
    everybody = [*mini.TRAIN_VOICES, *mini.TEST_VOICES]
    if number > len(everybody) or utterances > mini.UTTERANCES_PER_VOICE:
        raise InputError(
            f"there are {len(everybody)} synthetic voices with {mini.UTTERANCES_PER_VOICE} utterances each: ask for "
            "fewer with --speakers and --utterances, or name speechocean762 with --speech"
        )
    halves = ((mini.TRAIN_VOICES, mini.TRAIN_GRAMMAR), (mini.TEST_VOICES, mini.TEST_GRAMMAR))
    said = [one for people, grammar in halves for one in mini.corpus(people, grammar, 0)]
    chosen = [everybody[place] for place in _spread(len(everybody), number)]
    own = {voice.speaker: [one for one in said if one.voice == voice][:utterances] for voice in chosen}
    wanted = [one for utterances in own.values() for one in utterances]
    mini.synthesize_missing(wanted, wav_dir, 0, load_espeak(), nj)
    return [
        Voice(voice.gender, [one.text for one in own[voice.speaker]], partial(_read, paths, rate), rate)
        for voice in chosen
        for paths in [[str(wav_dir / f"{one.name}.wav") for one in own[voice.speaker]]]
    ]


def _read(paths: list[str], rate: int, number: int) -> np.ndarray:
    samples, own_rate = read_audio(paths[number])
    return resample(samples, own_rate, rate)


def _spread(total: int, number: int) -> list[int]:
    """So many places among `total`, evenly spread."""
    return [place * total // number for place in range(number)]


def _first(voice: Voice, utterances: int) -> Voice:
    return Voice(voice.gender, voice.texts[:utterances], voice.read, voice.rate)


class Miniature(Program):
    """Small corpora in the trees of the real ones: voxceleb, musan, rirs_noises, aishell, librispeech, ..."""

    EXAMPLE = "local/miniature.py voxceleb --speech downloads/speechocean762 --speakers 60 corpus"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no corpus {words[0]}" if words else "say which corpus"
            raise InputError(f"{given}: one of {', '.join(sorted(self._subcommands))} (--help says more)")


class Layout(Program):
    """What the maker of every corpus takes.

    CONTENT: what it leaves in the directory. MARKED: the folder below the directory that recipes are given as --corpus.
    """

    CONTENT: ClassVar[tuple[str, ...]] = ()
    MARKED: ClassVar[str] = "."

    speech = cli.SwitchAttr("--speech", str, default="", help="the folder speechocean762; else synthetic voices")
    speakers = cli.SwitchAttr("--speakers", cli.Range(2, 125), default=24, help="how many, evenly spread")
    utterances = cli.SwitchAttr("--utterances", cli.Range(1, 20), default=10, help="of each speaker")
    test_speakers = cli.SwitchAttr("--test-speakers", cli.Range(1, 60), default=8, help="so many of them are for test")
    rate = cli.SwitchAttr("--rate", cli.Range(4000, 48000), default=16000, help="in samples per second")
    voices_dir = cli.SwitchAttr("--voices-dir", str, default="", help="keeps synthetic voices; else <directory>/voices")
    nj = cli.SwitchAttr("--nj", cli.Range(1, 64), default=2, help="processes that synthesise")
    force = cli.Flag("--force", help="make everything again")

    def main(self, directory: str) -> int:
        if self.test_speakers >= self.speakers:
            raise InputError(
                f"--test-speakers {self.test_speakers} of --speakers {self.speakers} leave none to train on"
            )
        corpus = self.PROGNAME.split()[-1]
        root = Path(directory)
        record = root / f".miniature_{corpus}"
        present = [root / name for name in self.CONTENT if (root / name).exists()]
        if present and not record.is_dir():
            raise InputError(f"{present[0]}: is there and was not made by this program: give another directory")
        options = {name: getattr(self, name) for name in self._own_options()}
        with Step("miniature", record, SOURCES, options, force=self.force) as step:
            if step.is_done:
                return 0
            for path in present:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            voices = self._voices(root)
            self.make(root, voices)
            with atomic_write(root / self.MARKED / MINIATURE) as stream:
                stream.write(f"{MARK}\n")
            kind = "speakers of speechocean762" if self.speech else "synthetic voices: nobody speaks here"
            whose = f", of {len(voices)} {kind}" if voices else ""
            step.finish(f"{corpus}: {', '.join(self.CONTENT)} in {directory}{whose}")
        return 0

    def make(self, root: Path, voices: list[Voice]) -> None:
        """Writes the corpus."""
        raise NotImplementedError  # every corpus has its own

    def _own_options(self) -> list[str]:
        """The names of the switches that decide what is made."""
        names = ["speech", "speakers", "utterances", "test_speakers", "rate"]
        return names + [name for name, value in vars(type(self)).items() if isinstance(value, cli.SwitchAttr)]

    def _voices(self, root: Path) -> list[Voice]:
        if not self.speech:
            wav_dir = Path(self.voices_dir) if self.voices_dir else root / "voices"
            return synthetic_voices(self.speakers, self.utterances, self.rate, wav_dir, self.nj)
        everybody = recorded_voices(folder(self.speech, "--speech names speechocean762"), self.rate)
        if len(everybody) < self.speakers:
            raise InputError(f"{self.speech}: has {len(everybody)} speakers, --speakers wants {self.speakers}")
        return [_first(everybody[place], self.utterances) for place in _spread(len(everybody), self.speakers)]


@Miniature.subcommand("voxceleb")
class MakeVoxceleb(Layout):
    """<directory>/voxceleb1 (dev, test, lists, genders) and <directory>/voxceleb2 (dev, test), as WAV."""

    EXAMPLE = Miniature.EXAMPLE
    CONTENT = ("voxceleb1", "voxceleb2")

    def make(self, root: Path, voices: list[Voice]) -> None:
        others = max(2, (self.speakers - self.test_speakers) // 4)  # VoxCeleb1's own training speakers
        split = self.speakers - self.test_speakers - others
        if split < 2:
            raise InputError(
                f"--speakers {self.speakers} are too few for both corpora, {self.test_speakers} of them test: "
                f"{self.test_speakers + 4} or more are needed"
            )
        layouts.voxceleb1(root / "voxceleb1", voices[split:], self.test_speakers)
        layouts.voxceleb2(root / "voxceleb2", voices[:split], max(1, split // 5))


@Miniature.subcommand("aishell")
class MakeAishell(Layout):
    """<directory>/data_aishell and <directory>/resource_aishell."""

    EXAMPLE = "local/miniature.py aishell --speech downloads/speechocean762 --speakers 40 corpus"
    CONTENT = ("data_aishell", "resource_aishell")

    def make(self, root: Path, voices: list[Voice]) -> None:
        num_dev = 1 if self.speakers > self.test_speakers + 2 else 0
        layouts.aishell(root / "data_aishell", voices, num_dev, self.test_speakers)


@Miniature.subcommand("librispeech")
class MakeLibrispeech(Layout):
    """<directory>/LibriSpeech with train-clean-100 and test-clean."""

    EXAMPLE = "local/miniature.py librispeech --speech downloads/speechocean762 --speakers 40 corpus"
    CONTENT = ("LibriSpeech",)
    MARKED = "LibriSpeech"

    def make(self, root: Path, voices: list[Voice]) -> None:
        split = self.speakers - self.test_speakers
        layouts.librispeech(root / "LibriSpeech", {"train-clean-100": voices[:split], "test-clean": voices[split:]})


@Miniature.subcommand("cn_celeb")
class MakeCnCeleb(Layout):
    """<directory>/CN-Celeb_flac and <directory>/CN-Celeb2_flac."""

    EXAMPLE = "local/miniature.py cn_celeb --speech downloads/speechocean762 --speakers 40 corpus"
    CONTENT = ("CN-Celeb_flac", "CN-Celeb2_flac")

    def make(self, root: Path, voices: list[Voice]) -> None:
        split = (self.speakers - self.test_speakers) // 2
        layouts.cn_celeb1(root / "CN-Celeb_flac", voices[split:], self.test_speakers)
        if split:
            layouts.cn_celeb2(root / "CN-Celeb2_flac", voices[:split])


@Miniature.subcommand("pav")
class MakePav(Layout):
    """<directory>/mcp (static cepstra), <directory>/wav (the recordings) and <directory>/lists.

    Of each speaker a quarter of the utterances is for test (5 of 20, as in the original), 1 in 10 to validate.
    """

    EXAMPLE = "local/miniature.py pav --speech downloads/speechocean762 --speakers 40 --utterances 20 corpus"
    CONTENT = ("mcp", "wav", "lists")

    coefficients = cli.SwitchAttr("--coefficients", cli.Range(2, 60), default=16, help="cepstra of a frame")

    def make(self, root: Path, voices: list[Voice]) -> None:
        options = MfccOptions(
            sample_frequency=self.rate, num_ceps=self.coefficients, num_mel_bins=max(23, self.coefficients), dither=0.0
        )
        matrices = [[mfcc(voice.read(number), options) for number in range(len(voice))] for voice in voices]
        num_test, num_valid = max(1, self.utterances // 4), max(1, self.utterances // 10)
        if self.utterances < 3:
            raise InputError("--utterances: three at least, to train on, to validate and to test with")
        layouts.pav(root, matrices, num_test, num_valid=num_valid)
        for speaker, voice in enumerate(voices):
            for number in range(len(voice)):
                line = f"BLOCK{speaker // 10:02d}/SES{speaker:03d}/SA{speaker:03d}S{number:02d}"
                layouts.save(root / "wav" / f"{line}.wav", voice.read(number), voice.rate)


@Miniature.subcommand("vad")
class MakeVad(Layout):
    """<directory>/{train,valid,single}.lst of .mat files, and the same recordings with .voz and .lab under wav/.

    A recording is the utterances of a speaker with pauses between, and noise at 5 to 20 dB. The speech is marked
    before the noise is added; under clean/ are the recordings of train and valid with next to none (at 40 dB). Test
    speakers validate; `single` is one long recording of all of them, as in the laboratory. Say --rate 8000 for
    telephone speech.
    """

    EXAMPLE = "local/miniature.py vad --speech downloads/speechocean762 --rate 8000 --speakers 40 corpus"
    CONTENT = ("mat", "wav", "clean", "train.lst", "valid.lst", "single.lst")

    noises = cli.SwitchAttr("--noises", str, default="", help="folder of noise recordings; else white noise")

    def make(self, root: Path, voices: list[Voice]) -> None:
        noises = _recordings(self.noises, self.rate) if self.noises else [None]
        split = self.speakers - self.test_speakers
        sets = {"train": voices[:split], "valid": voices[split:]}
        for name, members in sets.items():
            made = []
            for place, voice in enumerate(members):
                utterances = [voice.read(number) for number in range(len(voice))]
                made.append(self._recording(utterances, noises, f"{name} {place}"))
                random = np.random.default_rng(list(f"clean {name} {place}".encode()))
                self._save(root / "clean" / name, name, place, *marked_recording(utterances, self.rate, random, snr=40))
            self._write(root, name, made)
        everybody = [voice.read(number) for voice in voices[split:] for number in range(len(voice))]
        self._write(root, "single", [self._recording(everybody, noises, "single")])

    def _recording(self, utterances: list[np.ndarray], noises: list[np.ndarray | None], name: str):
        random = np.random.default_rng(list(name.encode()))
        noise = noises[int(random.integers(len(noises)))]
        return marked_recording(utterances, self.rate, random, noise, random.uniform(5, 20))

    def _write(self, root: Path, name: str, made: list) -> None:
        from spkid.audio.labels import frame_labels

        options = MfccOptions(sample_frequency=self.rate, num_ceps=20, num_mel_bins=23, dither=0.0)
        matrices = []
        for number, (samples, speech) in enumerate(made):
            features = add_deltas(mfcc(samples, options))
            matrices.append((features, frame_labels(speech, len(features), 0.01, 0.025).astype(np.uint8)))
            self._save(root / "wav" / name, name, number, samples, speech)
        layouts.vad_matlab(root, name, matrices)

    def _save(self, place: Path, name: str, number: int, samples: np.ndarray, speech: list[Interval]) -> None:
        path = place / f"{name}_{number:03d}.wav"
        layouts.save(path, samples, self.rate)
        for ending in (".voz", ".lab"):
            layouts.labels(path.with_suffix(ending), speech, len(samples) / self.rate, self.rate)


@Miniature.subcommand("directory")
class MakeDirectory(Layout):
    """<directory>/{train,test}/<speaker>/<day>/<number>.wav; --long: a recording of everybody, and table.csv of it."""

    EXAMPLE = "local/miniature.py directory --speech downloads/speechocean762 --rate 8000 corpus"
    CONTENT = ("train", "test")

    long = cli.Flag("--long", help="a long recording for every utterance's turn, with start and end in table.csv")

    def make(self, root: Path, voices: list[Voice]) -> None:
        split = self.speakers - self.test_speakers
        for name, members in {"train": voices[:split], "test": voices[split:]}.items():
            if self.long:
                layouts.meetings(root / name, members)
            else:
                layouts.directory(root / name, members)


@Miniature.subcommand("musan")
class MakeMusan(Layout):
    """<directory>/musan: noises of --noises (else coloured noise), chords as music, the speakers' speech."""

    EXAMPLE = "local/miniature.py musan --speech downloads/speechocean762 --noises noises/kitchen corpus"
    CONTENT = ("musan",)
    MARKED = "musan"  # noises alone make no miniature of what lies beside them

    noises = cli.SwitchAttr("--noises", str, default="", help="folder of noise recordings; else coloured noise")

    def make(self, root: Path, voices: list[Voice]) -> None:
        speech = [np.concatenate([voice.read(number) for number in range(len(voice))]) for voice in voices]
        noises = _pieces(_recordings(self.noises, self.rate), self.rate) if self.noises else _coloured(self.rate)
        layouts.musan(root / "musan", speech, noises, self.rate)


@Miniature.subcommand("rirs_noises")
class MakeRirsNoises(Layout):
    """<directory>/RIRS_NOISES: rooms of ours, measured responses of --rirs, noises of --noises; no speech."""

    EXAMPLE = "local/miniature.py rirs_noises --rirs rirs/house corpus"
    CONTENT = ("RIRS_NOISES",)
    MARKED = "RIRS_NOISES"

    rirs = cli.SwitchAttr("--rirs", str, default="", help="folder of measured impulse responses")
    noises = cli.SwitchAttr("--noises", str, default="", help="folder of noise recordings; else coloured noise")

    def make(self, root: Path, voices: list[Voice]) -> None:
        responses = _recordings(self.rirs, self.rate) if self.rirs else []
        noises = _pieces(_recordings(self.noises, self.rate), self.rate) if self.noises else _coloured(self.rate)
        layouts.rirs_noises(root / "RIRS_NOISES", responses, noises, self.rate)

    def _voices(self, root: Path) -> list[Voice]:
        return []


def _recordings(directory: str, rate: int) -> list[np.ndarray]:
    """The first channels of all recordings below a folder, at a rate."""
    root = folder(directory, "a folder of recordings")
    found = files_below(root, (".wav", ".flac"), LeftOut())
    if not found:
        raise InputError(f"{directory}: holds no .wav and no .flac")
    waves = (read_audio(str(root / file.path), channel=0) for file in found)
    return [resample(samples, own_rate, rate) for samples, own_rate in waves]


def _pieces(recordings: list[np.ndarray], rate: int) -> list[np.ndarray]:
    """The recordings cut into pieces of ten seconds, as a corpus of noises has many short ones."""
    size = 10 * rate
    return [piece for samples in recordings for piece in np.split(samples, range(size, len(samples), size))]


def _coloured(rate: int) -> list[np.ndarray]:
    """Ten seconds each of noises whose power falls as 1, 1/f and 1/f^2."""
    random = np.random.default_rng(0)
    return [coloured_noise(rate, 10, slope, random) for slope in SLOPES]


if __name__ == "__main__":
    Miniature.run()
