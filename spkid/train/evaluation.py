"""How good a network is while it trains: loss and accuracy on held-out utterances, EER on development trials."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from spkid.backend.scoring import score_trials
from spkid.backend.trials import Trials
from spkid.data.batches import chunk_rng, read_chunk
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError
from spkid.metrics import eer
from spkid.train.embed import embed_utterance, training_output

EVALUATION_BATCH = 64


def hold_out(ids: Sequence[str], speakers: np.ndarray, fraction: float, max_utterances: int, seed: int) -> np.ndarray:
    """Which utterances are held out for validation, (utterances,) bool.

    Chosen by a hash of the seed and the id, so that another utterance in the list moves no other one; at most a third
    of a speaker's utterances, so that nobody is left without training data.
    """
    wanted = min(round(fraction * len(ids)), max_utterances)
    left = np.bincount(speakers) // 3 if len(ids) else np.zeros(0, int)
    order = sorted(range(len(ids)), key=lambda index: hashlib.blake2b(f"{seed} {ids[index]}".encode()).digest())
    held = np.zeros(len(ids), bool)
    for index in order:
        if wanted == 0:
            break
        if left[speakers[index]] > 0:
            left[speakers[index]] -= 1
            wanted -= 1
            held[index] = True
    return held


@torch.inference_mode()
def validate(
    network: torch.nn.Module,
    loss: torch.nn.Module,
    source: FeatureSource | MemorySource,
    labels: np.ndarray,
    frames: int,
    device: torch.device,
) -> tuple[float, float]:
    """Mean loss and accuracy over one chunk of `frames` of every utterance, the same chunk each time."""
    network.eval()
    total, correct = 0.0, 0
    for first in range(0, len(source), EVALUATION_BATCH):
        members = range(first, min(first + EVALUATION_BATCH, len(source)))
        chunks = [read_chunk(source, one, frames, chunk_rng(0, 0, source.ids[one], 0)) for one in members]
        output = training_output(network, torch.from_numpy(np.stack(chunks)).to(device))
        targets = torch.from_numpy(labels[members.start : members.stop].astype(np.int64)).to(device)
        value, right = loss.loss_and_correct(output, targets)
        total += value.item() * len(members)
        correct += int(right.sum())
    network.train()
    return total / len(source), correct / len(source)


@dataclass
class DevelopmentTrials:
    """A development set: its features and labelled trials between its utterances."""

    source: FeatureSource | MemorySource
    trials: Trials

    def __post_init__(self) -> None:
        if self.trials.is_target is None:
            raise InputError(f"{self.trials.source}: the development trials need labels (target or nontarget)")

    def eer(self, network: torch.nn.Module, device: torch.device, min_frames: int) -> float:
        """The equal error rate of cosine scores, a fraction."""
        network.eval()
        rows = {utterance: row for row, utterance in enumerate(self.source.ids)}
        vectors = np.stack(
            [
                embed_utterance(
                    network,
                    lambda start, stop, index=index: self.source.rows(index, start, stop),
                    int(self.source.num_frames[index]),
                    device,
                    min_frames=min_frames,
                )
                for index in range(len(self.source))
            ]
        )
        network.train()
        enroll = np.array([rows[utterance] for utterance in self.trials.enroll_ids])[self.trials.enroll]
        test = np.array([rows[utterance] for utterance in self.trials.test_ids])[self.trials.test]
        scores = score_trials(vectors, vectors, enroll, test)
        return eer(scores[self.trials.is_target], scores[~self.trials.is_target])[0]
