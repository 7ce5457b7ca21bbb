#!/usr/bin/env python3
"""Embeddings of 2,500 utterances of 2-20 s by ECAPA-TDNN C512: one at a time in plain PyTorch against the step.

    benchmarks/extraction.py --jobs 2
    benchmarks/extraction.py --jobs 2 --utterances 250     # a quick look
    benchmarks/extraction.py --batches                     # what was measured to choose the defaults of a CPU
    benchmarks/extraction.py --layers                      # what oneDNN brings to a single thread
    benchmarks/extraction.py --gpu

On a CPU, one at a time is one_at_a_time.py, one process with all cores as threads; the step has as many jobs as cores.
Both are commands, and everything they do counts, start-up and the writing of tables too, by the clock and in processor
time. `--batches` prints the time a frame of padded batches of several sizes, with and without keep_freed_memory, in
processes of their own; `--layers` that of utterances of random lengths, one at a time, with and without prefer_onednn.
With --gpu both run in one process on the GPU, in float32, tf32 and bf16, and the share of the measured rate of matrix
products is printed too: operations are counted by torch.utils.flop_counter. Weights and features are random, lengths
drawn by a seed.
"""

import argparse
import copy
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.one_at_a_time import one_at_a_time
from benchmarks.products import product_rate
from spkid.data.division import cut_batches, open_for_front_end
from spkid.data.front_end import FeatureRecord, FrontEnd, write_record
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table, write_id_map
from spkid.nnet import build_model
from spkid.train.experiment import build_network, save_final
from spkid.train.extraction import Extractor
from spkid.train.extraction_options import ExtractionOptions
from spkid.train.inference import prefer_onednn
from spkid.train.memory import keep_freed_memory

ROOT = Path(__file__).parents[1]
DIMS = 80
FRAMES = (200, 2000)  # 2 to 20 s
MODEL = {"name": "ecapa_tdnn", "channels": 512}


def make_work(work: Path, utterances: int) -> tuple[Path, Path]:
    """An experiment with random weights and a data directory with random features."""
    torch.manual_seed(0)
    experiment, data = work / "exp", work / "data"
    experiment.mkdir()
    data.mkdir()
    network = build_network(MODEL, DIMS)
    save_final(experiment, network, torch.nn.Identity(), FrontEnd("fbank", {}, [], DIMS), {"model": MODEL}, {})
    rng = np.random.default_rng(0)
    lengths = {f"u{number:05d}": int(rng.integers(*FRAMES)) for number in range(utterances)}
    with TableWriter(f"ark,scp:{data}/feats.ark,{data}/feats.scp", MATRIX) as writer:
        for utterance, frames in lengths.items():
            writer.write(utterance, rng.standard_normal((frames, DIMS), dtype=np.float32))
    write_id_map(data / "utt2num_frames", lengths)
    write_id_map(data / "utt2spk", {utterance: utterance for utterance in lengths})
    write_id_map(data / "spk2utt", {utterance: utterance for utterance in lengths})
    write_record(data, FeatureRecord("fbank", {}, []))
    return experiment, data


def timed(command: list[object]) -> tuple[float, float]:
    """Seconds of a command, by the clock and of the processors."""
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def on_cpu(work: Path, utterances: int, jobs: int) -> None:
    """Prints both times, by the clock and of the processors, and their ratios."""
    experiment, data = make_work(work, utterances)
    plain = f"ark,scp:{work}/plain.ark,{work}/plain.scp"
    alone = timed([sys.executable, "benchmarks/one_at_a_time.py", experiment, data, jobs, plain])
    step = timed([sys.executable, "steps/extract_xvectors.py", "--nj", jobs, experiment, data, work / "out"])
    for kind, one, ours in zip(("clock", "processors"), alone, step, strict=True):
        print(
            f"{utterances} utterances, {jobs} cores, {kind}: one at a time {one:.1f} s ({utterances / one:.1f}/s), "
            f"step {ours:.1f} s ({utterances / ours:.1f}/s), ratio {one / ours:.2f}"
        )
    expected = dict(read_table(f"scp:{work}/plain.scp", VECTOR))
    worst = max(
        np.abs(vector - expected[utterance]).max() / np.sqrt(np.mean(expected[utterance] ** 2))
        for utterance, vector in read_table(f"scp:{work}/out/xvector.scp", VECTOR)
    )
    print(f"largest difference {worst:.1e}")


