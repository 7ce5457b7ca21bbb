"""Choosing hard triplets out of the history table of Deep Speaker: 25,600 embeddings of 512, 16 anchors, 2 + 2.

    python benchmarks/hard_negatives.py [--threads 1]

Ours (`HistoryTable.select`) against a loop over the anchors that compares each with the whole table and sorts, on the
same vectors, with the same triplets. Best of seven alternating rounds. Goal: under 50 ms on a CPU. On a GPU too where
there is one.
"""

import argparse
import time

import numpy as np
import torch

from spkid.data.hard_negatives import HistoryTable

ROWS, DIMS, SPEAKERS, UTTERANCES, ANCHORS, EACH, ROUNDS = 25_600, 512, 251, 113, 16, 2, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    rng = np.random.default_rng(0)
    spoken = rng.integers(0, SPEAKERS * UTTERANCES, ROWS)
    embeddings = rng.normal(size=(ROWS, DIMS)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    tables = {device: HistoryTable(ROWS, DIMS, device) for device in devices}
    for table in tables.values():
        table.add(torch.from_numpy(embeddings), spoken // UTTERANCES, spoken, np.arange(ROWS))
    best = dict.fromkeys(["loop", *devices], float("inf"))
    for number in range(ROUNDS):
        found = {}
        for device, table in tables.items():
            begin = time.perf_counter()
            found[device] = table.select(np.random.default_rng(number), ANCHORS, EACH, EACH)
            best[device] = min(best[device], time.perf_counter() - begin)
        anchors = found["cpu"][::EACH, 0]
        begin = time.perf_counter()
        expected = loop(embeddings, spoken // UTTERANCES, spoken, anchors)
        best["loop"] = min(best["loop"], time.perf_counter() - begin)
        assert np.array_equal(found["cpu"], expected)
    for device in devices:
        ratio = best["loop"] / best[device]
        print(
            f"{device}: {best[device] * 1e3:.1f} ms for {ANCHORS * EACH} triplets, {ratio:.1f} times the loop's speed"
        )
    print(f"a loop over the anchors: {best['loop'] * 1e3:.1f} ms")


def loop(embeddings: np.ndarray, speakers: np.ndarray, utterances: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """One anchor after another: its similarity to everybody, sorted."""
    triplets = []
    for anchor in anchors:
        similarity = embeddings @ embeddings[anchor]
        order = np.argsort(similarity)
        own = speakers[order] == speakers[anchor]
        negatives = order[~own][::-1][:EACH]
        positives = order[own & (utterances[order] != utterances[anchor])][:EACH]
        triplets += [(anchor, positive, negative) for positive, negative in zip(positives, negatives, strict=True)]
    return np.array(triplets)


if __name__ == "__main__":
    main()
