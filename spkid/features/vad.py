"""Energy-based voice activity decisions (Kaldi's ivector/voice-activity-detection.cc) and what follows from them."""

from __future__ import annotations

import numpy as np

from spkid.features.options import VadOptions, require


def compute_vad(features: np.ndarray, options: VadOptions | None = None) -> np.ndarray:
    """Judge each frame: voiced if enough of the frames around it have a log energy above a threshold.

    Args:
        features: (frames, dims) with the log energy (or C0) in column 0.

    Returns:
        (frames,) float32, 1 for voiced and 0 for other frames.
    """
    options = options or VadOptions()
    frames = len(features)
    if not frames:
        return np.zeros(0, np.float32)
    energy = np.asarray(features[:, 0], np.float32)
    threshold = options.vad_energy_threshold + options.vad_energy_mean_scale * np.mean(energy, dtype=np.float64)
    above = np.concatenate(([0], np.cumsum(energy > np.float32(threshold))))
    rows = np.arange(frames)
    begin = np.maximum(rows - options.vad_frames_context, 0)
    end = np.minimum(rows + options.vad_frames_context + 1, frames)
    # In float32 as in Kaldi: a proportion such as 0.6 of 5 frames is compared with a whole number.
    needed = (end - begin).astype(np.float32) * np.float32(options.vad_proportion_threshold)
    return (above[end] - above[begin] >= needed).astype(np.float32)


def select_voiced(features: np.ndarray, vad: np.ndarray) -> np.ndarray:
    """The rows of `features` (frames, dims) where `vad` (frames,) is not zero.

    Raises:
        InputError: if the lengths differ or the decisions are not all 0 or 1.
    """
    require(
        len(features) == len(vad), f"there are {len(features)} frames of features but {len(vad)} decisions on voicing"
    )
    voiced = np.asarray(vad) != 0
    require(bool(np.all(np.asarray(vad)[voiced] == 1)), "decisions on voicing must be 0 or 1")
    return features[voiced]
