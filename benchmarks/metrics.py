#!/usr/bin/env python3
"""Ten million trials measured: EER in four definitions, two detection costs, Cllr, minCllr, the threshold to use.

    OMP_NUM_THREADS=1 benchmarks/metrics.py

Beside it, in processes of their own: one EER by the usual way (an argsort of all scores, cumulated labels as rates, as
roc_curve of scikit-learn does it), and 100 replicates of the speaker bootstrap over a million trials.
"""

import multiprocessing
import resource
import time

import numpy as np

NUM_TARGETS, NUM_NONTARGETS = 1_000_000, 9_000_000
NUM_SPEAKERS, NUM_REPLICATES = 1000, 100


def drawn(num_targets, num_nontargets):
    """Scores such as a good system gives, in random order."""
    random = np.random.default_rng(0)
    return random.normal(4, 1, num_targets), random.normal(0, 1, num_nontargets)


def everything():
    """What steps/evaluate.py measures on the whole list."""
    from spkid.metrics import OperatingPoint, TrialScores
    from spkid.metrics.decision import decide
    from spkid.metrics.summary import summarize

    targets, nontargets = drawn(NUM_TARGETS, NUM_NONTARGETS)
    begin = time.perf_counter(), time.process_time()
    scores = TrialScores(targets, nontargets)
    rate = summarize(scores)["eer_by_definition"]["brentq"]
    decide(scores, OperatingPoint(0.01))
    return begin, rate


def one_rate():
    """The equal error rate by an argsort of all trials."""
    targets, nontargets = drawn(NUM_TARGETS, NUM_NONTARGETS)
    begin = time.perf_counter(), time.process_time()
    labels = np.concatenate((np.ones(targets.size), np.zeros(nontargets.size)))
    order = np.argsort(np.concatenate((targets, nontargets)), kind="mergesort")[::-1]
    hits = np.cumsum(labels[order]) / targets.size
    alarms = np.cumsum(1 - labels[order]) / nontargets.size
    nearest = np.argmin(np.abs(1 - hits - alarms))
    return begin, (1 - hits[nearest] + alarms[nearest]) / 2


def intervals():
    """Replicates of a bootstrap over a tenth of the trials."""
    from spkid.metrics import OperatingPoint
    from spkid.metrics.bootstrap import bootstrap

    random = np.random.default_rng(1)
    targets, nontargets = drawn(NUM_TARGETS // 10, NUM_NONTARGETS // 10)
    pairs = random.integers(0, NUM_SPEAKERS, (nontargets.size, 2))
    pairs[:, 1] = (pairs[:, 0] + 1 + pairs[:, 1] % (NUM_SPEAKERS - 1)) % NUM_SPEAKERS
    speakers = random.integers(0, NUM_SPEAKERS, targets.size)
    begin = time.perf_counter(), time.process_time()
    found = bootstrap(targets, nontargets, speakers, pairs, [OperatingPoint(0.01)], NUM_REPLICATES)
    return begin, float(np.median(found.eer))


def measured(task, queue):
    """Runs a task and reports what it took: seconds, seconds of processor, peak MB of its process, its result."""
    (wall, processor), result = task()
    spent = time.perf_counter() - wall, time.process_time() - processor
    queue.put((*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result))


def main():
    context = multiprocessing.get_context("spawn")
    found = {}
    for task in (everything, one_rate, intervals):
        queue = context.Queue()
        process = context.Process(target=measured, args=(task, queue))
        process.start()
        found[task] = queue.get()
        process.join()
    for task, name in ((everything, "all measures, 10 million"), (one_rate, "one EER by argsort, 10 million")):
        wall, processor, peak, rate = found[task]
        print(f"{name:31s} {wall:6.2f} s, {processor:6.2f} s of processor, peak {peak:5.0f} MB, EER {100 * rate:.4f}%")
    wall, processor, peak, _ = found[intervals]
    each = 1000 * processor / NUM_REPLICATES
    print(f"{'bootstrap, 1 million':31s} {wall:6.2f} s, {each:6.1f} ms of processor a replicate, peak {peak:5.0f} MB")
    ratio = found[one_rate][1] / found[everything][1]
    print(f"argsort for one EER / all measures here: {ratio:.2f} (processor time)")


if __name__ == "__main__":
    main()