@torch.inference_mode()
def time_layers(name: str, utterances: int = 12) -> None:
    """Prints processor time a frame of one utterance at a time on one thread, as torch would and with oneDNN."""
    keep_freed_memory()
    torch.set_num_threads(1)
    plain = build_model(name, input_dim=DIMS).eval()
    faster = copy.deepcopy(plain)
    prefer_onednn(faster)
    rng = np.random.default_rng(0)
    seconds, frames = [0.0, 0.0], 0
    for _ in range(utterances):
        x = torch.randn(1, int(rng.integers(*FRAMES)), DIMS)
        frames += x.shape[1]
        for turn, network in enumerate((plain, faster)):
            start = time.process_time()
            network(x)
            seconds[turn] += time.process_time() - start
    before, after = (1e6 * total / frames for total in seconds)
    print(f"{name:10s} us a frame: torch's choice {before:.0f}, oneDNN {after:.0f}, ratio {before / after:.2f}")


def time_batches(name: str, keep: bool) -> None:
    """Prints processor time a frame for batches of several sizes: the least of three."""
    if keep:
        keep_freed_memory()
    torch.set_num_threads(1)
    network = build_model(name, input_dim=DIMS).eval()
    for frames in (200, 500, 1000, 2000):
        times = []
        for batch in (1, 2, 4, 8, 16):
            x = torch.randn(batch, frames, DIMS)
            lengths = None if batch == 1 else torch.linspace(0.96 * frames, frames, batch).long()
            best = np.inf
            for _ in range(3):
                start = time.process_time()
                with torch.inference_mode():
                    network(x, lengths)
                best = min(best, time.process_time() - start)
            counted = frames if lengths is None else int(lengths.sum())
            times.append(f"{1e6 * best / counted:6.0f}")
            if batch * frames >= 8000:
                break
        print(f"{name:10s} kept {keep!s:5s} {frames:4d} frames, us a frame for 1, 2, 4 ... rows:", *times)
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB", flush=True)


def on_gpu(work: Path, utterances: int) -> None:
    """Prints utterances a second, the ratio and the share of the rate of products."""
    experiment, data = make_work(work, utterances)
    network = build_network(MODEL, DIMS).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.randn(1, 1000, DIMS))
    source = open_for_front_end(FrontEnd("fbank", {}, [], DIMS), data, None, {})
    operations = counter.get_total_flops() / 1000 * int(source.num_frames.sum())
    one_at_a_time(experiment, data, "cuda")  # the first time loads kernels
    start = time.perf_counter()
    one_at_a_time(experiment, data, "cuda")
    alone = time.perf_counter() - start
    print(f"{torch.cuda.get_device_name()}: {utterances} utterances, one at a time {utterances / alone:.0f}/s")
    for precision in ("float32", "tf32", "bf16"):
        options = ExtractionOptions(use_gpu=True, precision=precision)
        batching = options.batching(FrontEnd("fbank", {}, [], DIMS), True, 512)
        batches = [[source.ids[row] for row in batch] for batch in cut_batches(source.ids, source.num_frames, batching)]
        for _ in range(2):
            extractor = Extractor(experiment, data, source.ids, options)
            start = time.perf_counter()
            done = sum(isinstance(vector, np.ndarray) for _, vector in extractor.embed(batches))
            seconds = time.perf_counter() - start
        assert done == utterances
        rate = product_rate(torch.bfloat16 if precision == "bf16" else torch.float32, precision == "tf32")
        print(
            f"{precision}: {utterances / seconds:.0f} utterances/s, ratio {alone / seconds:.1f}, "
            f"{operations / seconds / 1e12:.1f} TFLOP/s, {operations / seconds / rate:.0%} of a matrix product's "
            f"{rate / 1e12:.0f}; {len(batches)} batches"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=2500)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--network", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.network:
        time_batches(options.network, options.keep)
    elif options.batches:
        for name in ("ecapa_tdnn", "resnet34", "campplus"):
            for keep in ([], ["--keep"]):
                subprocess.run([sys.executable, __file__, "--network", name, *keep], check=True)
    elif options.layers:
        for name in ("ecapa_tdnn", "xvector", "etdnn", "campplus", "eres2net", "resnet34"):
            time_layers(name)
    else:
        if options.gpu and not torch.cuda.is_available():
            sys.exit("extraction.py: torch finds no GPU here")
        with tempfile.TemporaryDirectory() as work:
            if options.gpu:
                on_gpu(Path(work), options.utterances)
            else:
                on_cpu(Path(work), options.utterances, options.jobs)


if __name__ == "__main__":
    main()
