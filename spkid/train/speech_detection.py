"""Voice activity decisions by a trained network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from spkid.data.detector_input import DetectorInput
from spkid.kaldi import InputError
from spkid.train.experiment import load_final

CHUNK_FRAMES = 6000  # computed together
CONTEXT_FRAMES = 300  # on both sides of a chunk, as long as the segments of training


class SpeechDetector:
    """The network `lstm_vad` of an experiment directory, deciding frame by frame.

    Args:
        exp_dir: with final.safetensors and final.json.
        threshold: a frame whose probability of speech is greater is speech.
        smoothing: the probability of a frame is the mean over so many on each side of it, too.

    Raises InputError where the network decides about something else.
    """

    def __init__(self, exp_dir: str | Path, threshold: float = 0.5, smoothing: int = 0) -> None:
        model = load_final(exp_dir)
        name = model.description["config"]["model"]["name"]
        if name != "lstm_vad":
            raise InputError(f"{exp_dir}: {name} does not tell where there is speech; egs/vad trains networks that do")
        self._exp, self._network, self._threshold = Path(exp_dir), model.network, threshold
        self._smoothing = smoothing
        self.front_end = model.front_end

    @torch.inference_mode()
    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Features (frames, dims) under the front end's transforms -> probabilities of speech (frames,) float32.

        More than `CHUNK_FRAMES` are computed piece by piece, each with some context around it.
        """
        if features.ndim != 2 or features.shape[1] != self.front_end.dims:
            raise InputError(
                f"features have {features.shape[-1]} dimensions, but the network {self._exp} was trained on "
                f"{self.front_end.dims}"
            )
        found = np.empty(len(features), np.float32)
        for start in range(0, len(features), CHUNK_FRAMES):
            stop = min(start + CHUNK_FRAMES, len(features))
            first = max(start - CONTEXT_FRAMES, 0)
            rows = torch.from_numpy(np.ascontiguousarray(features[first : stop + CONTEXT_FRAMES]))
            found[start:stop] = self._network(rows.unsqueeze(0))[0, start - first : stop - first].numpy()
        return found

    def decide(self, features: np.ndarray) -> np.ndarray:
        """Features (frames, dims) -> decisions (frames,) float32, 1 for speech. Raises InputError without a frame."""
        if not len(features):
            raise InputError("is too short: not a single frame fits in it")
        probabilities = _mean_around(self.probabilities(features), self._smoothing)
        if not np.isfinite(probabilities).all():
            raise InputError("the network's output is not finite")
        return (probabilities > self._threshold).astype(np.float32)

    def decisions(
        self, data_dir: str | Path, utterances: Sequence[str]
    ) -> Iterator[tuple[str, np.ndarray | InputError]]:
        """Of each utterance its decisions, one for each of the directory's frames, or the reason why there are none."""
        failed: dict[str, str] = {}
        given = DetectorInput(self.front_end, data_dir, utterances, failed)
        yield from ((utterance, InputError(reason)) for utterance, reason in failed.items())
        for index, utterance in enumerate(given.source.ids):
            try:
                decided = given.fit(utterance, self.decide(given.source.whole(index)))
            except InputError as error:
                decided = error
            yield utterance, decided


def _mean_around(values: np.ndarray, context: int) -> np.ndarray:
    """The mean of each value (frames,) and of up to `context` on each side of it."""
    if not context:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    rows = np.arange(len(values))
    begin, end = np.maximum(rows - context, 0), np.minimum(rows + context + 1, len(values))
    return (sums[end] - sums[begin]) / (end - begin)
