#!/usr/bin/env python3
"""Embeddings of every utterance of a data directory, by array jobs, and their means by speaker."""

import hashlib
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.data.division import cut_batches, divide, open_for_front_end
from spkid.data.front_end import feature_files
from spkid.jobs import Program, Step, boolean, fraction
from spkid.jobs.failures import account_for
from spkid.jobs.fingerprints import fingerprint
from spkid.jobs.parts import Parts
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import VECTOR, TableWriter, read_script, read_table, write_id_map
from spkid.train.experiment import DESCRIPTION, WEIGHTS, read_description

MODEL_FILES = (WEIGHTS, DESCRIPTION)


class ExtractXvectors(Program):
    """Writes OUT-DIR/xvector.scp (one embedding an utterance) and spk_xvector.scp (their means by speaker).

    Features may be raw, as steps/make_mfcc.py left them, or prepared: what the network's front end wants and the
    directory has not applied is done on the fly. Features made otherwise than those of training are refused.
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
    batch_size = cli.SwitchAttr(
        "--batch-size", cli.Range(1, 10000), default=16, help="utterances of one length that are computed together"
    )
    num_threads = cli.SwitchAttr("--num-threads", cli.Range(1, 1000), default=1, help="threads of each job")
    use_gpu = cli.SwitchAttr("--use-gpu", boolean, default=False, help="compute on the GPU of each job")
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, exp_dir: str, data_dir: str, out_dir: str):
        exp, data, out = Path(exp_dir), DataDir(data_dir), Path(out_dir)
        data.check(needs=("utt2spk", "feats.scp"))
        settings = {
            "chunk_size": self.chunk_size,
            "min_chunk_size": self.min_chunk_size,
            "pad_input": self.pad_input,
            "num_threads": self.num_threads,
            "use_gpu": self.use_gpu,
        }
        inputs = [*(exp / name for name in MODEL_FILES), *feature_files(data.root)]
        outputs = [out / "xvector.scp", out / "spk_xvector.scp"]
        all_settings = {**settings, "batch_size": self.batch_size}
        with Step("extract_xvectors", out, inputs, all_settings, outputs, self.force) as step:
            if step.is_done:
                return 0
            failed: dict[str, str] = {}
            batches = self._cut(exp, data, failed)
            nj = len(batches)
            basis = json.dumps([step.options, [fingerprint(path) for path in inputs]])
            keys = [hashlib.sha256(f"{basis} {part}".encode()).hexdigest() for part in batches]
            parts = Parts(out / "parts", keys, keep=not self.force)
            for job, part in enumerate(batches, 1):
                with atomic_write(out / "parts" / f"batches.{job}") as stream:
                    stream.write(part)
                if not ((out / f"xvector.{job}.ark").exists() and (out / f"xvector.{job}.scp").exists()):
                    parts.forget(job)
            options = [f"--{name.replace('_', '-')}={str(value).lower()}" for name, value in settings.items()]
            target = f"ark,scp:{out}/xvector.JOB.ark,{out}/xvector.JOB.scp"
            arguments = [exp, data.root, out / "parts" / "batches.JOB", target]
            command = ["xvector-compute", *options, f"--report={parts.temporary}", *arguments, *parts.publish]
            try:
                step.run_jobs(self.cmd, nj, out / "log" / "extract_xvectors.JOB.log", command, parts.remaining())
            except InputError:
                parts.accept_empty()
                if parts.remaining():
                    raise
            failed |= parts.failed()
            given = len(data.utterances)
            account_for(step, data.root, given, dict(sorted(failed.items())), self.min_fraction)
            join_parts(data, out, nj)
            step.finish(f"{given - len(failed)} of {given} utterances of {data_dir}", given=given, failed=failed)
            remove_others(out, nj)
            shutil.rmtree(out / "parts")  # a run that begins again from here has a reason to do all of it
        return 0

    def _cut(self, exp: Path, data: DataDir, failed: dict[str, str]) -> list[str]:
        """The batches of each job, a line each; notes in `failed` which utterances cannot be used."""
        _, front_end = read_description(exp)
        source = open_for_front_end(front_end, data.root, data.utterances, failed)
        if not source.ids:
            first = min(failed)
            raise InputError(f"{data.root}: no utterance can be used; {first}: {failed[first]}")
        batches = cut_batches(source, self.batch_size, self.chunk_size)
        shares = divide(batches, source.num_frames, min(self.nj, len(batches)))
        return ["".join(" ".join(source.ids[one] for one in batch) + "\n" for batch in share) for share in shares]


def join_parts(data: DataDir, out: Path, nj: int) -> None:
    """xvector.scp in the data directory's order, and the speakers' means with the number of their utterances."""
    scripts: dict[str, str] = {}
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = defaultdict(int)
    for job in range(1, nj + 1):
        script = out / f"xvector.{job}.scp"
        scripts |= read_script(str(script))
        for utterance, vector in read_table(f"scp:{script}", VECTOR):
            speaker = data.utt2spk[utterance]
            sums[speaker] = sums.get(speaker, 0.0) + vector.astype(np.float64)
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
