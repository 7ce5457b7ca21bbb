"""Lists of trials: which utterance, or which speaker's model, is compared with which utterance."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import islice

from spkid.kaldi.data_dir import DataDir
from spkid.kaldi.errors import InputError
from spkid.kaldi.io import atomic_write

Pair = tuple[str, str, bool]  # enrolment, test, whether both are of one speaker


def all_pairs(enrolment: DataDir, test: DataDir | None = None, *, models: bool = False) -> Iterator[Pair]:
    """Every trial, in the order of the ids.

    Args:
        enrolment: its utterances (with `models` its speakers) are the first of each pair.
        test: its utterances are the second; None pairs the utterances of `enrolment` with each other, each pair once.
        models: the first id is a speaker's, whose model is made of all the utterances of `enrolment`.

    Yields:
        first id, second id, whether they are of the same speaker. An utterance is never paired with itself.
    """
    if test is None:
        items = list(enrolment.utt2spk.items())
        for number, (first, speaker) in enumerate(items):
            for second, other in islice(items, number + 1, None):
                yield first, second, speaker == other
        return
    firsts = [(speaker, speaker) for speaker in enrolment.speakers] if models else list(enrolment.utt2spk.items())
    for first, speaker in firsts:
        for second, other in test.utt2spk.items():
            if first != second:
                yield first, second, speaker == other


def balanced_pairs(
    enrolment: DataDir, test: DataDir | None = None, *, models: bool = False, targets: int = 0, seed: int = 0
) -> list[Pair]:
    """As many target as nontarget trials, chosen at random among all pairs, in the order of the ids.

    Args:
        targets: how many of each kind; 0 takes every target trial (of the rarer kind, where nontargets are fewer).
        seed: the same seed chooses the same.

    Raises:
        InputError: there are fewer than `targets` of one kind, or none.
    """
    kinds = [target for _, _, target in all_pairs(enrolment, test, models=models)]
    generator = random.Random(seed)
    same = [number for number, target in enumerate(kinds) if target]
    different = [number for number, target in enumerate(kinds) if not target]
    number = targets or min(len(same), len(different))
    if not 0 < number <= min(len(same), len(different)):
        raise InputError(
            f"{enrolment.root}: there are {len(same)} target and {len(different)} nontarget trials, "
            f"{targets or 'some'} of each are wanted: ask for fewer, or give more speakers and utterances"
        )
    chosen = {*generator.sample(same, number), *generator.sample(different, number)}
    pairs = all_pairs(enrolment, test, models=models)
    return [pair for number, pair in enumerate(pairs) if number in chosen]


def write_trials(path: str | os.PathLike, pairs: Iterator[Pair] | list[Pair]) -> tuple[int, int]:
    """Writes `first second target|nontarget` lines; returns how many of each kind."""
    counts = [0, 0]
    kinds = ("nontarget", "target")
    with atomic_write(path) as stream:
        for first, second, target in pairs:
            counts[target] += 1
            stream.write(f"{first} {second} {kinds[target]}\n")
    return counts[1], counts[0]
