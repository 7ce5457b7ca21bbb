"""Who of the training speakers speaks in an utterance: closed-set identification by a network that names speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spkid.data.division import open_for_front_end
from spkid.data.frame_batches import utterance_decisions
from spkid.kaldi import InputError
from spkid.train.checkpoint import load_last_weights
from spkid.train.experiment import load_final
from spkid.train.initialization import SPEAKERS

NETWORK = "frame_mlp"


@dataclass(frozen=True)
class Classification:
    """What a network makes of some utterances.

    Attributes:
        utterances: their ids.
        speakers: the classes, in the order of the network's outputs.
        log_probabilities: (utterances, speakers) float64, sums over the frames of an utterance.
        num_frames: (utterances,) int64.
    """

    utterances: list[str]
    speakers: list[str]
    log_probabilities: np.ndarray
    num_frames: np.ndarray

    @property
    def decided(self) -> list[str]:
        """The speaker of the largest sum for each utterance."""
        return [self.speakers[index] for index in self.log_probabilities.argmax(axis=1)]


def classify(
    exp_dir: str | Path, data_dir: str | Path, utterances: Sequence[str], failed: dict[str, str], last: bool = False
) -> Classification:
    """Decides about utterances of a data directory by the network of an experiment, `frame_mlp`.

    last: by the weights after the last epoch of training, instead of the final ones (which may be the best epoch's).
    `failed` receives the utterances that cannot be used (id -> reason).

    Raises InputError where the network names no speakers, its features are made otherwise, or nothing can be read.
    """
    exp = Path(exp_dir)
    model = load_final(exp)
    name = model.description["config"]["model"]["name"]
    if name != NETWORK:
        raise InputError(
            f"{exp}: {name} gives vectors, not the names of speakers: steps/extract_xvectors.py, "
            "steps/score_trials.py and `steps/evaluate.py --top-k 1` identify with these"
        )
    if last:
        load_last_weights(model.network, exp)
    try:
        speakers = (exp / SPEAKERS).read_text(encoding="utf-8").split()
    except OSError as error:
        raise InputError(f"{exp / SPEAKERS}: cannot be read ({error.strerror})") from None
    if len(speakers) != model.network.embedding_dim:
        raise InputError(
            f"{exp / SPEAKERS}: names {len(speakers)} speakers, but the network has {model.network.embedding_dim}"
        )
    source = open_for_front_end(model.front_end, data_dir, utterances, failed)
    if not source.ids:
        raise InputError(f"{data_dir}: no utterance can be used; {next(iter(failed.items()), 'it holds none')}")
    _, sums = utterance_decisions(model.network, source, model.network.frames)
    return Classification(list(source.ids), speakers, sums, np.asarray(source.num_frames))
