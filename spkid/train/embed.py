"""Embeddings of utterances of any length."""

from collections.abc import Callable

import numpy as np
import torch

DEFAULT_CHUNK_FRAMES = 10000  # Kaldi: steps/nnet3/xvector/extract_xvectors.sh, --chunk-size
DEFAULT_MIN_FRAMES = 25  # the same, --min-chunk-size


def training_output(model: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What the loss sees: the embedding, unless the network says otherwise."""
    return model.training_output(features) if hasattr(model, "training_output") else model(features)


@torch.inference_mode()
def embed_batch(model: torch.nn.Module, features: np.ndarray, device: torch.device) -> np.ndarray:
    """Embeddings of utterances of one length: (batch, frames, dims) -> (batch, embedding_dim) float32."""
    return model(torch.from_numpy(features).to(device)).float().cpu().numpy()


def embed_utterance(
    model: torch.nn.Module,
    read_rows: Callable[[int, int], np.ndarray],
    frames: int,
    device: torch.device,
    chunk_frames: int = DEFAULT_CHUNK_FRAMES,
    min_frames: int = DEFAULT_MIN_FRAMES,
) -> np.ndarray:
    """The embedding of one utterance, (embedding_dim,) float32, holding no more than one chunk of it.

    Chunks of `chunk_frames` are embedded one by one and averaged by their lengths; a chunk shorter than `min_frames` is
    padded with copies of its first and last frame, as Kaldi's nnet3-xvector-compute --pad-input=true.
    """
    total = np.zeros(1)
    for start in range(0, frames, chunk_frames):
        stop = min(start + chunk_frames, frames)
        chunk = pad(read_rows(start, stop), min_frames)
        total = total + (stop - start) * embed_batch(model, chunk[None], device)[0].astype(np.float64)
    return (total / frames).astype(np.float32)


def pad(chunk: np.ndarray, min_frames: int) -> np.ndarray:
    """At least `min_frames` rows, the first and the last one repeated, (frames, dims); or samples, (samples,)."""
    missing = min_frames - len(chunk)
    if missing <= 0:
        return np.ascontiguousarray(chunk)
    return np.pad(chunk, ((missing // 2, missing - missing // 2), *[(0, 0)] * (chunk.ndim - 1)), mode="edge")
