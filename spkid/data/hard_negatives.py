"""Deep Speaker's hard triplets: a table of the embeddings of the last rounds, and the worst mistakes in it.

A round embeds the chunks of `HardNegatives.plan_round` with the current network, puts them into the table, and trains
on the chunks of `HardNegatives.plan_triplets`. With the defaults that is 640 speakers x 2 utterances a round, 20 rounds
= 25,600 candidates; 16 anchors, each with its 2 most similar negatives and 2 least similar positives: 32 triplets.

A chunk is told by its utterance and its draw, a number that no two rounds share: read with the same seed and epoch it
is the same chunk again, so that training sees what was compared. Li et al., "Deep Speaker", 2017, with the similarity
row of the anchor itself.
"""

from typing import Any

import numpy as np
import torch

from spkid.data.plan import EpochPlan, HardNegativeOptions, draw_from_groups, occurrences
from spkid.kaldi import InputError

EPOCH = 0  # of every chunk: the draw alone tells rounds apart
EMBEDDED_TOGETHER = 128  # chunks, at most


class HistoryTable:
    """The newest embeddings, of length 1, with their speakers and chunks; on the device they are compared on.

    Args:
        rows: how many are kept; the oldest go first.
        dims: of an embedding.
    """

    def __init__(self, rows: int, dims: int, device: torch.device | str = "cpu") -> None:
        self._embeddings = torch.zeros(rows, dims, device=device)
        self._speakers = torch.zeros(rows, dtype=torch.int64, device=device)
        self._utterances = torch.zeros(rows, dtype=torch.int64, device=device)
        self._draws = torch.zeros(rows, dtype=torch.int64)
        self._next = self._filled = 0

    def __len__(self) -> int:
        return self._filled

    def add(self, embeddings: torch.Tensor, speakers: np.ndarray, utterances: np.ndarray, draws: np.ndarray) -> None:
        """Adds embeddings (n, dims) of any length and the speakers, utterances and draws behind them, (n,).

        Raises:
            InputError: an embedding is zero, NaN or infinite.
        """
        lengths = torch.linalg.vector_norm(embeddings.detach().float(), dim=1, keepdim=True)
        bad = ~torch.isfinite(lengths) | (lengths == 0)
        if bad.any():
            raise InputError(
                f"{int(bad.sum())} of the {len(embeddings)} embeddings of a round are zero, NaN or infinite: the "
                f"network has broken down; lower optimizer.lr"
            )
        places = (torch.arange(len(embeddings)) + self._next) % len(self._draws)
        self._draws[places] = torch.from_numpy(np.asarray(draws, np.int64))
        self._next = (self._next + len(embeddings)) % len(self._draws)
        self._filled = min(self._filled + len(embeddings), len(self._draws))
        places = places.to(self._embeddings.device)
        self._embeddings[places] = (embeddings.detach().float() / lengths).to(self._embeddings.device)
        self._speakers[places] = torch.from_numpy(np.asarray(speakers, np.int64)).to(places.device)
        self._utterances[places] = torch.from_numpy(np.asarray(utterances, np.int64)).to(places.device)

    def select(self, rng: np.random.Generator, anchors: int, negatives: int, positives: int) -> np.ndarray:
        """The hardest triplets of some random anchors, as rows of the table.

        An anchor's negatives are the most similar embeddings of other speakers, its positives the least similar ones of
        the same speaker's other utterances; the hardest go together, the second hardest, and so on. Where there are
        fewer, the hardest is taken again.

        Returns:
            (anchors * max(negatives, positives), 3): anchor, positive, negative; an anchor's triplets are neighbours.

        Raises:
            InputError: nobody in the table has two utterances, or all is of one speaker.
        """
        embeddings, speakers, utterances = (
            values[: self._filled] for values in (self._embeddings, self._speakers, self._utterances)
        )
        rows = torch.from_numpy(rng.choice(*self._anchor_choice(anchors))).to(embeddings.device)
        similarity = embeddings[rows] @ embeddings.T
        same_speaker = speakers[rows, None] == speakers
        is_positive = same_speaker & (utterances[rows, None] != utterances)
        nearest = similarity.masked_fill(same_speaker, -torch.inf).topk(min(negatives, self._filled))
        farthest = similarity.masked_fill(~is_positive, torch.inf).topk(min(positives, self._filled), largest=False)
        hard_negatives, hard_positives = (
            torch.where(torch.isinf(found.values), found.indices[:, :1], found.indices) for found in (nearest, farthest)
        )
        step = torch.arange(max(negatives, positives), device=rows.device)
        triplets = torch.stack(
            [
                rows[:, None].expand(-1, len(step)),
                hard_positives[:, step % hard_positives.shape[1]],
                hard_negatives[:, step % hard_negatives.shape[1]],
            ],
            dim=2,
        )
        return triplets.flatten(0, 1).cpu().numpy()

    def _anchor_choice(self, anchors: int) -> tuple[np.ndarray, int, bool]:
        """Rows that have a positive and a negative, how many are wanted, and whether one may be taken twice."""
        speakers, utterances = (values[: self._filled].cpu().numpy() for values in (self._speakers, self._utterances))
        utterances_here = np.unique(utterances, return_index=True)[1]
        found, counts = np.unique(speakers[utterances_here], return_counts=True)
        rows = np.flatnonzero(np.isin(speakers, found[counts > 1]))
        if len(rows) == 0 or len(found) < 2:
            raise InputError("hard negatives need at least two speakers, one of them with two utterances")
        return rows, anchors, len(rows) < anchors

    def chunks(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The utterances and the draws behind some rows, of the shape of `rows`."""
        index = torch.from_numpy(rows)
        return self._utterances.cpu()[index].numpy(), self._draws[index].numpy()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; tensors are on the CPU."""
        tensors = {name: getattr(self, f"_{name}").cpu() for name in ("embeddings", "speakers", "utterances", "draws")}
        return {**tensors, "next": self._next, "filled": self._filled}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave. Raises ValueError for a table of another size."""
        if state["embeddings"].shape != self._embeddings.shape:
            raise ValueError(
                f"the table of hard negatives is {tuple(self._embeddings.shape)}, but the checkpoint has one of "
                f"{tuple(state['embeddings'].shape)}"
            )
        for name in ("embeddings", "speakers", "utterances", "draws"):
            getattr(self, f"_{name}").copy_(state[name])
        self._next, self._filled = state["next"], state["filled"]


class HardNegatives:
    """The rounds of training on hard triplets.

    Args:
        speakers: the speaker's number of each training utterance, (utterances,).
        chunk_frames: the one length of all chunks.
        dims: of an embedding.

    Attributes:
        table: the history.
        speakers_left_out: how many speakers have too few utterances to be drawn.

    Raises:
        InputError: too few speakers have `options.utterances` utterances.

    Example of one round:
        plan = rounds.plan_round(number)
        rounds.add(plan, embeddings)  # of all its chunks, in order: (1280, dims)
        triplets = rounds.plan_triplets(number)  # one micro-batch of 96 chunks
    """

    def __init__(
        self,
        speakers: np.ndarray,
        options: HardNegativeOptions,
        *,
        chunk_frames: int,
        seed: int,
        dims: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.options, self._chunk_frames, self._seed = options, chunk_frames, seed
        self._speakers = np.unique(speakers, return_inverse=True)[1]
        self._by_speaker = np.argsort(self._speakers, kind="stable")
        self._sizes = np.bincount(self._speakers)
        self._candidates = np.flatnonzero(self._sizes >= options.utterances)
        if len(self._candidates) < 2:
            raise InputError(
                f"hard negatives need at least two speakers with {options.utterances} utterances, and "
                f"{len(self._candidates)} have them"
            )
        self.speakers_left_out = len(self._sizes) - len(self._candidates)
        self._embedded = options.speakers * options.utterances
        self.table = HistoryTable(self._embedded * options.rounds, dims, device)

    @property
    def rounds_per_epoch(self) -> int:
        """How many rounds embed about as many chunks as there are utterances."""
        return max(1, round(len(self._speakers) / self._embedded))

    def plan_round(self, number: int) -> EpochPlan:
        """The chunks to embed in round `number`, from 0: different utterances of random speakers.

        A speaker comes twice only where there are fewer speakers than a round wants.
        """
        rng = np.random.default_rng([self._seed, number, 0])
        wanted = self.options.speakers
        drawn = rng.choice(self._candidates, wanted, replace=len(self._candidates) < wanted)
        sizes = self._sizes[drawn]
        starts = (np.cumsum(self._sizes) - self._sizes)[drawn]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        members = self._by_speaker[np.repeat(starts, sizes) + within]
        order = draw_from_groups(rng, members, sizes, np.full(wanted, self.options.utterances))
        together = max(size for size in range(1, EMBEDDED_TOGETHER + 1) if self._embedded % size == 0)
        draws = number * self._embedded + occurrences(order)
        return self._plan(order.reshape(-1, together), draws.reshape(-1, together))

    def add(self, plan: EpochPlan, embeddings: torch.Tensor) -> None:
        """Puts the embeddings of a round's chunks, (chunks, dims) in the order of the plan, into the table."""
        utterances = plan.utterances.ravel()
        self.table.add(embeddings, self._speakers[utterances], utterances, plan.draws.ravel())

    def plan_triplets(self, number: int) -> EpochPlan:
        """One micro-batch, (1, 3 * triplets): anchor, positive, negative, anchor, ... selected after round `number`."""
        rng = np.random.default_rng([self._seed, number, 1])
        options = self.options
        rows = self.table.select(rng, options.anchors, options.negatives, options.positives)
        return self._plan(*self.table.chunks(rows.reshape(1, -1)))

    def _plan(self, utterances: np.ndarray, draws: np.ndarray) -> EpochPlan:
        return EpochPlan(utterances, draws, np.full(len(utterances), self._chunk_frames))
