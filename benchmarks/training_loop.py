"""What the training loop costs around the steps it makes: reading, progress, events, checkpoints.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/training_loop.py

The same batches (32 chunks of 200 frames of 80 dimensions, from an archive kept in memory) are trained on by
`spkid.train.loop.train` and, read beforehand, by the bare step of plain PyTorch: network, loss, gradient, norm, Adam.
One thread, processor time of the process, the best of four alternating rounds; an epoch of the loop is 12 updates long
and ends with a checkpoint, a line of metrics.jsonl and events, far more often than in real trainings. Goal: under 5%.
A network of 8 channels shows the loop's own time, whatever it trains.
"""

import tempfile
import time
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from spkid.data.front_end import FeatureRecord, write_record
from spkid.kaldi.tables import MATRIX, TableWriter, write_id_map
from spkid.train.config import config_from_dict
from spkid.train.distributed import Processes
from spkid.train.loop import train
from spkid.train.memory import keep_freed_memory
from spkid.train.optimizers import build_optimizer
from spkid.train.run import assemble
from spkid.train.training_set import load_training_set

UPDATES, MICRO_BATCH, FRAMES, DIMS, SPEAKERS, ROUNDS, EPOCHS = 12, 32, 200, 80, 16, 4, 1
SYSTEMS = {
    "xvector, 8 channels": {"name": "xvector", "channels": 8, "pooled_channels": 16, "embedding_dim": 16},
    "xvector, 128 channels": {"name": "xvector", "channels": 128, "pooled_channels": 384},
    "ecapa_tdnn, 64 channels": {"name": "ecapa_tdnn", "channels": 64, "pooled_channels": 192},
}


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()  # as training on a CPU does, here for both
    print(f"{'network':<24} {'bare step':>10} {'in the loop':>12} {'more':>7}")
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        data_dir = write_data(Path(folder) / "data")
        for name, model in SYSTEMS.items():
            bare, ours = measure(model, data_dir, Path(folder) / name)
            more = 100 * (ours / bare - 1)
            print(f"{name:<24} {1e3 * bare:>7.1f} ms {1e3 * ours:>9.1f} ms {more:>6.1f}%", flush=True)


def write_data(directory: Path) -> Path:
    """Random features of as many utterances as an epoch has chunks."""
    directory.mkdir()
    generator = np.random.default_rng(0)
    utterances = [f"{number % SPEAKERS:02}-{number:04}" for number in range(UPDATES * MICRO_BATCH)]
    with TableWriter(f"ark,scp:{directory}/feats.ark,{directory}/feats.scp", MATRIX) as writer:
        for utterance in utterances:
            writer.write(utterance, generator.normal(size=(FRAMES + 50, DIMS)).astype(np.float32))
    write_id_map(directory / "utt2spk", {utterance: utterance[:2] for utterance in utterances})
    write_record(directory, FeatureRecord("fbank", {}, []))
    return directory


def configuration(model: dict, epochs: int):
    """The recipe of so many epochs."""
    return config_from_dict(
        {
            "features": {"type": "fbank", "cmn": "none", "vad": False},
            "threads": 1,
            "device": "cpu",
            "model": model,
            "loss": {"name": "aam_softmax"},
            "data": {"chunk_frames": FRAMES, "micro_batch": MICRO_BATCH},
            "schedule": {"name": "constant", "epochs": epochs},
            "validation": {"fraction": 0.0},
        },
        "benchmark",
    )


def measure(model: dict, data_dir: Path, directory: Path) -> tuple[float, float]:
    """Processor seconds an update: the bare step, and the loop."""
    prepare = partial(prepared, model, data_dir)
    ready = [list(prepare(1).feed.epoch(epoch)) for epoch in range(EPOCHS)]
    in_loop(prepare(1), directory / "warm")  # what is imported and drawn once
    bare, short, long = [], [], []
    for number in range(ROUNDS):
        bare.append(alone(prepare(1), [batch for batches in ready for batch in batches]))
        # What begins and ends a training falls out of the difference of two lengths.
        short.append(in_loop(prepare(1), directory / f"short{number}"))
        long.append(in_loop(prepare(1 + EPOCHS), directory / f"long{number}"))
    updates = EPOCHS * UPDATES
    return min(bare) / updates, (min(long) - min(short)) / updates


def prepared(model: dict, data_dir: Path, epochs: int):
    """A training that has not begun."""
    config = configuration(model, epochs)
    return assemble(config, load_training_set(config, data_dir), Processes(), torch.device("cpu"))


def in_loop(training, directory: Path) -> float:
    """Processor seconds of the whole training."""
    directory.mkdir(parents=True)
    begin = time.process_time()
    train(training, directory, "benchmark")
    return time.process_time() - begin


def alone(training, batches) -> float:
    """Processor seconds of bare steps."""
    network, criterion = training.network, training.objective.criterion
    parameters = [*network.parameters(), *criterion.parameters()]
    optimizer = build_optimizer(training.config.optimizer, network.parameters(), criterion.parameters())
    begin = time.process_time()
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(network(batch.inputs), batch.labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        loss.item()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
