"""What the steps share that make another recording of every utterance of a data directory, by parallel jobs."""

from pathlib import Path

from plumbum import cli

from spkid.jobs import Program, Step, fraction
from spkid.jobs.archives import ArchiveJobs
from spkid.kaldi import DataDir, InputError

# What tells of the recordings before.
LEFT_BEHIND = ("segments", "reco2dur", "feats.scp", "feats.json", "utt2num_frames", "vad.scp", "vad.json", "utt2uniq")
TABLES = ("wav.scp", "segments", "utt2spk", "text", "spk2gender")


class CopyAudio(Program):
    """Writes OUT-DIR: what a tool makes of the utterances of DATA-DIR, in WAV archives."""

    nj = cli.SwitchAttr("--nj", int, default=4, argname="n", help="parallel jobs; their number changes no sample")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="launcher of the jobs, with its options")
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def renamed(self, data: DataDir, place: Path) -> DataDir:
        """The utterances of DATA-DIR under the ids of their copies: DATA-DIR itself, or one written to `place`."""
        return data

    def copy(self, name: str, tool: list[str], options: dict, places: tuple[str, str, str, str], what: str) -> None:
        """Runs `tool` (and its options) over the utterances.

        places: DATA-DIR, OUT-DIR, LOG-DIR and ARCHIVE-DIR, the last two empty where they were not given.
        what: ends the step's last line, "<done> of <given> utterances ...".
        """
        data_dir, out_dir, log_dir, archive_dir = places
        data, out = DataDir(data_dir), DataDir(out_dir)
        data.check(needs=("utt2spk", "wav.scp"))
        if Path(data_dir).resolve() == Path(out_dir).resolve():
            raise InputError(f"{out_dir}: is the source itself: give another directory")
        logs, archives = Path(log_dir or out.path("log")), Path(archive_dir or out.path("data"))
        set_name = Path(out_dir).resolve().name
        step = Step(
            name,
            archives / f"{name}_{set_name}",
            inputs=[data.path(file) for file in TABLES if data.has(file)],
            options=options,
            outputs=[out.path(file) for file in ("wav.scp", "utt2spk", "spk2utt", "utt2dur")],
            force=self.force,
        )
        with step:
            if step.is_done:
                return
            source = self.renamed(data, step.outdir / "renamed")
            source.write_subset(out_dir, source.utterances)  # with utt2dur, by which the jobs are cut
            segments = source.read("segments") if source.has("segments") else None
            jobs = ArchiveJobs(
                step,
                out,
                archives / f"{name}_audio_{set_name}",
                segments or source.wav_scp,
                self.nj,
                sources=source.wav_scp if segments else None,
            )
            Path(out.path("wav.scp")).unlink()  # those of the source
            jobs.run(self.cmd, logs / f"{name}_{set_name}.JOB.log", _command(tool, jobs))
            failed = jobs.collect(self.min_fraction)
            if failed:
                source.write_subset(out_dir, [utterance for utterance in source.utterances if utterance not in failed])
            for file in ("wav.scp", *LEFT_BEHIND):
                Path(out.path(file)).unlink(missing_ok=True)
            jobs.join(jobs.parts.directory / "utt2dur.JOB", "utt2dur")
            jobs.publish("wav.scp")
            given = len(jobs.entries)
            step.finish(f"{given - len(failed)} of {given} utterances {what}", jobs.manifest(failed))
            jobs.clean()


def _command(tool: list[str], jobs: ArchiveJobs) -> list[str]:
    parts = jobs.parts.directory
    waves, extract = f"scp:{jobs.list_file}", []
    if jobs.sources[0] is not None:
        waves = "ark:-"
        report = f"--report={parts / 'first.JOB.json'}"
        extract = ["extract-segments", report, f"scp:{jobs.source_file}", str(jobs.list_file), "ark:-", "|"]
    durations = f"--write-utt2dur=ark,t:{parts / 'utt2dur.JOB'}"
    return [*extract, *tool, durations, f"--report={jobs.parts.temporary}", waves, jobs.wspecifier]
