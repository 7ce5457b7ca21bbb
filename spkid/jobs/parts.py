"""What the jobs of a step have finished, kept across a crash."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path


class Parts:
    """A directory with a report for each job that finished, numbered from 1.

    keys: one string a job, a digest of all that decides what this job computes. What belongs to another key, to a job
    that has not finished or to one that there is no longer is removed. A job writes its report (see
    `spkid.kaldi.report`) to `temporary`; `publish` are the words that end its command: once its outputs are in place
    they rename the report, and from then on the part is finished. `JOB` in both is the job's number.
    """

    def __init__(self, directory: str | os.PathLike, keys: Sequence[str], keep: bool = True):
        self.directory = Path(directory)
        self.jobs = range(1, len(keys) + 1)
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.temporary = self.directory / "report.JOB.tmp"
        self.publish = ["&&", "mv", str(self.temporary), str(self.directory / "report.JOB.json")]
        finished = {str(job) for job, key in zip(self.jobs, keys, strict=True) if self._has_finished(job, key)}
        for file in self.directory.iterdir():
            if file.name.split(".")[1] not in finished:  # <what>.<job>, <what>.<job>.json
                file.unlink()
        for job, key in zip(self.jobs, keys, strict=True):
            self._key_file(job).write_text(key, encoding="utf-8")

    def _key_file(self, job: int) -> Path:
        return self.directory / f"key.{job}"

    def _has_finished(self, job: int, key: str) -> bool:
        try:
            return self.report_file(job).exists() and self._key_file(job).read_text(encoding="utf-8") == key
        except OSError:
            return False

    def report_file(self, job: int) -> Path:
        return self.directory / f"report.{job}.json"

    def remaining(self) -> list[int]:
        """Numbers of the jobs that have not finished."""
        return [job for job in self.jobs if not self.report_file(job).exists()]

    def forget(self, job: int) -> None:
        """Makes a job count as not finished."""
        self.report_file(job).unlink(missing_ok=True)

    def accept_empty(self) -> None:
        """Counts as finished each job that went through all of its ids and could do none (its tool exits with 1)."""
        for job in self.remaining():
            temporary = Path(str(self.temporary).replace("JOB", str(job)))
            try:
                report = json.loads(temporary.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if not report["done"]:
                temporary.rename(self.report_file(job))

    def failed(self) -> dict[str, str]:
        """Why ids failed, over all jobs that have finished."""
        reports = [json.loads(self.report_file(job).read_text(encoding="utf-8")) for job in self.jobs]
        return {utterance: reason for report in reports for utterance, reason in report["failed"].items()}
