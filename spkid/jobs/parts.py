"""What the jobs of a step have finished, kept across a crash."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path


class Parts:
    """A directory `parts/<key>` under a step's output directory with a report for each of `nj` jobs that finished.

    The key is a digest of all that decides what the jobs compute: a run with another key starts from nothing. A job
    writes its report (`spkid.kaldi.report.Report`) to `temporary`, and `publish` are the words that end its command:
    once its outputs are in place they rename the report, which makes the part count as finished.
    """

    def __init__(self, outdir: str | os.PathLike, nj: int, decides: Mapping, keep: bool = True):
        key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
        self.nj = nj
        self.directory = Path(outdir) / "parts" / key
        if self.directory.parent.is_dir():
            for other in self.directory.parent.iterdir():
                if not keep or other != self.directory:
                    shutil.rmtree(other)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.temporary = self.directory / "report.JOB.tmp"
        self.publish = ["&&", "mv", str(self.temporary), str(self.directory / "report.JOB.json")]

    def report_file(self, job: int) -> Path:
        return self.directory / f"report.{job}.json"

    def remaining(self) -> list[int]:
        """Numbers (from 1) of the jobs that have not finished."""
        return [job for job in range(1, self.nj + 1) if not self.report_file(job).exists()]

    def forget(self, job: int) -> None:
        """Makes a job count as not finished (its output has been lost)."""
        self.report_file(job).unlink(missing_ok=True)

    def report(self) -> tuple[int, int, dict[str, str]]:
        """Sum over all jobs: how many ids were given, how many done, and why each of the others failed."""
        reports = [json.loads(self.report_file(job).read_text(encoding="utf-8")) for job in range(1, self.nj + 1)]
        failed = {utterance: reason for report in reports for utterance, reason in report["failed"].items()}
        return sum(report["given"] for report in reports), sum(report["done"] for report in reports), failed

    def remove(self) -> None:
        """Deletes the records: the step's own `.done.json` takes their place."""
        shutil.rmtree(self.directory.parent, ignore_errors=True)
