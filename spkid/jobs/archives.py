"""A table over all utterances of a data directory, made by parallel jobs: their lists, archives and joined scp."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from spkid.jobs.failures import account_for
from spkid.jobs.fingerprints import listed_file, stamp
from spkid.jobs.manifest import manifest
from spkid.jobs.parts import Parts
from spkid.jobs.step import Step
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_split import balanced_cuts
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import read_id_map


class ArchiveJobs:
    """The jobs of a step that computes something for each utterance: `<prefix>.1.ark`, `<prefix>.1.scp`, ...

        jobs = ArchiveJobs(step, data, Path("mfcc/raw_mfcc_train"), data.wav_scp, nj=4)
        jobs.run("utils/run.py", log, ["compute-mfcc-feats", f"scp:{jobs.list_file}", jobs.wspecifier])
        failed = jobs.collect(min_fraction=0.95)
        jobs.publish("feats.scp")
        step.finish("...", jobs.manifest(failed))

    The utterances are cut into runs of about equal duration. entries: utterance -> what the jobs read for it (an
    rxfilename, or a line of `segments`), in the data directory's order; each job finds its share in `list_file`.
    sources: what else the entries refer to (recordings of the segments), recording -> rxfilename; a job's share is in
    `source_file`. `JOB` in all names stands for the job's number.
    """

    def __init__(
        self,
        step: Step,
        data: DataDir,
        prefix: Path,
        entries: Mapping[str, str],
        nj: int,
        sources: Mapping[str, str] | None = None,
    ):
        if nj < 1:
            raise InputError(f"--nj is at least 1, not {nj}")
        for forbidden in (",", "JOB"):  # they mean something in a wspecifier and in a launcher's command
            if forbidden in f"{prefix.absolute()} {step.outdir}":
                raise InputError(f"{prefix.parent}: {forbidden!r} cannot be in the path of a directory for archives")
        self.step = step
        self.data = data
        self.prefix = prefix.absolute()
        self.entries = dict(entries)
        self._claim()
        lengths = data.durations() or {}
        utterances = list(self.entries)
        weights = [lengths.get(utterance.encode(), 1.0) for utterance in utterances]
        cuts = balanced_cuts(weights, min(nj, len(utterances)))
        self.shares = [utterances[begin:end] for begin, end in pairwise(cuts)]
        self.sources = [self._sources_of(share, sources) for share in self.shares]
        keys = [self._key(share, listed) for share, listed in zip(self.shares, self.sources, strict=True)]
        self.parts = Parts(step.outdir / "parts", keys, keep=not step.force)
        for job in self.parts.jobs:
            if not self._is_intact(job):
                self.parts.forget(job)
        self.list_file = self.parts.directory / "list.JOB"
        self.source_file = self.parts.directory / "source.JOB"

    @property
    def wspecifier(self) -> str:
        """Where a job writes its archive and script."""
        return f"ark,scp:{self.prefix}.JOB.ark,{self.prefix}.JOB.scp"

    def run(self, cmd: str, log: Path, command: Sequence[str]) -> None:
        """Runs the jobs that have not finished. The command has to write its report to `parts.temporary`."""
        remaining = self.parts.remaining()
        if not remaining:
            return
        if len(remaining) < len(self.shares):
            self.step.say(f"goes on: {len(self.shares) - len(remaining)} of {len(self.shares)} parts are finished")
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        for job in remaining:
            for kind in ("ark", "scp"):
                self._archive(job, kind).unlink(missing_ok=True)
            self._stamp_file(job).unlink(missing_ok=True)
            share, sources = self.shares[job - 1], self.sources[job - 1]
            _write(self.list_file, job, {utterance: self.entries[utterance] for utterance in share})
            if sources is not None:
                _write(self.source_file, job, sources)
        try:
            self.step.run_jobs(cmd, len(self.shares), log, [*command, *self.parts.publish], jobs=remaining)
        except InputError:
            self.parts.accept_empty()
            if self.parts.remaining():
                raise

    def collect(self, min_fraction: float) -> dict[str, str]:
        """Looks at what all jobs have left; returns why utterances are missing from it (also in `<outdir>/failed`).

        Raises InputError where less than `min_fraction` of the utterances, or none, were done.
        """
        for job in self.parts.jobs:
            self._stamp_file(job).write_text(self._stamp(job), encoding="utf-8")
        reasons = self._reasons()
        failed = {
            utterance: reasons.get(utterance, "its job left it out without a reason")
            for utterance in self.entries
            if utterance not in self.script
        }
        account_for(self.step, self.data.root, len(self.entries), failed, min_fraction)
        return failed

    def manifest(self, failed: Mapping[str, str]) -> dict:
        """What became of the utterances, for `step.finish`; `failed` is what `collect` returned."""
        return manifest(self.entries, failed)

    def publish(self, name: str) -> None:
        """Writes the joined script as the data directory's `name` (or an absolute path) in its order, in one rename."""
        self._write_in_order(name, self.script)

    @cached_property
    def script(self) -> dict[str, str]:
        """Utterance -> place in an archive, of all jobs."""
        return self._joined(Path(f"{self.prefix}.JOB.scp"))

    def join(self, part_file: Path, name: str) -> None:
        """Joins `id value` files of the jobs (`JOB` in the name) to the data directory's `name`, in its order."""
        values = self._joined(part_file)
        lost = next((utterance for utterance in self.script if utterance not in values), None)
        if lost is not None:
            raise InputError(f"{part_file}: {lost}, which is done, is in none of these files: --force makes them again")
        self._write_in_order(name, values)

    def clean(self) -> None:
        """Removes archives of jobs that an earlier run had and this one has not; call it once `.done.json` stands."""
        for file in self.prefix.parent.glob(f"{self.prefix.name}.*"):
            number, _, kind = file.name.removeprefix(f"{self.prefix.name}.").partition(".")
            if number.isdigit() and kind in ("ark", "scp") and int(number) > len(self.shares):
                file.unlink()

    def _claim(self) -> None:
        """Keeps two data directories of the same name from writing to the same archives."""
        record = self.step.outdir / "data_dir"
        mine = os.path.relpath(self.data.root, self.step.outdir)
        try:
            owner = record.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            owner = mine
        if owner != mine and (self.step.outdir / owner).is_dir():
            other = os.path.normpath(self.step.outdir / owner)
            raise InputError(
                f"{self.prefix}.*.ark belong to {other}; {self.data.root} has the same name and needs another directory"
            )
        with atomic_write(record) as stream:
            stream.write(f"{mine}\n")

    def _sources_of(self, share: Sequence[str], sources: Mapping[str, str] | None) -> dict[str, str] | None:
        if sources is None:
            return None
        recordings = sorted({self.entries[utterance].split()[0] for utterance in share})
        return {recording: sources[recording] for recording in recordings if recording in sources}

    def _key(self, share: Sequence[str], sources: dict[str, str] | None) -> str:
        """A digest of the step's options and of all that this job reads."""
        digest = hashlib.sha256(json.dumps([self.step.name, self.step.options], sort_keys=True).encode())
        stamps: dict[str, str] = {}
        lines = [f"{utterance} {self.entries[utterance]}" for utterance in share]
        lines += [f"{recording} {name}" for recording, name in (sources or {}).items()]
        for line in lines:
            file = listed_file(line.partition(" ")[2])
            if file is not None and file not in stamps:
                stamps[file] = stamp(file)
            digest.update(f"{line} {stamps.get(file, '')}\n".encode())
        return digest.hexdigest()

    def _archive(self, job: int, kind: str) -> Path:
        return Path(f"{self.prefix}.{job}.{kind}")

    def _stamp_file(self, job: int) -> Path:
        return self.parts.directory / f"stamp.{job}"

    def _stamp(self, job: int) -> str:
        return " ".join(stamp(self._archive(job, kind)) for kind in ("ark", "scp"))

    def _is_intact(self, job: int) -> bool:
        """Whether a part's files are there, and still those that a run which came to its end has seen."""
        now = self._stamp(job)
        seen = self._stamp_file(job)
        return "missing" not in now and (not seen.exists() or seen.read_text(encoding="utf-8") == now)

    def _reasons(self) -> dict[str, str]:
        """Why utterances failed; what the first tool of a pipe said counts too (`first.JOB.json` among the parts)."""
        reasons = self.parts.failed()
        for job in self.parts.jobs:
            first = self.parts.directory / f"first.{job}.json"
            if first.exists():
                reasons |= json.loads(first.read_text(encoding="utf-8"))["failed"]
        return reasons

    def _write_in_order(self, name: str, values: Mapping[str, str]) -> None:
        with atomic_write(self.data.path(name)) as stream:
            stream.writelines(f"{utterance} {values[utterance]}\n" for utterance in self.entries if utterance in values)

    def _joined(self, part_file: Path) -> dict[str, str]:
        values: dict[str, str] = {}
        for job in self.parts.jobs:
            file = _numbered(part_file, job)
            if file.exists() and file.stat().st_size:
                values |= read_id_map(str(file))
        return values


def _numbered(path: Path, job: int) -> Path:
    return path.with_name(path.name.replace("JOB", str(job)))


def _write(path: Path, job: int, lines: Mapping[str, str]) -> None:
    with atomic_write(_numbered(path, job)) as stream:
        stream.writelines(f"{key} {value}\n" for key, value in lines.items())


def set_aside(data: DataDir, names: Sequence[str]) -> None:
    """Moves files of the data directory to its `.backup`: they tell of archives that are about to change."""
    for name in names:
        if data.has(name):
            os.makedirs(data.path(".backup"), exist_ok=True)
            os.replace(data.path(name), data.path(os.path.join(".backup", name)))
