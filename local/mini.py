#!/usr/bin/env python3
"""The corpus of egs/mini: forty synthetic voices made on the spot by espeak-ng, so that a whole recipe runs offline.

Nobody speaks here. A voice is a row of a table (accent, voice quality, pitch, pitch range, rate). Every utterance reads
a sentence of its own, moves pitch, range and rate a little, and is recorded in a room of its own with its own noise,
microphone and level. All follows from the seed and the utterance's name: the same audio every time, whatever the order
and the number of processes.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common import synthetic_speech, writing
from local.common.synthetic_speech import in_fresh_processes, load_espeak, record, speak
from spkid.audio import resample, write_wav
from spkid.audio.durations import utterance_durations
from spkid.jobs import Program, Step, progress
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import write_id_map
from spkid.kaldi.trials import all_pairs, write_trials

SOURCES = [Path(__file__).resolve(), Path(synthetic_speech.__file__).resolve()]  # they are the design
RATE = 16000  # samples per second
UTTERANCES_PER_VOICE = 15
DATA_FILES = ("wav.scp", "text", "utt2spk", "spk2utt", "spk2gender", "utt2dur")


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker: espeak-ng's accent and variant; pitch and range of 0-100; rate in words a minute."""

    speaker: str
    accent: str
    variant: str
    pitch: int
    pitch_range: int
    rate: int

    @property
    def gender(self) -> str:
        """f or m."""
        return self.speaker[0]


def _voices(table: str) -> tuple[Voice, ...]:
    rows = (line.split() for line in table.strip().splitlines())
    return tuple(Voice(row[0], row[1], row[2], *map(int, row[3:])) for row in rows)


# speaker, accent, variant, pitch, range, rate
TRAIN_VOICES = _voices("""
    f01 en-us             f1       45 50 165
    f02 en                f2       55 45 175
    f03 en-gb-x-rp        f3       40 60 160
    f04 en-us             f4       60 55 185
    f05 en-gb-scotland    f5       50 40 170
    f06 en-029            Annie    42 50 180
    f07 en-us             Andrea   48 65 155
    f08 en                aunty    52 50 165
    f09 en-us-nyc         linda    38 45 190
    f10 en-gb-x-gbclan    steph    46 55 172
    f11 en-gb-x-gbcwmd    f2       36 60 160
    f12 en-us             f5       62 45 182
    m01 en-us             m1       45 50 165
    m02 en                m2       52 45 178
    m03 en-gb-x-rp        m3       40 60 158
    m04 en-us             m4       55 40 185
    m05 en-gb-scotland    m6       48 55 170
    m06 en-029            m7       42 50 175
    m07 en-us-nyc         m8       60 60 162
    m08 en-gb-x-gbclan    Alex     50 45 188
    m09 en-us             klatt    38 55 168
    m10 en                klatt2   58 50 176
    m11 en-us             Denis    44 45 172
    m12 en-gb-x-gbcwmd    pedro    56 60 164
    m13 en-us             edward   47 50 180
    m14 en                Michael  53 40 169
    m15 en-gb-scotland    max      39 55 160
    m16 en-us             sandro   49 50 184
""")
TEST_VOICES = _voices("""
    f13 en-us             belinda  46 50 170
    f14 en                f1       58 55 160
    f15 en-gb-x-rp        f4       40 45 178
    f16 en-us             f3       52 60 186
    f17 en-gb-scotland    Alicia   44 50 166
    f18 en-us-nyc         steph2   55 40 174
    m17 en-us             m3       54 45 172
    m18 en                m1       40 60 182
    m19 en-gb-x-rp        Gene     48 50 163
    m20 en-us             Hugo     46 55 177
    m21 en-029            Diogo    56 45 168
    m22 en-gb-x-gbclan    robert   50 60 187
""")

# A sentence takes one phrase from each row. The two grammars share no phrase: test voices read other words.
TRAIN_GRAMMAR = (
    ("yesterday", "this morning", "after lunch", "late at night", "every Sunday", "before the storm", "in the end"),
    ("the old sailor", "my younger sister", "a tired doctor", "the village baker", "our new teacher", "a shy painter"),
    ("carried", "repaired", "forgot", "borrowed", "described", "washed", "measured", "promised"),
    ("a wooden ladder", "the yellow bicycle", "seven small boxes", "the broken window", "her favourite jacket"),
    ("behind the station", "near the harbour", "on the kitchen table", "under the stone bridge", "beside the church"),
)
TEST_GRAMMAR = (
    ("last winter", "on Thursday", "around midnight", "once again", "for no clear reason", "during the holidays"),
    ("the quiet lawyer", "a famous singer", "their elder cousin", "the mountain guide", "your next neighbour"),
    ("discovered", "painted", "collected", "refused", "photographed", "ordered", "counted", "admired"),
    ("an orange umbrella", "two heavy suitcases", "the golden watch", "a bowl of soup", "fifteen old letters"),
    ("outside the theatre", "at the airport", "in the empty garden", "along the river path", "across the market"),
)


@dataclass(frozen=True)
class Utterance:
    """Who says what, under which name."""

    name: str
    voice: Voice
    text: str

    def __str__(self) -> str:
        return self.name


def corpus(
    voices: Iterable[Voice], grammar: tuple[tuple[str, ...], ...], seed: int, per_voice: int = UTTERANCES_PER_VOICE
) -> list[Utterance]:
    """The utterances of a set of voices: `per_voice` sentences each, no sentence twice in the set."""
    sentences = [" ".join(words) for words in product(*grammar)]
    order = iter(np.random.default_rng(seed).permutation(len(sentences)))
    return [
        Utterance(f"{voice.speaker}-{number:02d}", voice, sentences[next(order)])
        for voice in voices
        for number in range(1, per_voice + 1)
    ]


