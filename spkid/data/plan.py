"""Which utterances meet in which batch: the order of an epoch, a function of the seed and the epoch alone.

    shuffled                every utterance equally often, in random order
    balanced                every speaker equally often
    speakers_by_utterances  P speakers x K utterances, speaker-major: output.unflatten(0, (-1, K))
    triplets                anchor, positive, negative: output.unflatten(0, (-1, 3))

In `balanced` and `speakers_by_utterances` nobody stands twice in a micro-batch, where that is possible at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spkid.kaldi import InputError

SAMPLERS = ("shuffled", "balanced", "speakers_by_utterances", "triplets")


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


@dataclass(frozen=True)
class HardNegativeOptions:
    """The sampler of hard_negatives.py: what a round embeds, how many rounds are kept, what is chosen of them."""

    speakers: int = 640
    utterances: int = 2
    rounds: int = 20
    anchors: int = 16
    negatives: int = 2
    positives: int = 2

    @property
    def triplets(self) -> int:
        """Triplets of a round."""
        return self.anchors * max(self.negatives, self.positives)


class EpochPlanner:
    """Plans the epochs of a training set; every epoch has the same number of micro-batches.

    Args:
        speakers: the speaker's number of each utterance, (utterances,).
        sampler: one of SAMPLERS.
        micro_batch: chunks in a micro-batch.
        micro_batches: `batches` is a multiple of this; what is left of an epoch is left out.
        chunk_frames: every micro-batch draws one of these lengths.
        chunks_per_utterance: how often an epoch goes through the utterances ("balanced": on average).
        utterances_per_speaker: K of "speakers_by_utterances"; speakers with fewer utterances are left out.
        max_per_speaker: an epoch uses at most so many utterances of a speaker, other ones each time; 0: all.

    Attributes:
        batches: micro-batches in an epoch.
        group_size: rows of a micro-batch that belong together: K, 3 for triplets, otherwise 1.
        speakers_left_out: how many speakers have too few utterances to be drawn.

    Raises:
        InputError: the set does not fill one batch.
    """

    def __init__(
        self,
        speakers: np.ndarray,
        *,
        sampler: str,
        micro_batch: int,
        chunk_frames: Sequence[int],
        seed: int,
        micro_batches: int = 1,
        chunks_per_utterance: int = 1,
        utterances_per_speaker: int = 2,
        max_per_speaker: int = 0,
    ) -> None:
        self.sampler, self.micro_batch, self.seed = sampler, micro_batch, seed
        self._chunk_frames, self._passes = np.array(chunk_frames), chunks_per_utterance
        self._speakers = np.unique(speakers, return_inverse=True)[1]
        self._by_speaker = _stable_order(self._speakers)
        self._sizes = np.bincount(self._speakers)
        self._kept = np.minimum(self._sizes, max_per_speaker) if max_per_speaker else self._sizes
        self.group_size = {"speakers_by_utterances": utterances_per_speaker, "triplets": 3}.get(sampler, 1)
        if micro_batch % self.group_size:
            raise InputError(
                f"data.micro_batch is {micro_batch}, but the sampler {sampler} fills it {self.group_size} chunks at a "
                f"time: make it a multiple of {self.group_size}"
            )
        self._width = micro_batch // self.group_size
        drawn_together = 2 if sampler == "triplets" else self.group_size  # of one speaker
        self._groups = self._kept // drawn_together
        self.speakers_left_out = int((self._groups == 0).sum())
        self._check_speakers(drawn_together)
        total = int(self._groups.sum()) * chunks_per_utterance
        batches = total // self._width
        if sampler == "speakers_by_utterances":
            batches = _most_batches(self._groups * chunks_per_utterance, self._width)
        self.batches = batches // micro_batches * micro_batches
        if not self.batches:
            raise InputError(
                f"{len(self._speakers)} training utterances do not fill one batch of {micro_batch * micro_batches} "
                f"chunks: lower data.micro_batch or raise data.chunks_per_utterance"
            )

    def _check_speakers(self, utterances: int) -> None:
        needed = {"speakers_by_utterances": self._width, "triplets": 1}.get(self.sampler, 0)
        able = len(self._groups) - self.speakers_left_out
        if able < needed:
            raise InputError(
                f"{able} speakers have the {utterances} utterances that the sampler {self.sampler} needs "
                f"of each, and {needed} different ones are wanted in a micro-batch: lower data.micro_batch"
            )
        if self.sampler == "triplets" and len(self._sizes) < 2:
            raise InputError("the sampler triplets needs the utterances of at least two speakers")

    def plan(self, epoch: int) -> EpochPlan:
        """The plan of one epoch, from 0."""
        rng = np.random.default_rng([self.seed, epoch])
        order = getattr(self, f"_{self.sampler}")(rng).ravel()
        shape = self.batches, self.micro_batch
        return EpochPlan(
            order.reshape(shape), occurrences(order).reshape(shape), rng.choice(self._chunk_frames, size=self.batches)
        )

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        kept = np.sort(self._keep(rng))
        return np.concatenate([rng.permutation(kept) for _ in range(self._passes)])[: self.batches * self.micro_batch]

    def _balanced(self, rng: np.random.Generator) -> np.ndarray:
        count, speakers = self.batches * self.micro_batch, len(self._sizes)
        counts = np.full(speakers, count // speakers)
        counts[rng.permutation(speakers)[: count % speakers]] += 1
        drawn = draw_from_groups(rng, self._keep(rng), self._kept, counts)
        return drawn[_spread(rng, self._speakers[drawn], self.batches, self._width)]

    def _speakers_by_utterances(self, rng: np.random.Generator) -> np.ndarray:
        groups = self._draw_groups(rng, self._keep(rng), self.group_size)
        return groups[_spread(rng, self._speakers[groups[:, 0]], self.batches, self._width)]

    def _triplets(self, rng: np.random.Generator) -> np.ndarray:
        kept = self._keep(rng)
        pairs = self._draw_groups(rng, kept, 2)
        pairs = pairs[rng.permutation(len(pairs))[: self.batches * self._width]]
        own = self._speakers[pairs[:, 0]]
        starts = np.cumsum(self._kept) - self._kept
        others = rng.integers(0, len(kept) - self._kept[own])  # a place in `kept` when the own speaker is cut out of it
        others += self._kept[own] * (others >= starts[own])
        return np.column_stack([pairs, kept[others]])

    def _keep(self, rng: np.random.Generator) -> np.ndarray:
        """The utterances that this epoch may use, sorted by speaker."""
        if self._kept is self._sizes:
            return self._by_speaker
        return draw_from_groups(rng, self._by_speaker, self._sizes, self._kept)

    def _draw_groups(self, rng: np.random.Generator, kept: np.ndarray, size: int) -> np.ndarray:
        """Utterances of one speaker in each row, (groups, size): in each pass every utterance at most once."""
        counts = self._groups * size
        return np.concatenate(
            [draw_from_groups(rng, kept, self._kept, counts).reshape(-1, size) for _ in range(self._passes)]
        )


def occurrences(order: np.ndarray) -> np.ndarray:
    """For each place of (n,) the number of times its value stood before it."""
    by_value = np.argsort(order, kind="stable")
    counts = np.empty(len(order), np.int64)
    counts[by_value] = _ranks(order[by_value])
    return counts


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value within its run of equal neighbours."""
    places = np.arange(len(values))
    begins = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
    return places - np.maximum.accumulate(np.where(begins, places, 0))


