"""Trained networks as ONNX files, checked against PyTorch before they appear."""

import contextlib
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from spkid import __version__
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.train.embed import DEFAULT_MIN_FRAMES
from spkid.train.experiment import TrainedModel

OPSET = 18
TOLERANCE = 1.0e-4  # float32 in another order reaches 1e-6, RawNet3's logarithms 5e-5
SAMPLES = 8000  # half a second, the shortest waveform that is checked


def export_onnx(model: TrainedModel, path: Path, tolerance: float = TOLERANCE) -> float:
    """Writes `path`, a network of batches of any size and utterances of any length, and returns its deviation.

    The file's input is `features` (batch, frames, dims) or `waveform` (batch, samples in +-1), its output `embedding`;
    how features are made, `front_end`, is JSON among its metadata. Computed by onnxruntime for several lengths and
    batches, the largest difference to PyTorch's output over the root mean square of that must be within `tolerance`.

    Raises InputError for a network that ONNX cannot express, and for a deviation that is too large: no file is left.
    """
    name = model.description["config"]["model"]["name"]
    reasons, deviation = [], np.inf
    for translate in (_trace, _capture) if _takes_features(model) else (_capture,):  # a trace knows no STFT
        try:
            data = translate(model)
            deviation = _deviation(model, data)
        except Exception as error:  # the exporters and onnxruntime have many kinds, some with pages of text
            reasons.append(_first_line(error))
            continue
        if deviation <= tolerance:
            break
    if reasons and deviation == np.inf:
        raise InputError(f"{path} is not written: {name} cannot be exported to ONNX ({reasons[-1]})")
    if not deviation <= tolerance:
        raise InputError(
            f"{path} is not written: in ONNX the output of {name} differs by {deviation:.1e} of its size, more than "
            f"the {tolerance:.1e} that --tolerance allows"
        )
    with atomic_write(path, "wb") as stream:
        stream.write(_with_metadata(model, data))
    return deviation


def _trace(model: TrainedModel) -> bytes:
    """By TorchScript: fast, and the one that knows recurrent layers."""
    lengths = {0: "batch"} if _fixed_frames(model.network) else {0: "batch", 1: "frames"}
    stream = io.BytesIO()
    with _quiet():
        torch.onnx.export(
            model.network,
            (_example(model, 2, _shortest(model) + 57),),
            stream,
            input_names=["features"],
            output_names=["embedding"],
            dynamic_axes={"features": lengths, "embedding": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return stream.getvalue()


def _capture(model: TrainedModel) -> bytes:
    """By torch.export: knows spectra, and keeps shapes that a trace would turn into numbers."""
    any_size = torch.export.Dim.DYNAMIC
    stream = io.BytesIO()
    with _quiet():
        program = torch.onnx.export(
            model.network,
            (_example(model, 2, _shortest(model) + 57),),
            input_names=["features" if _takes_features(model) else "waveform"],
            output_names=["embedding"],
            dynamic_shapes=({0: any_size, 1: any_size},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        program.save(stream)
    return stream.getvalue()


def _with_metadata(model: TrainedModel, data: bytes) -> bytes:
    import onnx

    proto = onnx.load_from_string(data)
    facts = {
        "spkid": __version__,
        "model": json.dumps(model.description["config"]["model"]),
        "front_end": json.dumps(asdict(model.front_end)),
    }
    onnx.helper.set_model_props(proto, facts)
    return proto.SerializeToString()


def _deviation(model: TrainedModel, data: bytes) -> float:
    """The largest difference between onnxruntime and PyTorch over the root mean square of the output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns of what it folds away
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    shortest = _shortest(model)
    lengths = [shortest] * 3 if _fixed_frames(model.network) else [shortest, 2 * shortest + 31, 4 * shortest + 3]
    deviations = []
    for batch, length in zip((1, 3, 2), lengths, strict=True):
        x = _example(model, batch, length)
        with torch.inference_mode():
            expected = model.network(x).numpy()
        (actual,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        if actual.shape != expected.shape:
            return np.inf
        deviations.append(np.abs(actual - expected).max() / np.sqrt(np.mean(np.square(expected))))
    return float(np.max(deviations))


def _takes_features(model: TrainedModel) -> bool:
    return model.front_end.type != "waveform"


def _fixed_frames(network: torch.nn.Module) -> bool:
    """Whether the network sees a fixed number of stacked frames rather than an utterance."""
    return hasattr(network, "frames")


def _shortest(model: TrainedModel) -> int:
    """Frames or samples of the shortest utterance that extraction would give the network."""
    if not _takes_features(model):
        return max(SAMPLES, model.network.min_samples)
    least = model.network.min_frames
    return least if _fixed_frames(model.network) else max(DEFAULT_MIN_FRAMES, least)


def _example(model: TrainedModel, batch: int, length: int) -> torch.Tensor:
    """Noise of the network's input shape, always the same."""
    generator = torch.Generator().manual_seed(length)
    if not _takes_features(model):
        return 0.1 * torch.randn(batch, length, generator=generator)
    length = _shortest(model) if _fixed_frames(model.network) else length
    return torch.randn(batch, length, model.front_end.dims, generator=generator)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters report their progress, their deprecation and, below Python, a graph that they cannot translate."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    sys.stdout.flush()
    output = os.dup(1)
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(output, 1)
        os.close(output)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
