"""Features from neighbouring frames: time derivatives and splicing (Kaldi's feat/feature-functions.cc)."""

from __future__ import annotations

import numpy as np

from spkid.features.options import DeltaOptions


def delta_scales(options: DeltaOptions) -> list[np.ndarray]:
    """Weights of the frames around a frame in its derivative of each order, 0 to delta_order: float32 (1 + 2k,)."""
    window = options.delta_window
    slope = np.arange(-window, window + 1, dtype=np.float64)
    slope /= np.sum(slope * slope)
    scales = [np.ones(1)]
    for _ in range(options.delta_order):
        # Correlating with the slope twice is correlating with its convolution with itself.
        scales.append(np.convolve(scales[-1], slope))
    return [scale.astype(np.float32) for scale in scales]


def add_deltas(features: np.ndarray, options: DeltaOptions | None = None) -> np.ndarray:
    """Append the first to the delta_order-th time derivative, the first and last frame repeated outwards.

    Args:
        features: (frames, dims).

    Returns:
        (frames, dims * (1 + delta_order)) float32.
    """
    options = options or DeltaOptions()
    frames, dims = features.shape
    output = np.zeros((frames, dims * (1 + options.delta_order)), np.float32)
    if not frames:
        return output
    reach = options.delta_order * options.delta_window
    padded = np.pad(np.asarray(features, np.float32), ((reach, reach), (0, 0)), mode="edge")
    for order, scales in enumerate(delta_scales(options)):
        target = output[:, order * dims : (order + 1) * dims]
        first = reach - len(scales) // 2
        for offset, scale in enumerate(scales):
            if scale:
                target += scale * padded[first + offset : first + offset + frames]
    return output


def splice(features: np.ndarray, left: int, right: int) -> np.ndarray:
    """Join each frame with the `left` frames before and the `right` frames after it, ends repeated.

    Args:
        features: (frames, dims).

    Returns:
        (frames, (left + 1 + right) * dims), in order of time.

    Raises:
        ValueError: if `left` or `right` is negative.
    """
    if left < 0 or right < 0:
        raise ValueError(f"the context must not be negative, not {left} and {right}")
    frames = len(features)
    rows = np.clip(np.arange(frames)[:, None] + np.arange(-left, right + 1), 0, max(frames - 1, 0))
    return features[rows].reshape(frames, -1) if frames else features.reshape(0, (left + 1 + right) * features.shape[1])
