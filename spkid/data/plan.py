"""Which utterances meet in which batch: the order of an epoch, a function of the seed and the epoch alone."""

from dataclasses import dataclass

import numpy as np

from spkid.kaldi import InputError

SAMPLERS = ("shuffled", "balanced")


@dataclass(frozen=True)
class EpochPlan:
    """The micro-batches of one epoch.

    utterances: indices, (batches, micro_batch); draws: how many times this utterance was drawn before in this epoch,
    (batches, micro_batch); frames: the length of the chunks of each micro-batch, (batches,).
    """

    utterances: np.ndarray
    draws: np.ndarray
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def num_batches(num_utterances: int, chunks_per_utterance: int, micro_batch: int, micro_batches: int) -> int:
    """Micro-batches in an epoch: a multiple of `micro_batches`; the rest of a shuffled epoch is left out."""
    updates = num_utterances * chunks_per_utterance // (micro_batch * micro_batches)
    if updates < 1:
        raise InputError(
            f"{num_utterances} training utterances do not fill one batch of {micro_batch * micro_batches} chunks: "
            f"lower data.micro_batch or raise data.chunks_per_utterance"
        )
    return updates * micro_batches


def plan_epoch(
    sampler: str,
    speakers: np.ndarray,
    *,
    batches: int,
    micro_batch: int,
    chunk_frames: list[int],
    seed: int,
    epoch: int,
) -> EpochPlan:
    """The plan of one epoch.

    Args:
        sampler: "shuffled" draws every utterance equally often; "balanced" every speaker, and no speaker twice in one
            micro-batch where there are enough of them.
        speakers: the speaker's number of each utterance, (utterances,).
        batches: micro-batches in the epoch (`num_batches`).
    """
    rng = np.random.default_rng([seed, epoch])
    count = batches * micro_batch
    order = (_shuffled if sampler == "shuffled" else _balanced)(rng, speakers, count, micro_batch)
    return EpochPlan(
        order.reshape(batches, micro_batch),
        _occurrences(order).reshape(batches, micro_batch),
        rng.choice(np.array(chunk_frames), size=batches),
    )


def _shuffled(rng: np.random.Generator, speakers: np.ndarray, count: int, micro_batch: int) -> np.ndarray:
    rounds = -(-count // len(speakers))
    return np.concatenate([rng.permutation(len(speakers)) for _ in range(rounds)])[:count]


def _balanced(rng: np.random.Generator, speakers: np.ndarray, count: int, micro_batch: int) -> np.ndarray:
    by_speaker = np.argsort(speakers, kind="stable")
    utterances = np.split(by_speaker, np.cumsum(np.bincount(speakers))[:-1])
    utterances = [members for members in utterances if len(members)]
    rounds = -(-count // len(utterances))
    columns = [
        np.concatenate([rng.permutation(members) for _ in range(-(-rounds // len(members)))])[:rounds]
        for members in utterances
    ]
    drawn: list[int] = []
    for turn in range(rounds):
        turns = rng.permutation(len(utterances))
        begun = drawn[len(drawn) - len(drawn) % micro_batch :]
        if begun and len(utterances) >= micro_batch:  # fill the batch begun by the last round with other speakers
            speakers_begun = {int(speakers[index]) for index in begun}
            inside = np.array([int(speakers[utterances[one][0]]) in speakers_begun for one in turns])
            others = turns[~inside]
            needed = micro_batch - len(begun)
            rest = np.isin(turns, others[:needed], invert=True)
            turns = np.concatenate([others[:needed], turns[rest]])
        drawn.extend(int(columns[one][turn]) for one in turns)
    return np.array(drawn[:count])


def _occurrences(order: np.ndarray) -> np.ndarray:
    """For each place the number of times its value stood before it."""
    by_value = np.argsort(order, kind="stable")
    values = order[by_value]
    first = np.concatenate([[True], values[1:] != values[:-1]])
    places = np.arange(len(order))
    counts = np.empty(len(order), np.int64)
    counts[by_value] = places - np.maximum.accumulate(np.where(first, places, 0))
    return counts
