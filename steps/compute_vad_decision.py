#!/usr/bin/env python3
"""Decides frame by frame, from the energy in the features, where there is speech."""

import dataclasses
from pathlib import Path

from plumbum import cli

from spkid.bin.compute_vad import OmissionOptions
from spkid.data.front_end import VAD_JSON, read_record, write_vad_record
from spkid.features.options import VadOptions
from spkid.jobs import Program, Step, fraction
from spkid.jobs.archives import ArchiveJobs, set_aside
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.options import fill_from_config


class ComputeVadDecision(Program):
    """Runs `compute-vad` over the features of a data directory in parallel; leaves vad.scp and vad.json (its options).

    Column 0 of the features must be a log energy, as in MFCC and in filter banks made with --use-energy=true.
    Logs go to <log-dir> (<data-dir>/log), archives to <archive-dir> (<data-dir>/data).
    """

    EXAMPLE = "steps/compute_vad_decision.py --nj 8 --vad-config conf/vad.conf data/train exp/make_vad mfcc"

    nj = cli.SwitchAttr("--nj", int, default=4, argname="n", help="number of parallel jobs; it changes no decision")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="launcher of the jobs, with its options")
    vad_config = cli.SwitchAttr(
        "--vad-config", str, default="conf/vad.conf", argname="file", help="options of compute-vad"
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, log_dir: str = "", archive_dir: str = "") -> int:
        data = DataDir(data_dir)
        data.require("feats.scp")
        if not Path(self.vad_config).is_file():
            raise InputError(f"{self.vad_config}: no such file; --vad-config names one with options of compute-vad")
        groups = fill_from_config(self.vad_config, [VadOptions, OmissionOptions])
        logs, archives = Path(log_dir or data.path("log")), Path(archive_dir or data.path("data"))
        name = Path(data_dir).resolve().name
        step = Step(
            "compute_vad_decision",
            archives / f"compute_vad_{name}",
            inputs=[data.path("feats.scp")],
            options={key: value for group in groups for key, value in dataclasses.asdict(group).items()},
            outputs=[data.path("vad.scp"), data.path(VAD_JSON)],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            jobs = ArchiveJobs(step, data, archives / f"vad_{name}", data.read("feats.scp"), self.nj)
            set_aside(data, ["vad.scp", VAD_JSON])
            tool = ["compute-vad", f"--config={self.vad_config}", f"--report={jobs.parts.temporary}"]
            # a job without any voiced frame exits with 1 but is complete: its report, written last, counts
            command = [*tool, f"scp:{jobs.list_file}", jobs.wspecifier, "||", "test", "-s", str(jobs.parts.temporary)]
            jobs.run(self.cmd, logs / f"vad_{name}.JOB.log", command)
            failed = jobs.collect(self.min_fraction)
            features = read_record(data.root)
            made = {"feature_type": features.type, "feature_options": features.options}
            write_vad_record(data.root, "energy", {**dataclasses.asdict(groups[0]), **made})
            jobs.publish("vad.scp")
            given = len(jobs.entries)
            done = given - len(failed)
            step.finish(f"speech found in {done} of {given} utterances of {data.root}", given=given, failed=failed)
            jobs.clean()
        return 0


if __name__ == "__main__":
    ComputeVadDecision.run()
