#!/usr/bin/env python3
"""AS-norm and whole cosine matrices against the bare matrix products of the same shapes, in one process.

    OMP_NUM_THREADS=2 benchmarks/score_normalization.py

AS-norm: 10,000 enrolments against 10,000 tests, a cohort of 6,000, the best 300, the whole normalised matrix. Bare are
the three products (enrolments and tests with the cohort, and with each other) in float32 blocks that are thrown away.
Runs alternate and the shortest of each counts, because other work on the machine only ever adds time.
"""

import argparse
import resource
import time

import numpy as np

from spkid.backend import BlockedScorer
from spkid.backend.products import product_blocks

REPEATS = 3


def unit(random, count, dims):
    """Vectors of length 1, float32."""
    vectors = random.normal(size=(count, dims)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def bare(*pairs):
    """The products alone."""
    for left, right in pairs:
        for _ in product_blocks(left, right, 1 << 30):
            pass


def all_scores(*sets, **options):
    """What the scorer adds to them."""
    for _ in BlockedScorer(*sets, **options).blocks():
        pass


def report(name, products, scorer):
    """Prints both times, by the clock and by the processors, and their ratios."""
    clock, processor = [], []
    for _ in range(REPEATS):
        for work in (products, scorer):
            wall, busy = time.perf_counter(), time.process_time()
            work()
            clock.append(time.perf_counter() - wall)
            processor.append(time.process_time() - busy)
    for kind, times in (("clock", clock), ("processor", processor)):
        alone, ours = min(times[::2]), min(times[1::2])
        ratio = ours / alone
        print(f"{name:28s} {kind:9s} bare {alone:6.2f} s   scorer {ours:6.2f} s   ratio {ratio:5.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, for a quick look")
    scale = parser.parse_args().scale
    random = np.random.default_rng(0)
    for dims in (512, 192):
        enroll, test = (unit(random, int(10_000 * scale), dims) for _ in range(2))
        cohort = unit(random, int(6000 * scale), dims)
        report(
            f"AS-norm, {dims} dimensions",
            lambda e=enroll, t=test, c=cohort: bare((e, c), (t, c), (e, t)),
            lambda e=enroll, t=test, c=cohort: all_scores(e, t, cohort=c, top_n=300),
        )
    enroll, test = (unit(random, int(20_000 * scale), 192) for _ in range(2))
    report("cosine, 20,000 x 20,000", lambda: bare((enroll, test)), lambda: all_scores(enroll, test))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
