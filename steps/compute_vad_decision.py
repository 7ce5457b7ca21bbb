#!/usr/bin/env python3
"""Decides frame by frame where there is speech: from the energy in the features, or by a trained network."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plumbum import cli

from spkid.bin.compute_vad import OmissionOptions
from spkid.data.detector_input import detector_waves, reads_features, vad_record
from spkid.data.front_end import FEATS_JSON, VAD_JSON, read_record, read_vad_record, write_vad_record
from spkid.features.options import VadOptions
from spkid.jobs import Program, Step, fraction
from spkid.jobs.archives import ArchiveJobs, set_aside
from spkid.jobs.fingerprints import fingerprint
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.options import fill_from_config
from spkid.train.experiment import read_description


@dataclasses.dataclass(frozen=True)
class Work:
    """What differs between the two kinds of decisions.

    entries, sources: what a job is given, as `ArchiveJobs` says; record: the method and its options for vad.json;
    command: of a job, from its jobs and the option that names its report.
    """

    inputs: list[str]
    options: dict[str, Any]
    entries: Mapping[str, str]
    sources: Mapping[str, str] | None
    record: tuple[str, dict[str, Any]]
    command: Callable[[ArchiveJobs, str], list[str]]


class ComputeVadDecision(Program):
    """Decides in parallel which frames of a data directory's utterances are speech: vad.scp, and how in vad.json.

    By the energy in its features (`compute-vad`): column 0 must be a log energy, as in MFCC and in filter banks made
    with --use-energy=true. Or, with --model, by a network that egs/vad trained (`vad-compute`): on the directory's
    features where the network was trained on such, else on its audio; the decisions fit the directory's frames in
    both cases. Logs go to <log-dir> (<data-dir>/log), archives to <archive-dir> (<data-dir>/data).
    """

    EXAMPLE = "steps/compute_vad_decision.py --nj 8 --vad-config conf/vad.conf data/train exp/make_vad mfcc"

    nj = cli.SwitchAttr("--nj", int, default=4, argname="n", help="number of parallel jobs; it changes no decision")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="launcher of the jobs, with its options")
    vad_config = cli.SwitchAttr(
        "--vad-config", str, default="conf/vad.conf", argname="file", help="options of compute-vad"
    )
    model = cli.SwitchAttr(
        "--model", str, default="", argname="exp-dir", help="decide by this network, such as egs/vad/exp/noisy"
    )
    threshold = cli.SwitchAttr(
        "--threshold", fraction, default=0.5, help="with --model: speech is what is more probable than this"
    )
    smoothing = cli.SwitchAttr(
        "--smoothing",
        cli.Range(0, 10**6),
        default=0,
        help="with --model: average probabilities over so many frames on each side first",
    )
    output_dir = cli.SwitchAttr(
        "--output-dir", str, default="", help="write vad.scp and vad.json there; log and archives, too, by default"
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, log_dir: str = "", archive_dir: str = "") -> int:
        data = DataDir(data_dir)
        work = self._by_model(data) if self.model else self._by_energy(data)
        out = Path(self.output_dir or data.root)
        if out.resolve() == Path(data.root).resolve() and (read_vad_record(out) or {}).get("method") == "labels":
            raise InputError(f"{out}/vad.scp: holds somebody's labels: write decisions elsewhere with --output-dir")
        logs, archives = Path(log_dir or out / "log"), Path(archive_dir or out / "data")
        name = Path(data_dir).resolve().name
        step = Step(
            "compute_vad_decision",
            archives / f"compute_vad_{name}",
            inputs=work.inputs,
            options=work.options,
            outputs=[out / "vad.scp", out / VAD_JSON],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            jobs = ArchiveJobs(step, data, archives / f"vad_{name}", work.entries, self.nj, sources=work.sources)
            out.mkdir(parents=True, exist_ok=True)
            set_aside(DataDir(out), ["vad.scp", VAD_JSON])
            report = f"--report={jobs.parts.temporary}"
            # a job without any voiced frame exits with 1 but is complete: its report, written last, counts
            command = [*work.command(jobs, report), "||", "test", "-s", str(jobs.parts.temporary)]
            jobs.run(self.cmd, logs / f"vad_{name}.JOB.log", command)
            failed = jobs.collect(self.min_fraction)
            write_vad_record(out, *work.record)
            jobs.publish(str((out / "vad.scp").absolute()))
            given = len(jobs.entries)
            done = given - len(failed)
            step.finish(f"speech found in {done} of {given} utterances of {data.root}", jobs.manifest(failed))
            jobs.clean()
        return 0

    def _by_energy(self, data: DataDir) -> Work:
        data.require("feats.scp")
        if not Path(self.vad_config).is_file():
            raise InputError(f"{self.vad_config}: no such file; --vad-config names one with options of compute-vad")
        groups = fill_from_config(self.vad_config, [VadOptions, OmissionOptions])
        features = read_record(data.root)
        made = {"feature_type": features.type, "feature_options": features.options}
        return Work(
            [data.path("feats.scp")],
            {key: value for group in groups for key, value in dataclasses.asdict(group).items()},
            data.read("feats.scp"),
            None,
            ("energy", {**dataclasses.asdict(groups[0]), **made}),
            lambda jobs, report: [
                *("compute-vad", f"--config={self.vad_config}", report, f"scp:{jobs.list_file}", jobs.wspecifier)
            ],
        )

    def _by_model(self, data: DataDir) -> Work:
        front_end = read_description(self.model)[1]
        record = vad_record(self.model, self.threshold, self.smoothing)
        options = {name: record[name] for name in ("weights", "threshold", "smoothing")}
        files = [data.path(name) for name in ("feats.scp", FEATS_JSON) if data.has(name)]
        if reads_features(front_end, data.root):
            inputs, entries, sources = files, data.read("feats.scp"), None
        else:
            detector_waves(front_end, f"{self.model}: the features of this network")
            names = ("wav.scp", "segments", "utt2num_frames")
            inputs = [*(data.path(name) for name in names if data.has(name)), *files]
            segments = data.read("segments") if data.has("segments") else None
            entries = data.wav_scp if segments is None else segments
            sources = None if segments is None else data.wav_scp
            options["frames"] = [fingerprint(path) for path in files]  # which the decisions have to fit
        tool = ["vad-compute", f"--threshold={self.threshold}", f"--smoothing={self.smoothing}"]
        return Work(
            inputs,
            options,
            entries,
            sources,
            ("model", record),
            lambda jobs, report: [*tool, report, self.model, str(data.root), str(jobs.list_file), jobs.wspecifier],
        )


if __name__ == "__main__":
    ComputeVadDecision.run()
