"""Embeddings of utterances of any length."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

DEFAULT_CHUNK_FRAMES = 10000  # Kaldi: steps/nnet3/xvector/extract_xvectors.sh, --chunk-size
DEFAULT_MIN_FRAMES = 25  # the same, --min-chunk-size


def training_output(model: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What the loss sees: the embedding, unless the network says otherwise."""
    return model.training_output(features) if hasattr(model, "training_output") else model(features)


def in_precision(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network computes in "float32" or "bf16"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@torch.inference_mode()
def embed_batch(
    model: torch.nn.Module,
    features: np.ndarray,
    device: torch.device,
    lengths: np.ndarray | None = None,
    precision: str = "float32",
) -> np.ndarray:
    """Embeddings of a batch: (batch, frames, dims) or waveforms (batch, samples) -> (batch, embedding_dim) float32.

    lengths: (batch,) frames that count in each row, for networks that take them.
    """
    inputs = [torch.from_numpy(features).to(device)]
    if lengths is not None:
        inputs.append(torch.from_numpy(lengths))
    with in_precision(device, precision):
        return model(*inputs).float().cpu().numpy()


def embed_utterance(
    model: torch.nn.Module,
    read_rows: Callable[[int, int], np.ndarray],
    frames: int,
    device: torch.device,
    chunk_frames: int = DEFAULT_CHUNK_FRAMES,
    min_frames: int = DEFAULT_MIN_FRAMES,
    precision: str = "float32",
) -> np.ndarray:
    """The embedding of one utterance, (embedding_dim,) float32, holding no more than one chunk of it.

    Chunks of `chunk_frames` are embedded one by one and averaged by their lengths; a chunk shorter than `min_frames` is
    padded (`pad`). Frames are samples where the network takes waveforms.
    """
    total = np.zeros(1)
    for start in range(0, frames, chunk_frames):
        stop = min(start + chunk_frames, frames)
        chunk = pad(read_rows(start, stop), min_frames)
        vector = embed_batch(model, chunk[None], device, precision=precision)[0]
        total = total + (stop - start) * vector.astype(np.float64)
    return (total / frames).astype(np.float32)


def pad(chunk: np.ndarray, min_frames: int) -> np.ndarray:
    """At least `min_frames` rows.

    Of features (frames, dims) the first and the last one are repeated, as Kaldi's nnet3-xvector-compute
    --pad-input=true does; a waveform (samples,) is repeated from its beginning, as the VoxCeleb trainer does.
    """
    missing = min_frames - len(chunk)
    if missing <= 0:
        return np.ascontiguousarray(chunk)
    if chunk.ndim == 1:
        return np.resize(chunk, min_frames)
    return np.pad(chunk, ((missing // 2, missing - missing // 2), (0, 0)), mode="edge")


def stack_padded(chunks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Chunks (frames, dims) as one batch, zeros behind shorter ones, and their lengths; None where all are equal."""
    lengths = np.array([len(chunk) for chunk in chunks])
    if (lengths == lengths[0]).all():
        return np.stack(chunks), None
    batch = np.zeros((len(chunks), int(lengths.max()), *chunks[0].shape[1:]), np.float32)
    for row, chunk in zip(batch, chunks, strict=True):
        row[: len(chunk)] = chunk
    return batch, lengths


def evaluation_crops(chunk: np.ndarray, crops: int, frames: int) -> np.ndarray:
    """Crops of one length at even distances, (crops, frames, dims), or (crops, samples) of a waveform.

    They begin at int(linspace(0, rows - frames, crops)), as in the VoxCeleb trainer (DatasetLoader.py, loadWAV); an
    utterance that is no longer than a crop is repeated to one row more.
    """
    if len(chunk) <= frames:
        chunk = np.resize(chunk, (frames + 1, *chunk.shape[1:]))
    starts = np.linspace(0, len(chunk) - frames, crops).astype(np.int64)
    return np.stack([chunk[start : start + frames] for start in starts])
