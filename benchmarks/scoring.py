#!/usr/bin/env python3
"""Trials scored in a second of one processor: the blocked scorer against a loop over the trials, as is common.

    OMP_NUM_THREADS=1 benchmarks/scoring.py

The list has the size of VoxCeleb1-E (580,000 trials of 4,700 vectors). The loop runs over its first 20,000 trials.
"""

import resource
import time

import numpy as np

from spkid.backend import Plda, score_trials

NUM_VECTORS, DIMS, NUM_TRIALS, NUM_LOOPED = 4700, 192, 580_000, 20_000


def cosine_loop(vectors, left, right):
    """One trial after the other, norms computed on the way."""
    scores = []
    for a, b in zip(left, right, strict=True):
        x, y = vectors[a], vectors[b]
        scores.append(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    return np.array(scores)


def plda_loop(vectors, left, right, plda):
    """One trial after the other, by the two Gaussians of the definition."""
    same, other = 1 + plda.psi_ / (plda.psi_ + 1), 1 + plda.psi_
    constant = np.log(same).sum() - np.log(other).sum()
    scores = []
    for a, b in zip(left, right, strict=True):
        mean = plda.psi_ / (plda.psi_ + 1) * vectors[a]
        test = vectors[b]
        scores.append(-0.5 * (constant + ((test - mean) ** 2 / same).sum() - (test**2 / other).sum()))
    return np.array(scores)


def report(name, loop, blocked):
    """Times both on the same trials and prints trials a second of processor time, and their ratio."""
    begin = time.process_time()
    expected = loop(NUM_LOOPED)
    loop_rate = NUM_LOOPED / (time.process_time() - begin)
    begin = time.process_time()
    scores = blocked()
    rate = NUM_TRIALS / (time.process_time() - begin)
    np.testing.assert_allclose(scores[:NUM_LOOPED], expected, atol=1e-6)
    print(f"{name:7s} loop {loop_rate:10,.0f}/s   blocked {rate:12,.0f}/s   ratio {rate / loop_rate:6.1f}")


def main():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(NUM_VECTORS, DIMS))
    left, right = random.integers(0, NUM_VECTORS, (2, NUM_TRIALS))
    plda = Plda.from_parameters(np.zeros(DIMS), np.eye(DIMS), np.geomspace(20, 0.1, DIMS))
    report(
        "cosine",
        lambda count: cosine_loop(vectors, left[:count], right[:count]),
        lambda: score_trials(vectors, vectors, left, right),
    )
    report(
        "plda",
        lambda count: plda_loop(vectors, left[:count], right[:count], plda),
        lambda: score_trials(vectors, vectors, left, right, plda),
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
