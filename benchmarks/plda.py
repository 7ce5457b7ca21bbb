#!/usr/bin/env python3
"""PLDA: training on 24,000 vectors of 512 dimensions, and 500,000 trials of 200 dimensions from files to a file.

    OMP_NUM_THREADS=1 benchmarks/plda.py

Training is set beside Kaldi's form of the same iteration, which inverts a matrix for every number of vectors that
speakers have. Scoring is the command `steps/score_trials.py`, start to end, set beside the same command on one trial:
what remains is start-up and the reading of vectors. Seconds are the processor's.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spkid.backend import BackEnd, Plda
from spkid.kaldi.tables import VECTOR, TableWriter

REPOSITORY = Path(__file__).resolve().parent.parent
NUM_TRIALS, NUM_VECTORS, NUM_SPEAKERS = 500_000, 5000, 1000


def speakers_vectors(random, count, speakers, dims):
    """Vectors (count, dims) float32 of a two-covariance model, and their speakers."""
    labels = np.sort(random.integers(0, speakers, count))
    means = 1.5 * random.normal(size=(speakers, dims))
    return (means[labels] + random.normal(size=(count, dims))).astype(np.float32), labels


def iteration_with_inverses(vectors, labels, within, between):
    """One iteration of expectation-maximisation as in Kaldi's plda.cc."""
    counts = np.bincount(labels)
    sums = np.zeros((counts.size, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    means = sums / counts[:, None]
    deviations = vectors - means[labels]
    new_within, new_between = deviations.T @ deviations, np.zeros_like(between)
    means = means - means.mean(axis=0)
    within_inverse, between_inverse = np.linalg.inv(within), np.linalg.inv(between)
    for count in np.unique(counts):
        these = means[counts == count]
        covariance = np.linalg.inv(between_inverse + count * within_inverse)
        posterior = count * these @ within_inverse @ covariance
        rest = these - posterior
        new_between += len(these) * covariance + posterior.T @ posterior
        new_within += count * (len(these) * covariance + rest.T @ rest)
    return new_within / len(vectors), new_between / counts.size


def training(random):
    """Prints the time of ten iterations, and of Kaldi's form of one."""
    vectors, labels = speakers_vectors(random, 24_000, 1200, 512)
    begin = time.process_time()
    model = Plda(10).fit(vectors, labels)
    ours = time.process_time() - begin
    begin = time.process_time()
    within, _ = iteration_with_inverses(vectors, labels, np.eye(512), np.eye(512))
    theirs = time.process_time() - begin
    once = Plda(1).fit(vectors, labels)
    np.testing.assert_allclose(once.within_covariance, within, atol=1e-6)
    assert (np.diff(model.objective_) > 0).all()
    print(f"training    10 iterations {ours:6.2f} s   one with inverses {theirs:6.2f} s", flush=True)


def processor_seconds(command, folder):
    """User and system time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def scoring(random, folder):
    """Prints the time of the command and its trials a second."""
    vectors, labels = speakers_vectors(random, NUM_VECTORS, NUM_SPEAKERS, 200)
    ids = [f"id{10000 + label}-x6uYqmx{row:06d}-{row % 97:05d}" for row, label in enumerate(labels)]
    with TableWriter(f"ark,scp:{folder}/vectors.ark,{folder}/vectors.scp", VECTOR) as writer:
        for key, vector in zip(ids, vectors, strict=True):
            writer.write(key, vector)
    (folder / "backend").mkdir()
    BackEnd.fit(vectors, labels, lda_dim=0).write(folder / "backend")
    left, right = random.integers(0, NUM_VECTORS, (2, NUM_TRIALS))
    names = {True: "target", False: "nontarget"}
    lines = [f"{ids[a]} {ids[b]} {names[bool(labels[a] == labels[b])]}\n" for a, b in zip(left, right, strict=True)]
    (folder / "trials").write_text("".join(lines), encoding="utf-8")
    (folder / "one").write_text(lines[0], encoding="utf-8")
    seconds = {}
    for name in ("one", "trials"):
        command = [sys.executable, REPOSITORY / "steps" / "score_trials.py", "--method", "plda", "--backend", "backend"]
        seconds[name] = processor_seconds([*command, name, "vectors.scp", "vectors.scp", f"scores_{name}"], folder)
    rate = NUM_TRIALS / (seconds["trials"] - seconds["one"])
    print(
        f"scoring     {NUM_TRIALS:,} trials {seconds['trials']:6.2f} s   one trial {seconds['one']:6.2f} s   "
        f"{rate:,.0f} trials/s beyond"
    )


def main():
    random = np.random.default_rng(0)
    training(random)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPATH"] = str(REPOSITORY)
        scoring(random, Path(folder))


if __name__ == "__main__":
    main()