def _stable_order(labels: np.ndarray) -> np.ndarray:
    """What sorts labels from 0 on; by radix, five times as fast, where 16 bits hold them."""
    few = len(labels) == 0 or labels.max() < 1 << 16
    return np.argsort(labels.astype(np.uint16) if few else labels, kind="stable")


def draw_from_groups(
    rng: np.random.Generator, members: np.ndarray, sizes: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """`counts` random members of each group, sorted by group; none a second time before all others of the group.

    members: (sum of sizes,), sorted by group; sizes and counts: (groups,).
    """
    rounds = -(-counts // sizes)
    group = np.repeat(np.arange(len(sizes)), rounds * sizes)
    place = _ranks(group)
    starts = np.cumsum(sizes) - sizes
    round_of = (np.cumsum(rounds) - rounds)[group] + place // sizes[group]
    shuffled = rng.permutation(len(group))
    shuffled = shuffled[_stable_order(round_of[shuffled])]
    drawn = members[(starts[group] + place % sizes[group])[shuffled]]
    return drawn[place < counts[group]]


def _most_batches(groups: np.ndarray, width: int) -> int:
    """The most batches of `width` different speakers that speakers with so many groups each can fill."""
    fewest, most = 0, int(groups.sum()) // width
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if np.minimum(groups, middle).sum() >= middle * width:
            fewest = middle
        else:
            most = middle - 1
    return fewest


def _spread(rng: np.random.Generator, speakers: np.ndarray, batches: int, width: int) -> np.ndarray:
    """Which of the groups, (groups,) with their speakers, stand in which batch, (batches, width).

    No speaker stands twice in a batch where `width` different ones can be had for each. Sorted by speaker, the groups
    are laid down row by row, each row over all batches in random order; a speaker who reaches from one row into the
    next finds free batches there, because nobody has more groups than there are batches.
    """
    speakers = rng.permutation(int(speakers.max()) + 1)[speakers]
    order = rng.permutation(len(speakers))
    order = order[_stable_order(speakers[order])]
    within = order[_ranks(speakers[order]) < batches]
    order = within if len(within) >= batches * width else order
    order = order[np.sort(rng.permutation(len(order))[: batches * width])].reshape(width, batches)
    table = np.empty((width, batches), np.int64)
    for row, groups in enumerate(order):
        names = speakers[groups]
        places = rng.permutation(batches)
        if row and names[0] == speakers[order[row - 1, -1]]:
            taken = speakers[table[row - 1]] == names[0]
            count = int(np.searchsorted(names, names[0], "right"))
            if count <= batches - taken.sum():
                free = places[~taken[places]][:count]
                left = np.ones(batches, bool)
                left[free] = False
                places = np.concatenate([free, places[left[places]]])
        table[row, places] = groups
    return table.T
