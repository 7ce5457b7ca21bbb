"""What steps/make_mfcc.py and steps/make_fbank.py share: features of a data directory, made by parallel jobs."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from plumbum import cli

from spkid.bin._extraction import ExtractionOptions, VtlnOptions
from spkid.data.front_end import FEATS_JSON, FeatureRecord, write_record
from spkid.jobs import Program, Step, boolean, fraction
from spkid.jobs.archives import ArchiveJobs, set_aside
from spkid.jobs.lock import Lock
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_check import check_data_dir
from spkid.kaldi.options import fill_from_config

MADE_HERE = ("feats.scp", "utt2num_frames", "vad.scp")  # what an earlier run left is not this run's concern


class MakeFeatures(Program):
    """Runs `compute-<type>-feats` over a data directory; leaves feats.scp, utt2num_frames and feats.json."""

    TYPE: ClassVar[str]
    OPTIONS: ClassVar[type]

    nj = cli.SwitchAttr("--nj", int, default=4, argname="n", help="parallel jobs; their number changes no feature")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="launcher of the jobs, with its options")
    compress = cli.SwitchAttr(
        "--compress", boolean, default=True, help="write compressed archives, about a quarter of the size"
    )
    write_utt2num_frames = cli.SwitchAttr(
        "--write-utt2num-frames", boolean, default=True, help="write utt2num_frames to the data directory"
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, log_dir: str = "", archive_dir: str = "") -> int:
        data = DataDir(data_dir)
        for remark in check_data_dir(data, ("wav.scp",), skip=MADE_HERE):
            print(f"make_{self.TYPE}: note: {remark}", flush=True)
        logs, archives = Path(log_dir or data.path("log")), Path(archive_dir or data.path("data"))
        features, extraction, vtln = self._read_config()
        name = Path(data_dir).resolve().name
        step = Step(
            f"make_{self.TYPE}",
            archives / f"make_{self.TYPE}_{name}",
            inputs=[data.path(file) for file in ("wav.scp", "segments", "utt2warp") if data.has(file)],
            options={**features, **extraction, **vtln, "compress": self.compress},
            outputs=[
                data.path(file)
                for file in ("feats.scp", FEATS_JSON, *(["utt2num_frames"] if self.write_utt2num_frames else []))
            ],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            with Lock(data.path(".feats.lock")):  # two kinds of features for one data directory: one after the other
                jobs = ArchiveJobs(
                    step,
                    data,
                    archives / f"raw_{self.TYPE}_{name}",
                    data.read("segments") if data.has("segments") else data.wav_scp,
                    self.nj,
                    sources=data.wav_scp if data.has("segments") else None,
                )
                set_aside(data, ["feats.scp", FEATS_JSON])
                jobs.run(self.cmd, logs / f"make_{self.TYPE}_{name}.JOB.log", self._command(data, jobs))
                failed = jobs.collect(self.min_fraction)
                if self.write_utt2num_frames:
                    jobs.join(jobs.parts.directory / "num_frames.JOB", "utt2num_frames")
                if not data.has("utt2dur") and not failed:
                    jobs.join(jobs.parts.directory / "utt2dur.JOB", "utt2dur")
                write_record(data.root, FeatureRecord(self.TYPE, features))
                jobs.publish("feats.scp")
            given = len(jobs.entries)
            step.finish(
                f"{self.TYPE} of {given - len(failed)} of {given} utterances of {data.root}", jobs.manifest(failed)
            )
            jobs.clean()
        return 0

    def _read_config(self) -> list[dict]:
        """All options of the tool, as the configuration file and its defaults say."""
        path = getattr(self, f"{self.TYPE}_config")
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file; --{self.TYPE}-config names one with options of {self._tool}")
        filled = fill_from_config(path, [self.OPTIONS, ExtractionOptions, VtlnOptions])
        return [dataclasses.asdict(group) for group in filled]

    @property
    def _tool(self) -> str:
        return f"compute-{self.TYPE}-feats"

    def _command(self, data: DataDir, jobs: ArchiveJobs) -> list[str]:
        parts = jobs.parts.directory
        waves, extract = f"scp:{jobs.list_file}", []
        if data.has("segments"):
            waves = "ark:-"
            report = f"--report={parts / 'first.JOB.json'}"
            extract = ["extract-segments", report, f"scp:{jobs.source_file}", str(jobs.list_file), "ark:-", "|"]
        tool = [self._tool, f"--config={getattr(self, f'{self.TYPE}_config')}", f"--report={jobs.parts.temporary}"]
        if data.has("utt2warp"):
            tool.append(f"--vtln-map=ark:{data.path('utt2warp')}")
        tool.append(f"--write-utt2dur=ark,t:{parts / 'utt2dur.JOB'}")
        copy = [
            "copy-feats",
            f"--compress={str(self.compress).lower()}",
            f"--write-num-frames=ark,t:{parts / 'num_frames.JOB'}",
            "ark:-",
            jobs.wspecifier,
        ]
        return [*extract, *tool, waves, "ark:-", "|", *copy]
