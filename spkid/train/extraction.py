"""Embeddings of a data directory's utterances by a trained network."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from spkid.data.division import WAVEFORM, open_for_front_end
from spkid.kaldi import InputError
from spkid.nnet import takes_lengths
from spkid.train.devices import pick_device
from spkid.train.embed import embed_batch, embed_utterance, evaluation_crops, pad, stack_padded
from spkid.train.experiment import load_final
from spkid.train.extraction_options import ExtractionOptions, crop_rows, rows_per_frame
from spkid.train.inference import prefer_onednn
from spkid.train.memory import keep_freed_memory


@dataclass
class ReadBatch:
    """Utterances of a batch: those that were read, those that are read chunk by chunk, those that cannot be."""

    chunks: dict[str, np.ndarray] = field(default_factory=dict)
    long: list[str] = field(default_factory=list)
    failed: dict[str, InputError] = field(default_factory=dict)


class Extractor:
    """Embeds batches of a data directory's utterances."""

    def __init__(
        self, exp_dir: str | Path, data_dir: str | Path, utterances: Sequence[str], options: ExtractionOptions
    ) -> None:
        torch.set_num_threads(options.num_threads)
        keep_freed_memory()
        self._device = pick_device("cuda" if options.use_gpu else "cpu")
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
        model = load_final(exp_dir, self._device)
        if options.layer:
            if not hasattr(model.network, "layer"):
                raise InputError(f"{exp_dir}: --layer is of x-vectors; this network has one embedding")
            model.network.layer = options.layer
        self._network, self._options = model.network, options
        self._takes_lengths = takes_lengths(model.description["config"]["model"]["name"])
        if self._device.type == "cpu":
            prefer_onednn(self._network)
        is_waveform, rows = model.front_end.type == WAVEFORM, rows_per_frame(model.front_end)
        needed = getattr(self._network, "min_samples" if is_waveform else "min_frames", 1)
        self._unit = "samples" if is_waveform else "frames"
        self._chunk, self._least = options.chunk_size * rows, max(options.min_chunk_size * rows, needed)
        self._crop = max(crop_rows(model.front_end, options.crop_frames), needed)
        self._together = max(1, options.most_frames // options.crop_frames)
        self._failed: dict[str, str] = {}
        self._source = open_for_front_end(model.front_end, data_dir, utterances, self._failed)
        self._index = {utterance: index for index, utterance in enumerate(self._source.ids)}
        self._reading = Lock()

    def embed(self, batches: Iterable[Sequence[str]]) -> Iterator[tuple[str, np.ndarray | InputError]]:
        """The embedding (embedding_dim,) of each utterance, or why there is none; of crops (crops, embedding_dim).

        While a batch is computed, the next one is read.
        """
        with ThreadPoolExecutor(1) as reader:
            upcoming = None
            for batch in batches:
                ready, upcoming = upcoming, reader.submit(self._read, batch)
                if ready is not None:
                    yield from self._compute(ready.result())
            if upcoming is not None:
                yield from self._compute(upcoming.result())

    def _read(self, batch: Sequence[str]) -> ReadBatch:
        read = ReadBatch()
        for utterance in batch:
            try:
                index, length = self._check(utterance)
                if length > self._chunk and not self._options.crops:
                    read.long.append(utterance)
                else:
                    read.chunks[utterance] = self._rows(index, 0, length)
            except InputError as error:
                read.failed[utterance] = error
        return read

    def _rows(self, index: int, start: int, stop: int) -> np.ndarray:
        with self._reading:  # sources keep files open, and their place in them
            return self._source.rows(index, start, stop)

    def _check(self, utterance: str) -> tuple[int, int]:
        if utterance not in self._index:
            raise InputError(self._failed.get(utterance, "is not in the data directory"))
        index = self._index[utterance]
        length = int(self._source.num_frames[index])
        if length < 1:
            raise InputError("no frame of speech is left")
        if length < self._least and not self._options.pad_input:
            raise InputError(f"has {length} {self._unit}, fewer than the {self._least} that are needed")
        return index, length

    def _compute(self, read: ReadBatch) -> Iterator[tuple[str, np.ndarray | InputError]]:
        yield from read.failed.items()
        for utterance in read.long:
            try:
                yield utterance, _finite(self._embed_long(self._index[utterance]))
            except InputError as error:
                yield utterance, error
        if not read.chunks:
            return
        embed = self._embed_crops if self._options.crops else self._embed_chunks
        for utterance, vector in zip(read.chunks, embed(list(read.chunks.values())), strict=True):
            yield utterance, _finite(vector)

    def _embed_chunks(self, chunks: list[np.ndarray]) -> np.ndarray:
        """(chunks, embedding_dim), computed together where they have one length or the network takes lengths."""
        chunks = [pad(chunk, self._least) for chunk in chunks]
        if self._takes_lengths:
            groups = [np.arange(len(chunks))]
        else:
            lengths = np.array([len(chunk) for chunk in chunks])
            groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        vectors = [self._embed_batch([chunks[row] for row in group]) for group in groups]
        return np.concatenate(vectors)[np.argsort(np.concatenate(groups))]

    def _embed_crops(self, chunks: list[np.ndarray]) -> np.ndarray:
        """(chunks, crops, embedding_dim), computed as many at a time as are computed together."""
        crops = np.concatenate([evaluation_crops(chunk, self._options.crops, self._crop) for chunk in chunks])
        starts = range(0, len(crops), self._together)
        vectors = [self._embed_batch(list(crops[start : start + self._together])) for start in starts]
        return np.concatenate(vectors).reshape(len(chunks), self._options.crops, -1)

    def _embed_batch(self, chunks: list[np.ndarray]) -> np.ndarray:
        inputs, lengths = stack_padded(chunks)
        return embed_batch(self._network, inputs, self._device, lengths, self._options.precision)

    def _embed_long(self, index: int) -> np.ndarray:
        length = int(self._source.num_frames[index])
        remainder = length % self._chunk
        if not self._options.pad_input and 0 < remainder < self._least:
            length -= remainder
        return embed_utterance(
            self._network,
            lambda start, stop: self._rows(index, start, stop),
            length,
            self._device,
            self._chunk,
            self._least,
            self._options.precision,
        )


def _finite(vector: np.ndarray) -> np.ndarray | InputError:
    return vector if np.isfinite(vector).all() else InputError("the network's output is not finite")
