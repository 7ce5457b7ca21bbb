"""A pipeline step's contract: one run at a time, nothing computed twice, nothing repeated without a reason."""

import json
import os
import platform
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Self

from spkid import __version__
from spkid.jobs import plan
from spkid.jobs.array_job import ArrayJob, ranges
from spkid.jobs.calls import end_orphans, record_of
from spkid.jobs.fingerprints import fingerprint
from spkid.jobs.lock import Lock
from spkid.jobs.logs import has_ended, last_words, succeeded
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS_BETWEEN_LOOKS = 20.0
RECORD_KEYS = {"options", "inputs", "outputs", "summary", "seconds", "finished"}
RECORDED_PACKAGES = ("numpy", "scipy", "kaldiio", "soundfile", "torch")


class Step:
    """Holds `outdir` for one run of a step; `.done.json` there remembers what the last finished run was made from.

        with Step("make_mfcc", outdir, inputs=[wav_scp], options={"num_ceps": 30}, force=self.force) as step:
            if step.is_done:
                return 0                    # it has said so
            step.run_jobs(self.cmd, nj, logs / "make_mfcc.JOB.log", ["compute-mfcc-feats", ..., "ark:mfcc.JOB.ark"])
            step.finish("made MFCC of 600 utterances", manifest(utterances, failed))

    inputs: files (or directories of files) whose change makes the step run again; see `fingerprint`.
    options: whatever else decides the result (JSON values). What does not (number of jobs, where they run) stays out.
    outputs: files that must still be what the finished run left; a missing or altered one makes the step run again.

    Leaving the block releases the lock; jobs that outlive a killed run keep holding it. A directory in use: InputError.
    Where programs only plan (`--plan`, SPKID_PLAN), entering the block tells what would happen, and `is_done` is true.
    """

    def __init__(
        self,
        name: str,
        outdir: str | os.PathLike,
        inputs: Iterable[str | os.PathLike] = (),
        options: Mapping | None = None,
        outputs: Iterable[str | os.PathLike] = (),
        force: bool = False,
    ):
        self.name = name
        self.outdir = Path(outdir)
        self.inputs = [Path(path) for path in inputs]
        self.outputs = [Path(path) for path in outputs]
        self.options = json.loads(json.dumps(dict(options or {}), default=str))
        self.force = force
        self.is_done = False
        self._lock = Lock(self.outdir / ".lock")

    def __enter__(self) -> Self:
        if plan.is_planning():
            self._tell_plan()
            return self
        self.outdir.mkdir(parents=True, exist_ok=True)
        self._started = time.time()
        self._lock.acquire()
        try:
            self._end_orphans()
            self._input_fingerprints = self._fingerprints(self.inputs)
            self._compare()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._lock.release()

    @property
    def done_file(self) -> Path:
        return self.outdir / ".done.json"

    @property
    def lock_descriptor(self) -> int:
        """The open lock: processes that inherit it keep the output directory locked while they live."""
        return self._lock.descriptor

    def say(self, text: str) -> None:
        """Prints a line under the step's name."""
        print(f"{self.name}: {text}", flush=True)

    def run_jobs(
        self, cmd: str, nj: int, log: str | os.PathLike, command: Sequence[str], jobs: Sequence[int] | None = None
    ) -> None:
        """Runs `$cmd JOB=1:nj log command`, waits. `JOB` in the log's name and in the command becomes the job's number.

        command: words; `|`, `&&`, `>` and their like stand for themselves, everything else reaches the job as it is.
        jobs: only these numbers of 1..nj. Raises InputError naming the log of a job that failed and what it said last.
        """
        numbers = list(jobs) if jobs is not None else list(range(1, nj + 1))
        if not numbers:
            return
        log = Path(log)
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [*_launcher(cmd), f"JOB={ranges(numbers)}", str(log), *map(str, command)]
        tools = str(Path(sys.executable).parent)  # of this environment, also where it is not activated
        environment = {**os.environ, "PATH": tools + os.pathsep + os.environ.get("PATH", os.defpath)}
        logs = {number: Path(str(log).replace("JOB", str(number))) for number in numbers}
        record = record_of(ArrayJob(str(log), [], numbers)).resolve()
        with atomic_write(self._calls) as stream:
            stream.write(f"{os.path.relpath(record, self.outdir.resolve())}\n")  # also where the tree is moved
        for old in logs.values():
            old.unlink(missing_ok=True)  # what it says is about another run
        try:
            launcher = subprocess.Popen(words, pass_fds=[self._lock.descriptor], env=environment)
        except OSError as error:
            raise InputError(f"--cmd {cmd!r} cannot be run: {error.strerror}") from None
        try:
            status = self._wait(launcher, list(logs.values()))
        except KeyboardInterrupt:
            launcher.send_signal(signal.SIGTERM)
            launcher.wait()
            raise
        if status == 0:
            return
        failed = [number for number, log in logs.items() if not succeeded(log)]
        if not failed:
            raise InputError(f"{shlex.join(words[:3])} ended with status {status} although all of its jobs succeeded")
        first = failed[0]
        raise InputError(f"{len(failed)} of {len(numbers)} jobs failed; {logs[first]} says: {last_words(logs[first])}")

    def finish(self, summary: str, ids: Mapping | None = None, **facts) -> None:
        """Writes `.done.json` and prints `summary` with the time it took. The outputs must be in place by now.

        ids: what became of each id, as `spkid.jobs.manifest` says it; None for a step that is about no ids.
        """
        outputs = self._fingerprints(self.outputs)
        missing = [path for path, found in outputs.items() if found == "missing"]
        if missing:
            raise InputError(f"{self.name} has not written {self.outdir / missing[0]}")
        seconds = time.time() - self._started
        record = {
            "step": self.name,
            "summary": summary,
            "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
            "seconds": round(seconds, 3),
            "host": socket.gethostname(),
            "options": self.options,
            "inputs": self._input_fingerprints,
            "outputs": outputs,
            "versions": versions(),
            "ids": ids,
            "facts": facts,
        }
        with atomic_write(self.done_file) as stream:
            json.dump(record, stream, indent=1, ensure_ascii=False)
            stream.write("\n")
        self.say(f"{summary} ({seconds:.1f} s)")

    def _wait(self, launcher: subprocess.Popen, logs: list[Path]) -> int:
        """Waits for the launcher's status and says now and then how many jobs have ended."""
        started, ended = time.monotonic(), 0
        while True:
            try:
                return launcher.wait(timeout=SECONDS_BETWEEN_LOOKS)
            except subprocess.TimeoutExpired:
                now = sum(has_ended(log) for log in logs)
                if now > ended:
                    ended = now
                    left = (time.monotonic() - started) / ended * (len(logs) - ended)
                    self.say(f"{ended} of {len(logs)} jobs have ended, about {left:.0f} s left")

    @property
    def _calls(self) -> Path:
        """Names the record of the launcher's call that writes here: jobs on other machines cannot hold the lock."""
        return self.outdir / ".call"

    def _end_orphans(self) -> None:
        try:
            record = self._calls.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return
        end_orphans(self.outdir.resolve() / record, launcher_is_gone=True)  # it would hold the lock

    def _fingerprints(self, paths: list[Path]) -> dict[str, str]:
        # relative to outdir: a tree that was moved as a whole is still done
        return {os.path.relpath(path, self.outdir): fingerprint(path) for path in paths}

    def _tell_plan(self) -> None:
        """Says what entering the block would do; to the caller the step is done, so that nothing is."""
        self.is_done = True
        self._input_fingerprints = self._fingerprints(self.inputs)
        record = self._record()
        reason = f"nothing of it is in {self.outdir} yet" if record is None else self._reason_to_run(record)
        changing = plan.would_change()
        if reason is None:
            again = (path for path in self.inputs if {os.path.realpath(path), os.path.realpath(path.parent)} & changing)
            first = next(again, None)
            if first is None:
                self._say_done(record)
                return
            self.say(f"may run: input {first} would be written again")
        else:
            absent = [path for path in self.inputs if not path.exists() and os.path.realpath(path) not in changing]
            self.say(f"would run: {reason}" + "".join(f"; {path} is not there yet" for path in absent[:1]))
        plan.note([*self.outputs, self.outdir])

    def _compare(self) -> None:
        record = self._record()
        if record is None:
            return
        reason = self._reason_to_run(record)
        if reason is None:
            self.is_done = True
            self._say_done(record)
        else:
            self.say(f"runs again: {reason}")
            self.done_file.unlink()

    def _record(self) -> dict | None:
        """What the last finished run has left; None where none has, empty where it cannot be read."""
        try:
            return json.loads(self.done_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def _say_done(self, record: dict) -> None:
        when = f"{record['finished']}, {record['seconds']:.1f} s"
        self.say(f"done already ({when}): {record['summary']}; --force repeats it")

    def _reason_to_run(self, record: dict) -> str | None:
        if self.force:
            return "--force"
        if not isinstance(record, dict) or record.get("step") != self.name or not record.keys() >= RECORD_KEYS:
            return f"{self.done_file} is not a record of this step"
        return (
            _option_difference(record["options"], self.options)
            or self._difference(record["inputs"], self._input_fingerprints, "input")
            or self._difference(record["outputs"], self._fingerprints(self.outputs), "output")
        )

    def _difference(self, before: dict[str, str], now: dict[str, str], kind: str) -> str | None:
        for name in dict.fromkeys([*now, *before]):
            path = os.path.relpath(self.outdir / name)
            if name not in before:
                return f"{kind} {path} is new"
            if name not in now:
                return f"{kind} {path} is no longer used"
            if now[name] == before[name]:
                continue
            if now[name] == "missing":
                return f"{kind} {path} is missing"
            listed = now[name].partition("+")[0] == before[name].partition("+")[0]
            return f"{'a file listed in ' if listed else ''}{kind} {path} changed"
        return None


def _launcher(cmd: str) -> list[str]:
    """The words of `--cmd`; a launcher of this repository is found from anywhere and run by this very Python."""
    try:
        words = shlex.split(cmd)
    except ValueError as error:
        raise InputError(f"--cmd {cmd!r}: {error}") from None
    if not words:
        raise InputError("--cmd is empty; it names a launcher such as utils/run.py")
    program = Path(words[0])
    if not program.exists() and (REPOSITORY / program).is_file():
        program = REPOSITORY / program
    if program.suffix == ".py" and program.is_file():
        return [sys.executable, str(program), *words[1:]]
    return words


def _option_difference(before: Mapping, now: Mapping, section: str = "") -> str | None:
    """The first option that differs between two runs, of a section the value in it; None where all are the same."""
    for key in dict.fromkeys([*now, *before]):
        name = f"{section}{key}"
        if key not in before:
            return f"option {name} is new ({now[key]!r})"
        if key not in now:
            return f"option {name} is gone (it was {before[key]!r})"
        was, value = before[key], now[key]
        if was != value:
            inside = isinstance(was, dict) and isinstance(value, dict) and _option_difference(was, value, f"{name}.")
            return inside or f"option {name} was {was!r} and is {value!r}"
    return None


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages that numbers depend on, by name."""
    found = {"spkid": __version__, "python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
