#!/usr/bin/env python3
"""Embeddings of a data directory's features, one utterance at a time, in plain PyTorch; see extraction.py.

benchmarks/one_at_a_time.py EXP-DIR DATA-DIR THREADS VECTOR-WSPECIFIER
"""

import sys
from pathlib import Path

import numpy as np
import torch

from spkid.kaldi.matrix import load_matrix
from spkid.kaldi.tables import VECTOR, TableWriter, read_script
from spkid.train.experiment import load_final


@torch.inference_mode()
def one_at_a_time(experiment: Path, data: Path, device: str) -> dict[str, np.ndarray]:
    """A loop over feats.scp."""
    network = load_final(experiment, device).network
    return {
        utterance: network(torch.from_numpy(load_matrix(place))[None].to(device))[0].cpu().numpy()
        for utterance, place in read_script(data / "feats.scp").items()
    }


if __name__ == "__main__":
    experiment, data, threads, target = sys.argv[1:]
    torch.set_num_threads(int(threads))
    with TableWriter(target, VECTOR) as writer:
        for utterance, vector in one_at_a_time(Path(experiment), Path(data), "cpu").items():
            writer.write(utterance, vector)
