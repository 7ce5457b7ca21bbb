#!/usr/bin/env python3
"""Makes the data directory that a network is trained on: normalised features of speech, of utterances long enough."""

from collections import Counter
from pathlib import Path

from plumbum import cli

from spkid.data.front_end import (
    CMN_KINDS,
    FEATS_JSON,
    FeatureRecord,
    read_record,
    sliding_window,
    transforms,
    write_record,
)
from spkid.data.source import FeatureSource
from spkid.jobs import Program, Step, boolean, fraction
from spkid.jobs.archives import ArchiveJobs
from spkid.jobs.failures import account_for
from spkid.jobs.manifest import manifest
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.tables import write_id_map


class PrepareFeatsForEgs(Program):
    """Copies DATA-DIR to OUT-DIR with sliding mean normalisation applied and non-speech removed.

    With --on-the-fly true no features are written: OUT-DIR points to the old ones and records what training has to do
    when it reads them, with the same result. Short utterances and small speakers are dropped and counted. Archives go
    to ARCHIVE-DIR (OUT-DIR/data).
    """

    EXAMPLE = "steps/prepare_feats_for_egs.py --nj 8 data/train data/train_no_sil exp/train_no_sil"

    nj = cli.SwitchAttr("--nj", cli.Range(1, 100000), default=4, help="number of jobs; never changes the features")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="launcher of the jobs, with its options")
    cmn = cli.SwitchAttr(
        "--cmn", cli.Set(*CMN_KINDS), default="sliding", help="mean normalisation; cmvn, frame: of the deviation too"
    )
    cmn_window = cli.SwitchAttr("--cmn-window", cli.Range(1, 10**9), default=300, help="frames, of --cmn sliding")
    vad = cli.SwitchAttr("--vad", boolean, default=True, help="remove the frames that vad.scp does not call speech")
    on_the_fly = cli.SwitchAttr(
        "--on-the-fly", boolean, default=False, help="record what is to be done to the features instead of writing them"
    )
    compress = cli.SwitchAttr("--compress", boolean, default=True, help="write compressed archives")
    min_frames = cli.SwitchAttr(
        "--min-frames", cli.Range(0, 10**9), default=400, help="drop utterances with fewer frames of speech"
    )
    min_utts = cli.SwitchAttr(
        "--min-utts", cli.Range(0, 10**9), default=8, help="drop speakers with fewer utterances than this"
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this can be read"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, out_dir: str, archive_dir: str = ""):
        data = DataDir(data_dir)
        data.check(needs=("utt2spk", "feats.scp", "vad.scp") if self.vad else ("utt2spk", "feats.scp"))
        wanted = transforms(self.cmn, self.cmn_window, self.vad)
        record = read_record(data_dir)
        to_apply = record.remaining(wanted, data_dir)
        if {"cmn_utterance", "cmvn_utterance", "cmvn_frame"} & {*to_apply} and not self.on_the_fly:
            raise InputError(f"--cmn {self.cmn} is done while reading: give it together with --on-the-fly true")
        archives = Path(archive_dir or Path(out_dir) / "data")
        step = Step(
            "prepare_feats_for_egs",
            archives / f"prepare_feats_{Path(out_dir).resolve().name}",
            inputs=[data.path(name) for name in ("utt2spk", "feats.scp", "vad.scp", FEATS_JSON) if data.has(name)],
            options={
                "transforms": wanted,
                "on_the_fly": self.on_the_fly,
                "compress": self.compress,
                "min_frames": self.min_frames,
                "min_utts": self.min_utts,
            },
            outputs=[Path(out_dir) / name for name in ("utt2spk", "feats.scp", FEATS_JSON)],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            failed: dict[str, str] = {}
            source = FeatureSource(data_dir, to_apply, data.utterances, failed)
            frames = {one: int(count) for one, count in zip(source.ids, source.num_frames, strict=True)}
            long_enough = [utterance for utterance in source.ids if frames[utterance] >= max(self.min_frames, 1)]
            if long_enough and to_apply and not self.on_the_fly:
                jobs = self._write_features(step, data, to_apply, long_enough, archives / Path(out_dir).resolve().name)
                failed |= jobs.collect(self.min_fraction)
                scripts = jobs.script
            else:
                jobs, scripts = None, data.read("feats.scp")
            given, short = len(data.utterances), len(frames) - len(long_enough)
            account_for(step, data.root, given, dict(sorted(failed.items())), self.min_fraction)
            usable = [utterance for utterance in long_enough if utterance in scripts and utterance not in failed]
            per_speaker = Counter(data.utt2spk[utterance] for utterance in usable)
            kept = [utterance for utterance in usable if per_speaker[data.utt2spk[utterance]] >= self.min_utts]
            if not kept:
                raise InputError(
                    f"{data_dir}: nothing is left: of {given} utterances {short} have fewer than {self.min_frames} "
                    f"frames, and no speaker has {self.min_utts} others; lower --min-frames or --min-utts"
                )
            self._write_directory(data, out_dir, record, to_apply, kept, frames, scripts if jobs else None)
            speakers = len({data.utt2spk[utterance] for utterance in kept})
            small = sum(count < self.min_utts for count in per_speaker.values())
            step.finish(
                f"{len(kept)} of {given} utterances and {speakers} of {len(data.speakers)} speakers are left: "
                f"{short} utterances under {self.min_frames} frames, {small} speakers with fewer than {self.min_utts} "
                f"utterances ({len(usable) - len(kept)} utterances), {len(failed)} unreadable",
                manifest(data.utterances, failed),
                kept=len(kept),
                short=short,
                small_speakers=small,
            )
            if jobs:
                jobs.clean()
        return 0

    def _write_features(
        self, step: Step, data: DataDir, to_apply: list[str], utterances: list[str], prefix: Path
    ) -> ArchiveJobs:
        feats = data.read("feats.scp")
        entries = {utterance: feats[utterance] for utterance in utterances}
        jobs = ArchiveJobs(step, data, prefix.with_name(f"feats_{prefix.name}"), entries, self.nj)
        tools = []
        window = next((window for name in to_apply if (window := sliding_window(name))), None)
        if window is not None:
            tools.append(["apply-cmvn-sliding", "--norm-vars=false", "--center=true", f"--cmn-window={window}"])
        if "vad" in to_apply:
            tools.append(["select-voiced-frames"])
        tools[0].append(f"--report={jobs.parts.directory / 'first.JOB.json'}")
        command, stream = [], f"scp:{jobs.list_file}"
        for tool in tools:
            decisions = [f"scp,s,cs:{data.path('vad.scp')}"] if tool[0] == "select-voiced-frames" else []
            command += [*tool, stream, *decisions, "ark:-", "|"]
            stream = "ark:-"
        compress = f"--compress={str(self.compress).lower()}"
        command += ["copy-feats", compress, f"--report={jobs.parts.temporary}", stream, jobs.wspecifier]
        jobs.run(self.cmd, step.outdir / "log" / "prepare_feats.JOB.log", command)
        return jobs

    def _write_directory(
        self,
        data: DataDir,
        out_dir: str,
        record: FeatureRecord,
        to_apply: list[str],
        kept: list[str],
        frames: dict[str, int],
        scripts: dict[str, str] | None,
    ) -> None:
        """The data directory of the kept utterances; `scripts` are their new features, None where there are none."""
        out = data.write_subset(out_dir, kept)
        counts = {utterance: frames[utterance] for utterance in kept}
        if scripts is None:
            if "vad" in to_apply:
                write_id_map(out.path("utt2num_voiced"), counts)
            write_record(out.root, FeatureRecord(record.type, record.options, record.applied, to_apply))
            return
        write_id_map(out.path("feats.scp"), {utterance: scripts[utterance] for utterance in kept})
        write_id_map(out.path("utt2num_frames"), counts)
        for name in ("vad.scp", "utt2num_voiced"):  # they tell of the features before
            Path(out.path(name)).unlink(missing_ok=True)
        write_record(out.root, FeatureRecord(record.type, record.options, [*record.applied, *to_apply]))


if __name__ == "__main__":
    PrepareFeatsForEgs.run()
