"""How good a network is while it trains: loss and accuracy on held-out utterances, EER on development trials."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spkid.backend.scoring import score_trials
from spkid.backend.trials import Trials
from spkid.data.audio_source import AudioSource, SpeechAudio
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError
from spkid.metrics import eer
from spkid.train.config import ValidationConfig
from spkid.train.embed import DEFAULT_CHUNK_FRAMES, DEFAULT_MIN_FRAMES, embed_utterance, training_output
from spkid.train.objective import Objective

if TYPE_CHECKING:  # which opens the training set, and that its development trials
    from spkid.train.feeds import Feed


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
def validate(network: torch.nn.Module, objective: Objective, feed: Feed, device: torch.device) -> tuple[float, float]:
    """Mean loss and accuracy over the batches of the feed, the same ones each time."""
    network.eval()
    total, correct, chunks, decisions = 0.0, 0, 0, 0
    for batch in feed.epoch(0):
        output = training_output(network, feed.prepare(batch, device))
        value, right = objective(output, batch.labels.to(device))
        total += value.item() * len(batch.ids)
        chunks += len(batch.ids)
        correct += int(right.sum())
        decisions += right.numel()
    network.train()
    return total / chunks, correct / decisions


@dataclass
class DevelopmentTrials:
    """A development set: its features and labelled trials between its utterances."""

    source: FeatureSource | MemorySource | AudioSource | SpeechAudio
    trials: Trials
    frame_shift: int = 1  # rows of the source for a frame: samples, where they are samples

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
                    DEFAULT_CHUNK_FRAMES * self.frame_shift,
                    min_frames * self.frame_shift,
                )
                for index in range(len(self.source))
            ]
        )
        network.train()
        enroll = np.array([rows[utterance] for utterance in self.trials.enroll_ids])[self.trials.enroll]
        test = np.array([rows[utterance] for utterance in self.trials.test_ids])[self.trials.test]
        scores = score_trials(vectors, vectors, enroll, test)
        return eer(scores[self.trials.is_target], scores[~self.trials.is_target])[0]


@dataclass
class Evaluation:
    """What is measured at the end of an epoch, where there is something to measure it on."""

    config: ValidationConfig
    device: torch.device
    held_out: Feed | None = None
    development: DevelopmentTrials | None = None

    def __call__(self, network: torch.nn.Module, objective: Objective, epoch: int, is_last: bool) -> dict[str, float]:
        """The values of epoch number `epoch` (from 1): "valid_loss", "valid_accuracy", "dev_eer"."""
        values = {}
        if self.held_out is not None and (epoch % self.config.every == 0 or is_last):
            values["valid_loss"], values["valid_accuracy"] = validate(network, objective, self.held_out, self.device)
        every = self.config.trials_every
        if self.development is not None and every and (epoch % every == 0 or is_last):
            min_frames = max(DEFAULT_MIN_FRAMES, getattr(network, "min_frames", 1))
            values["dev_eer"] = float(self.development.eer(network, self.device, min_frames))
        return values
