"""Embeddings of a data directory's utterances by a trained network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spkid.data.division import open_for_front_end
from spkid.kaldi import InputError
from spkid.train.devices import pick_device
from spkid.train.embed import embed_batch, embed_utterance, pad
from spkid.train.experiment import load_final


@dataclass(frozen=True)
class ExtractionSettings:
    """chunk_frames: longer utterances are averaged over chunks; min_frames: shorter ones are padded or refused."""

    chunk_frames: int
    min_frames: int
    pad_input: bool = True
    threads: int = 1
    use_gpu: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_frames <= self.chunk_frames:
            raise InputError(
                f"--min-chunk-size={self.min_frames} must lie between 1 and --chunk-size={self.chunk_frames}"
            )
        if self.threads < 1:
            raise InputError(f"--num-threads must be positive, not {self.threads}")


class Extractor:
    """Embeds batches of a data directory's utterances."""

    def __init__(
        self, exp_dir: str | Path, data_dir: str | Path, utterances: Sequence[str], settings: ExtractionSettings
    ) -> None:
        torch.set_num_threads(settings.threads)
        self._device = pick_device("cuda" if settings.use_gpu else "cpu")
        model = load_final(exp_dir, self._device)
        self._network, self._settings = model.network, settings
        self._min_frames = max(settings.min_frames, getattr(model.network, "min_frames", 1))
        self._failed: dict[str, str] = {}
        self._source = open_for_front_end(model.front_end, data_dir, utterances, self._failed)
        self._index = {utterance: index for index, utterance in enumerate(self._source.ids)}

    def embed(self, batch: Sequence[str]) -> Iterator[tuple[str, np.ndarray | InputError]]:
        """The embedding (embedding_dim,) of each utterance of a batch, or why there is none."""
        ready: list[str] = []
        chunks: list[np.ndarray] = []
        for utterance in batch:
            try:
                index, frames = self._check(utterance)
                if frames > self._settings.chunk_frames:
                    yield utterance, self._embed_long(index, frames)
                    continue
                chunks.append(pad(self._source.rows(index, 0, frames), self._min_frames))
                ready.append(utterance)
            except InputError as error:
                yield utterance, error
        for length in sorted({len(chunk) for chunk in chunks}):
            group = [row for row, chunk in enumerate(chunks) if len(chunk) == length]
            vectors = embed_batch(self._network, np.stack([chunks[row] for row in group]), self._device)
            for row, vector in zip(group, vectors, strict=True):
                yield ready[row], _finite(vector)

    def _check(self, utterance: str) -> tuple[int, int]:
        if utterance not in self._index:
            raise InputError(self._failed.get(utterance, "is not in feats.scp"))
        index = self._index[utterance]
        frames = int(self._source.num_frames[index])
        if frames < 1:
            raise InputError("no frame of speech is left")
        if frames < self._min_frames and not self._settings.pad_input:
            raise InputError(f"has {frames} frames, fewer than the {self._min_frames} that are needed")
        return index, frames

    def _embed_long(self, index: int, frames: int) -> np.ndarray | InputError:
        settings = self._settings
        remainder = frames % settings.chunk_frames
        if not settings.pad_input and 0 < remainder < self._min_frames:
            frames -= remainder
        return _finite(
            embed_utterance(
                self._network,
                lambda start, stop: self._source.rows(index, start, stop),
                frames,
                self._device,
                settings.chunk_frames,
                self._min_frames,
            )
        )


def _finite(vector: np.ndarray) -> np.ndarray | InputError:
    return vector if np.isfinite(vector).all() else InputError("the network's output is not finite")
