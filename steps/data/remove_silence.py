#!/usr/bin/env python3
"""A copy of a data directory whose recordings have no silence any more (Deep Speaker's preparation)."""

from pathlib import Path

from plumbum import cli

from spkid.jobs import Program, Step, fraction
from spkid.jobs.archives import ArchiveJobs
from spkid.kaldi import DataDir, InputError

# What tells of the recordings before.
LEFT_BEHIND = ("segments", "reco2dur", "feats.scp", "feats.json", "utt2num_frames", "vad.scp", "vad.json", "utt2uniq")


class RemoveSilence(Program):
    """Writes OUT-DIR: the utterances of DATA-DIR as WAV archives without their chunks of 50 ms below --threshold.

    Levels are Deep Speaker's: 20 log10 of the root of the sum of squares of 16-bit samples, over their number.
    Utterances in which nothing is left are dropped and counted. Logs go to LOG-DIR (OUT-DIR/log), archives to
    ARCHIVE-DIR (OUT-DIR/data).
    """

    EXAMPLE = "steps/data/remove_silence.py --nj 8 --threshold 15 data/train data/train_speech exp/remove_silence"

    nj = cli.SwitchAttr("--nj", int, default=4, argname="n", help="parallel jobs; their number changes no sample")
    cmd = cli.SwitchAttr("--cmd", str, default="utils/run.py", help="launcher of the jobs, with its options")
    threshold = cli.SwitchAttr("--threshold", float, default=15.0, help="in dB; Deep Speaker on Kaldi's files: 20")
    min_duration = cli.SwitchAttr(
        "--min-duration",
        float,
        default=0.0,
        help="what is shorter is filled up with zeros to so many seconds (Deep Speaker: 1.61)",
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, out_dir: str, log_dir: str = "", archive_dir: str = "") -> int:
        data, out = DataDir(data_dir), DataDir(out_dir)
        data.check(needs=("utt2spk", "wav.scp"))
        if Path(data_dir).resolve() == Path(out_dir).resolve():
            raise InputError(f"{out_dir}: is the source itself: give another directory")
        logs, archives = Path(log_dir or out.path("log")), Path(archive_dir or out.path("data"))
        name = Path(out_dir).resolve().name
        tables = ("wav.scp", "segments", "utt2spk", "text", "spk2gender")
        step = Step(
            "remove_silence",
            archives / f"remove_silence_{name}",
            inputs=[data.path(file) for file in tables if data.has(file)],
            options={"threshold": self.threshold, "min_duration": self.min_duration},
            outputs=[out.path(file) for file in ("wav.scp", "utt2spk", "spk2utt", "utt2dur")],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            data.write_subset(out.root, data.utterances)
            segments = data.read("segments") if data.has("segments") else None
            jobs = ArchiveJobs(
                step,
                out,
                archives / f"speech_{name}",
                segments or data.wav_scp,
                self.nj,
                sources=data.wav_scp if segments else None,
            )
            Path(out.path("wav.scp")).unlink()  # those of the source
            jobs.run(self.cmd, logs / f"remove_silence_{name}.JOB.log", self._command(jobs))
            failed = jobs.collect(self.min_fraction)
            if failed:
                data.write_subset(out.root, [utterance for utterance in data.utterances if utterance not in failed])
            for file in LEFT_BEHIND:
                Path(out.path(file)).unlink(missing_ok=True)
            jobs.join(jobs.parts.directory / "utt2dur.JOB", "utt2dur")
            jobs.publish("wav.scp")
            given = len(jobs.entries)
            step.finish(
                f"{given - len(failed)} of {given} utterances without silence in {out_dir}", jobs.manifest(failed)
            )
            jobs.clean()
        return 0

    def _command(self, jobs: ArchiveJobs) -> list[str]:
        parts = jobs.parts.directory
        waves, extract = f"scp:{jobs.list_file}", []
        if jobs.sources[0] is not None:
            waves = "ark:-"
            report = f"--report={parts / 'first.JOB.json'}"
            extract = ["extract-segments", report, f"scp:{jobs.source_file}", str(jobs.list_file), "ark:-", "|"]
        options = [f"--threshold={self.threshold}", f"--min-duration={self.min_duration}"]
        durations = f"--write-utt2dur=ark,t:{parts / 'utt2dur.JOB'}"
        report = f"--report={jobs.parts.temporary}"
        return [*extract, "wav-remove-silence", *options, durations, report, waves, jobs.wspecifier]


if __name__ == "__main__":
    RemoveSilence.run()
