#!/usr/bin/env python3
"""Embeddings of every utterance of a data directory, by array jobs, and their means by speaker."""

import hashlib
import json
import shutil
from collections import defaultdict
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.data.division import cut_batches, divide, open_for_front_end, reads_audio
from spkid.data.front_end import FrontEnd, audio_files, feature_files
from spkid.jobs import Program, Step, boolean, fraction
from spkid.jobs.failures import account_for
from spkid.jobs.fingerprints import fingerprint
from spkid.jobs.manifest import manifest
from spkid.jobs.parts import Parts
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import MATRIX, VECTOR, Holder, TableWriter, read_script, read_table, write_id_map
from spkid.nnet import takes_lengths
from spkid.train.experiment import DESCRIPTION, WEIGHTS, read_description
from spkid.train.extraction_options import PRECISIONS, ExtractionOptions

MODEL_FILES = (WEIGHTS, DESCRIPTION)


class ExtractXvectors(Program):
    """Writes OUT-DIR/xvector.scp (one embedding an utterance) and spk_xvector.scp (their means by speaker).

    Features may be raw, as steps/make_mfcc.py left them, or prepared: what the network's front end wants and the
    directory has not applied is done on the fly. Features made otherwise than those of training are refused. Where
    there is no feats.scp, or the network takes waveforms, audio is read. With --crops, xvector.scp holds a matrix an
    utterance, a row a crop, for steps/score_trials.py --method crop-distance.
    """

    EXAMPLE = "steps/extract_xvectors.py --nj 8 --cmd utils/run.py exp/xvector data/test exp/xvector/xvectors_test"

    nj = cli.SwitchAttr("--nj", cli.Range(1, 100000), default=4, help="number of jobs; changes no digit of the result")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="how to run the jobs")
    chunk_size = cli.SwitchAttr(
        "--chunk-size", cli.Range(1, 10**9), default=10000, help="frames; longer utterances are averaged over chunks"
    )
    min_chunk_size = cli.SwitchAttr(
        "--min-chunk-size", cli.Range(1, 10**9), default=25, help="frames; shorter utterances are padded to this"
    )
    pad_input = cli.SwitchAttr(
        "--pad-input", boolean, default=True, help="false: utterances under --min-chunk-size fail instead"
    )
    crops = cli.SwitchAttr(
        "--crops", cli.Range(0, 1000), default=0, help="embed so many crops at even distances instead (VoxCeleb: 10)"
    )
    crop_frames = cli.SwitchAttr("--crop-frames", cli.Range(1, 10**6), default=300, help="length of the crops")
    layer = cli.SwitchAttr(
        "--layer",
        cli.Set("near", "far", case_sensitive=True),
        default="",
        help="an x-vector's first or second layer behind the pooling; by default the one that was configured",
    )
    batch_size = cli.SwitchAttr(
        "--batch-size", cli.Range(1, 10000), default=512, help="most utterances computed together; 1: one by one"
    )
    batch_frames = cli.SwitchAttr(
        "--batch-frames", cli.Range(0, 10**9), default=0, help="most frames computed together; 0: what suits the device"
    )
    num_threads = cli.SwitchAttr("--num-threads", cli.Range(1, 1000), default=1, help="threads of each job")
    use_gpu = cli.SwitchAttr("--use-gpu", boolean, default=False, help="compute on the GPU of each job")
    precision = cli.SwitchAttr(
        "--precision", cli.Set(*PRECISIONS, case_sensitive=True), default="float32", help="tf32 is of GPUs"
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, exp_dir: str, data_dir: str, out_dir: str):
        exp, data, out = Path(exp_dir), DataDir(data_dir), Path(out_dir)
        description, front_end = read_description(exp)
        is_audio = reads_audio(front_end, data.root)
        data.check(needs=("utt2spk", "wav.scp" if is_audio else "feats.scp"))
        options = ExtractionOptions(**{field.name: getattr(self, field.name) for field in fields(ExtractionOptions)})
        inputs = [*(exp / name for name in MODEL_FILES), *(audio_files if is_audio else feature_files)(data.root)]
        outputs = [out / "xvector.scp", out / "spk_xvector.scp"]
        settings = {**asdict(options), "batch_size": self.batch_size}
        with Step("extract_xvectors", out, inputs, settings, outputs, self.force) as step:
            if step.is_done:
                return 0
            failed: dict[str, str] = {}
            batches = self._cut(options, description["config"]["model"]["name"], front_end, data, failed)
            nj = len(batches)
            basis = json.dumps([step.options, [fingerprint(path) for path in inputs]])
            keys = [hashlib.sha256(f"{basis} {part}".encode()).hexdigest() for part in batches]
            parts = Parts(out / "parts", keys, keep=not self.force)
            for job, part in enumerate(batches, 1):
                with atomic_write(out / "parts" / f"batches.{job}") as stream:
                    stream.write(part)
                if not ((out / f"xvector.{job}.ark").exists() and (out / f"xvector.{job}.scp").exists()):
                    parts.forget(job)
            switches = [
                f"--{name.replace('_', '-')}={str(value).lower()}"
                for name, value in asdict(options).items()
                if value != ""
            ]
            target = f"ark,scp:{out}/xvector.JOB.ark,{out}/xvector.JOB.scp"
            arguments = [exp, data.root, out / "parts" / "batches.JOB", target]
            command = ["xvector-compute", *switches, f"--report={parts.temporary}", *arguments, *parts.publish]
            try:
                step.run_jobs(self.cmd, nj, out / "log" / "extract_xvectors.JOB.log", command, parts.remaining())
            except InputError:
                parts.accept_empty()
                if parts.remaining():
                    raise
            failed |= parts.failed()
            given = len(data.utterances)
            account_for(step, data.root, given, dict(sorted(failed.items())), self.min_fraction)
            join_parts(data, out, nj, MATRIX if self.crops else VECTOR)
            step.finish(f"{given - len(failed)} of {given} utterances of {data_dir}", manifest(data.utterances, failed))
            remove_others(out, nj)
            shutil.rmtree(out / "parts")  # a run that begins again from here has a reason to do all of it
        return 0

    def _cut(
        self, options: ExtractionOptions, network: str, front_end: FrontEnd, data: DataDir, failed: dict[str, str]
    ) -> list[str]:
        """The batches of each job, a line each; notes in `failed` which utterances cannot be used."""
        source = open_for_front_end(front_end, data.root, data.utterances, failed)
        if not source.ids:
            first = min(failed)
            raise InputError(f"{data.root}: no utterance can be used; {first}: {failed[first]}")
        batching = options.batching(front_end, takes_lengths(network), self.batch_size)
        batches = cut_batches(source.ids, source.num_frames, batching)
        costs = np.ones_like(source.num_frames) if self.crops else source.num_frames
        shares = divide(batches, costs, min(self.nj, len(batches)))
        return ["".join(" ".join(source.ids[one] for one in batch) + "\n" for batch in share) for share in shares]