def synthesize(utterance: Utterance, seed: int, loader: ModuleType) -> np.ndarray:
    """One utterance, float (samples,) in +-1 at RATE. Once in the life of a process, as `speak`."""
    digest = hashlib.sha256(f"{seed} {utterance.name}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    voice = utterance.voice
    samples, rate = speak(
        loader,
        utterance.text,
        f"{voice.accent}+{voice.variant}",
        pitch=voice.pitch + int(random.integers(-4, 5)),
        pitch_range=voice.pitch_range + int(random.integers(-8, 9)),
        words_per_minute=round(voice.rate * random.uniform(0.9, 1.1)),
    )
    return record(resample(samples.astype(np.float32) / 32768, rate, RATE), RATE, random)


def write_data_dir(directory: str, utterances: list[Utterance], wav_dir: Path) -> DataDir:
    """Writes wav.scp, text, utt2spk, spk2utt, spk2gender and utt2dur of utterances whose audio lies in wav_dir."""
    data = writing.write_data_dir(
        directory,
        {one.name: str(wav_dir / f"{one.name}.wav") for one in utterances},
        {one.name: one.voice.speaker for one in utterances},
        text={one.name: one.text for one in utterances},
        spk2gender={one.voice.speaker: one.voice.gender for one in utterances},
    )
    durations = utterance_durations(data)
    for reason in durations.failed.values():
        raise InputError(reason)
    write_id_map(data.path("utt2dur"), {name: f"{seconds:.4f}" for name, seconds in durations.utterances.items()})
    data.check(needs=("wav.scp", "utt2dur"))
    return data


class Mini(Program):
    """The corpus of egs/mini: synthetic voices."""

    DESCRIPTION = "Makes the synthetic corpus of egs/mini (no human speech)"
    EXAMPLE = "local/mini.py prepare --nj 2 data/train data/test"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `mini.py prepare data/train data/test` (--help says more)")


@Mini.subcommand("prepare")
class Prepare(Program):
    """Synthesises the corpus and writes a data directory each for the training and the test voices."""

    EXAMPLE = Mini.EXAMPLE

    corpus_dir = cli.SwitchAttr("--corpus-dir", str, default="corpus", help="where the audio goes")
    nj = cli.SwitchAttr("--nj", cli.Range(1, 256), default=2, help="processes at a time")
    seed = cli.SwitchAttr("--seed", int, default=0, help="decides sentences, jitter, rooms and noise")
    utterances = cli.SwitchAttr("--utterances", cli.Range(2, 99), default=UTTERANCES_PER_VOICE, help="of each voice")
    force = cli.Flag("--force", help="make everything again")

    def main(self, train_dir: str, test_dir: str) -> int:
        corpus_dir, wav_dir = Path(self.corpus_dir), Path(self.corpus_dir) / "wav"
        train = corpus(TRAIN_VOICES, TRAIN_GRAMMAR, self.seed, self.utterances)
        test = corpus(TEST_VOICES, TEST_GRAMMAR, self.seed, self.utterances)
        trials = f"{test_dir}/trials"
        outputs = [f"{directory}/{name}" for directory in (train_dir, test_dir) for name in DATA_FILES]
        loader = load_espeak()
        options = {
            "seed": self.seed,
            "utterances": self.utterances,
            "espeakng-loader": metadata.version("espeakng-loader"),
        }
        with Step("mini", corpus_dir, SOURCES, options, [*outputs, trials], self.force) as step:
            if step.is_done:
                return 0
            step.say(f"{len(TRAIN_VOICES)} + {len(TEST_VOICES)} synthetic voices of espeak-ng: nobody speaks here")
            made = synthesize_missing(train + test, wav_dir, self.seed, loader, self.nj, self.force)
            write_data_dir(train_dir, train, wav_dir)
            targets, nontargets = write_trials(trials, all_pairs(write_data_dir(test_dir, test, wav_dir)))
            total = len(train) + len(test)
            step.finish(
                f"{total} utterances, {made} of them made now; {targets} target and {nontargets} nontarget trials",
                utterances=total,
                made=made,
            )
        return 0


def synthesize_missing(
    utterances: list[Utterance], wav_dir: Path, seed: int, loader: ModuleType, nj: int, force: bool = False
) -> int:
    """Makes the WAV files that are not there yet and returns how many; throws those of another design or seed away."""
    design = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()
    version = metadata.version("espeakng-loader")
    made_from = f"{design} seed {seed} espeakng-loader {version}, {len(utterances)} utterances\n"
    record_of_design = wav_dir / "made_from"
    if force or not record_of_design.exists() or record_of_design.read_text(encoding="utf-8") != made_from:
        shutil.rmtree(wav_dir, ignore_errors=True)
        wav_dir.mkdir(parents=True)
        with atomic_write(record_of_design) as stream:
            stream.write(made_from)
    missing = [utterance for utterance in utterances if not (wav_dir / f"{utterance.name}.wav").exists()]

    def make(utterance: Utterance) -> None:
        write_wav(str(wav_dir / f"{utterance.name}.wav"), synthesize(utterance, seed, loader), RATE)

    # Imported here so that the children need not: an import costs ten times a sentence.
    import scipy.fft
    import scipy.signal  # noqa: F401

    for _ in progress(in_fresh_processes(make, missing, nj), "synthesis", total=len(missing), unit="utterances"):
        pass
    return len(missing)


if __name__ == "__main__":
    Mini.run()
