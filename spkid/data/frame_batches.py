"""Batches of single frames with their context, for networks that classify frames (`frame_mlp`).

An epoch holds every frame of every utterance once, shuffled over the whole set. A frame comes with its neighbours,
(frames, dims), the first and last frame of an utterance repeated outwards: T frames give T windows.
"""

import numpy as np
import torch

from spkid.data.batches import Batch, MicroBatches
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError

WINDOWS_AT_ONCE = 8192  # of an utterance in one pass of the network


class FrameBatches(MicroBatches):
    """The micro-batches of an epoch by their number; in the place of one that cannot be read, the reason.

    Its inputs are (micro_batch, frames, dims), its labels the speakers, (micro_batch,). What does not fill
    `micro_batches` of them is left out, other frames in each epoch. In memory lies the order, 8 bytes a frame; rows of
    features are read by offset unless `source` keeps them.

    Args:
        labels: the speaker's number of each utterance, (utterances,).
        frames: frames in a window; the one that is classified is number frames // 2.

    Raises:
        InputError: the set does not fill one batch.
    """

    def __init__(
        self,
        source: FeatureSource | MemorySource,
        labels: np.ndarray,
        *,
        frames: int,
        micro_batch: int,
        seed: int,
        epoch: int,
        micro_batches: int = 1,
    ) -> None:
        self.source, self.labels, self.frames, self.micro_batch = source, labels.astype(np.int64), frames, micro_batch
        self._ends = np.cumsum(source.num_frames)
        total = int(source.num_frames.sum())
        self._batches = total // (micro_batch * micro_batches) * micro_batches
        if not self._batches:
            raise InputError(
                f"{total} frames of training do not fill one batch of {micro_batch * micro_batches}: lower "
                f"data.micro_batch"
            )
        self._order = np.random.default_rng([seed, epoch]).permutation(total)[: self._batches * micro_batch]

    def __len__(self) -> int:
        return self._batches

    def _read(self, number: int) -> Batch:
        places = self._order[number * self.micro_batch : (number + 1) * self.micro_batch]
        utterances = np.searchsorted(self._ends, places, "right")
        centres = places - (self._ends - self.source.num_frames)[utterances]
        return Batch(
            torch.from_numpy(self._windows(utterances, centres)),
            torch.from_numpy(self.labels[utterances]),
            [self.source.ids[index] for index in utterances],
        )

    def _windows(self, utterances: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """The frames around some frames, (n, frames, dims) float32."""
        last = self.source.num_frames[utterances] - 1
        rows = centres[:, None] + np.arange(self.frames) - self.frames // 2
        rows = np.clip(rows, 0, last[:, None])
        if isinstance(self.source, MemorySource):
            return self.source.gather(utterances, rows)
        windows = np.empty((*rows.shape, self.source.dims), np.float32)
        for place, (index, wanted) in enumerate(zip(utterances, rows, strict=True)):
            read = self.source.rows(int(index), int(wanted[0]), int(wanted[-1]) + 1)
            windows[place] = read[wanted - wanted[0]]
        return windows


def utterance_decisions(
    network: torch.nn.Module, source: FeatureSource | MemorySource, frames: int, device: torch.device | str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Which speaker each utterance is of: the largest sum of log-probabilities over its frames.

    Args:
        network: (batch, frames, dims) -> log-probabilities (batch, classes).
        frames: in a window, as in training.

    Returns:
        decisions (utterances,) int64 and the sums behind them (utterances, classes) float64.

    Raises:
        InputError: an utterance cannot be read or has no frames.
    """
    training = network.training
    network.eval()
    sums = []
    with torch.inference_mode():
        for index in range(len(source)):
            features = source.whole(index)
            if not len(features):
                raise InputError(f"utterance {source.ids[index]} has no frames: nothing can be decided about it")
            padded = np.pad(features, ((frames // 2, frames - 1 - frames // 2), (0, 0)), mode="edge")
            pieces = torch.from_numpy(padded).unfold(0, frames, 1).transpose(1, 2).split(WINDOWS_AT_ONCE)
            sums.append(sum(network(piece.to(device)).double().sum(dim=0).cpu() for piece in pieces).numpy())
    network.train(training)
    return np.stack(sums).argmax(axis=1), np.stack(sums)