def join_parts(data: DataDir, out: Path, nj: int, holder: Holder) -> None:
    """xvector.scp in the data directory's order, and the speakers' means with the number of their utterances."""
    scripts: dict[str, str] = {}
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = defaultdict(int)
    for job in range(1, nj + 1):
        script = out / f"xvector.{job}.scp"
        scripts |= read_script(str(script))
        for utterance, vector in read_table(f"scp:{script}", holder):
            speaker = data.utt2spk[utterance]
            sums[speaker] = sums.get(speaker, 0.0) + np.atleast_2d(vector).mean(axis=0, dtype=np.float64)
            counts[speaker] += 1
    with TableWriter(f"ark,scp:{out}/spk_xvector.ark,{out}/spk_xvector.scp", VECTOR) as writer:
        for speaker in sorted(sums):
            writer.write(speaker, (sums[speaker] / counts[speaker]).astype(np.float32))
    write_id_map(str(out / "num_utts.ark"), counts)
    write_id_map(str(out / "xvector.scp"), scripts)


def remove_others(out: Path, nj: int) -> None:
    """Removes the archives of jobs that an earlier run had and this one has not."""
    for path in out.glob("xvector.*.*"):
        number = path.name.split(".")[1]
        if number.isdigit() and int(number) > nj:
            path.unlink()


if __name__ == "__main__":
    ExtractXvectors.run()
