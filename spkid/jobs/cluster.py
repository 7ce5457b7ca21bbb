"""Running a launcher's jobs on a cluster: arrays submitted, watched, cancelled; an `Engine` is what differs."""

import os
import shlex
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from spkid.jobs.array_job import ArrayJob
from spkid.jobs.calls import Call
from spkid.jobs.signals import interrupt_on_signals
from spkid.kaldi import InputError

LISTING_SECONDS = (0.2, 5.0)  # between two looks at the exit codes: at first, and at most
ENGINE_SECONDS = (1.0, 15.0)  # between two questions to the engine
SUBMISSION_SECONDS = (2.0, 30.0)  # between two attempts to submit what the engine had no room for
ACCOUNT_SECONDS = (2.0, 10.0)  # between two questions to the accounting
EXPLAINED_PATIENCE = 3.0  # for an exit code to appear where the engine says that the job was ended by force
UNEXPLAINED_PATIENCE = 30.0  # where it has merely ended: a network file system may show its files late
CANCELLING_SECONDS = 60.0  # for the engine to confirm that cancelled jobs have ended
COMMAND_SECONDS = 120.0  # for one of the engine's commands
SECONDS_BETWEEN_GLANCES = 0.5  # at what it says meanwhile


class Unreachable(Exception):
    """The engine does not answer at the moment."""


class NoRoom(Exception):
    """The engine takes no more jobs at the moment, or not so many at once.

    passes: it says that this is so for now, perhaps because of the jobs of others.
    """

    def __init__(self, said: str, passes: bool = False) -> None:
        super().__init__(said)
        self.passes = passes


@dataclass(frozen=True)
class TaskState:
    """What the engine says of one task: whether it still waits or runs; what ended it by force, or keeps it waiting."""

    is_active: bool
    why: str = ""


@dataclass
class Submission:
    """One array at the engine: `tasks` says which job each of its indices is."""

    identifier: str
    tasks: dict[int, int]
    left: set[int] = field(default_factory=set)


class Engine(ABC):
    """Slurm, Grid Engine: how arrays are submitted, asked about and cancelled there."""

    name: ClassVar[str]
    prologue: ClassVar[str] = "restarts=0"

    @abstractmethod
    def use(self, job: ArrayJob) -> None:
        """Reads the configuration and options of this call. Raises InputError."""

    @abstractmethod
    def longest_array(self) -> int:
        """How many tasks an array may have; raises Unreachable."""

    @abstractmethod
    def run_line(self, job: ArrayJob) -> str:
        """The bash that runs `$command` in the job's script."""

    @abstractmethod
    def submit(self, job: ArrayJob, numbers: Sequence[int], name: str) -> Submission:
        """Submits one array. Raises NoRoom, Unreachable, or InputError where it will never be taken."""

    @abstractmethod
    def states(self, identifiers: Sequence[str]) -> dict[tuple[str, int], TaskState]:
        """What the engine knows of the tasks (array, index); nothing of those it has forgotten. Raises Unreachable."""

    @abstractmethod
    def accounts(self, identifiers: Sequence[str]) -> dict[tuple[str, int], str]:
        """What the accounting says ended tasks, where there is one; a task that it does not know is left out."""

    @abstractmethod
    def arrays_of(self, name: str) -> set[str]:
        """The arrays of that name that the engine knows. Raises Unreachable."""

    @abstractmethod
    def cancel_by_name(self, name: str) -> None:
        """Asks the engine to end all jobs of that name. Raises Unreachable."""

    @abstractmethod
    def is_at_work(self, name: str = "") -> bool:
        """Whether jobs of that name, or any of this user's, wait or run. Raises Unreachable."""

    def cancel(self, name: str) -> bool:
        """Ends all jobs of that name and waits; whether the engine has confirmed it in time."""
        deadline = time.monotonic() + CANCELLING_SECONDS
        pause = 0.3
        asked = False
        while time.monotonic() < deadline:
            try:
                if not asked:
                    self.cancel_by_name(name)
                    asked = True
                if not self.is_at_work(name):
                    return True
            except Unreachable:
                asked = False
            time.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        return False


def ask(
    words: Sequence[str], text: str = "", environment: dict[str, str] | None = None, end_at: bytes = b""
) -> subprocess.CompletedProcess:
    """Runs one of the engine's commands; text is its standard input. Raises Unreachable, InputError (no such command).

    It is in a process group of its own: Ctrl-C is the launcher's to answer. Once it has written `end_at` to its
    standard error it is ended: it would go on by itself where the launcher knows better.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0, env=environment)
    except FileNotFoundError:
        raise InputError(f"{words[0]} is not on PATH: is this a machine that submits to the cluster?") from None
    given, deadline = text.encode(), time.monotonic() + COMMAND_SECONDS
    with process:
        try:
            while True:
                try:
                    found = process.communicate(given, timeout=SECONDS_BETWEEN_GLANCES)
                    break
                except subprocess.TimeoutExpired as waiting:
                    given = None  # it is on its way
                    if time.monotonic() > deadline:
                        raise Unreachable(f"{words[0]} has not answered for {COMMAND_SECONDS:.0f} s") from None
                    if end_at and end_at in (waiting.stderr or b""):
                        process.kill()
        finally:
            process.kill()  # where it has ended already, nothing
    stdout, stderr = (stream.decode(errors="replace") for stream in found)
    return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)


def script_environment() -> str:
    """Bash that gives a job on another machine this environment, whatever the engine passes on."""
    names = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "LC_ALL", "PYTHONUNBUFFERED")
    return "\n".join(f"export {name}={shlex.quote(os.environ[name])}" for name in names if name in os.environ)


class _Pause:
    """A time between attempts that grows from the first to the second of `seconds`."""

    def __init__(self, seconds: tuple[float, float]):
        self._shortest, self._longest = seconds
        self.reset()

    def reset(self) -> None:
        self._seconds = self._shortest
        self.due = 0.0

    def is_over(self) -> bool:
        return time.monotonic() >= self.due

    def again(self) -> None:
        self.due = time.monotonic() + self._seconds
        self._seconds = min(self._seconds * 1.5, self._longest)


class ClusterRun:
    """One round of a launcher's call on a cluster: all its jobs from submission to their end.

    A job has succeeded once it has left exit code 0. Any other end is believed when the engine has it no longer:
    a preempted job leaves a code too, and runs again. What has neither code nor place in the engine has vanished.
    """

    def __init__(self, engine: Engine, job: ArrayJob, call: Call):
        self.engine = engine
        self.job = job
        self.call = call
        self.waiting = list(job.jobs)  # not yet submitted
        self.submissions: list[Submission] = []
        self.reasons: dict[int, str] = {}
        self.has_submitted = False  # or tried to: the answer may have been lost
        self._unheard: list[int] | None = None
        self._missed: dict[int, float] = {}  # job -> since when the engine has it no longer
        self._told: set[str] = set()
        self._listing, self._asking = _Pause(LISTING_SECONDS), _Pause(ENGINE_SECONDS)
        self._explaining = _Pause(ACCOUNT_SECONDS)
        self._submitting = _Pause(SUBMISSION_SECONDS)
        self._limit = self._most = 0  # tasks of one array, ever and at the moment; 0: not asked yet

    def run(self) -> dict[int, str]:
        """Returns why jobs were ended from outside, by number."""
        unconfirmed: set[int] = set()
        while self.waiting or any(submission.left for submission in self.submissions):
            if self.waiting and self._submitting.is_over() and not self._is_throttled():
                self._submit()
                continue
            states = None
            if self._asking.is_over() or (unconfirmed and self._listing.is_over()):
                states = self._states()
            codes = self._codes()  # after the engine was asked: what it no longer has has left its code by now
            unconfirmed = self._settle(codes, states)
            self._listing.again()
            dues = [self._listing.due, self._asking.due]
            if self.waiting and not self._is_throttled():
                dues.append(self._submitting.due)
            time.sleep(max(0.05, min(min(dues) - time.monotonic(), LISTING_SECONDS[1])))
        return self.reasons

    def _is_throttled(self) -> bool:
        """Whether arrays must follow one another, because --max-jobs-run bounds what runs in all of them."""
        return "max-jobs-run" in self.job.options and any(submission.left for submission in self.submissions)

    def _submit(self) -> None:
        try:
            if not self._limit:
                self._limit = self._most = self.engine.longest_array()
            numbers = self.waiting[: self._most]
            self.has_submitted = True
            submission = self._taken_unheard() or self.engine.submit(self.job, numbers, self.call.name)
        except Unreachable as error:
            if self._limit:
                self._unheard = self.waiting[: self._most]
            self._say(f"{self.engine.name} does not answer ({error}); waiting for it")
            self._submitting.again()
        except NoRoom as refusal:
            if len(numbers) > 1:
                self._most = (len(numbers) + 1) // 2
            elif not (refusal.passes or self._has_company()):
                raise InputError(f"{self.engine.name} does not take this job: {refusal}") from None
            self._say(f"{self.engine.name} has no room for {len(numbers)} jobs ({refusal}); trying fewer, or later")
            if len(numbers) == 1 or any(submission.left for submission in self.submissions):
                self._submitting.again()
        else:
            submission.left = set(submission.tasks.values())
            self.submissions.append(submission)
            self.call.submitted(submission.identifier)
            del self.waiting[: len(submission.tasks)]
            self._most = min(2 * self._most, self._limit)
            self._submitting.reset()
            self._listing.reset()
            self._asking.reset()
            self._asking.again()

    def _taken_unheard(self) -> Submission | None:
        """The array whose submission the engine has not answered, should it have taken it nevertheless."""
        if not self._unheard:
            return None
        taken = self.engine.arrays_of(self.call.name) - {submission.identifier for submission in self.submissions}
        numbers, self._unheard = self._unheard, None
        return Submission(taken.pop(), dict(enumerate(numbers, start=1))) if taken else None

    def _has_company(self) -> bool:
        """Whether something of ours, here or from another call, may be what fills the engine."""
        try:
            return any(submission.left for submission in self.submissions) or self.engine.is_at_work()
        except Unreachable:
            return True

    def _states(self) -> dict[tuple[str, int], TaskState] | None:
        self._asking.again()
        identifiers = [part.identifier for part in self.submissions if part.left]
        if not identifiers:
            return None
        try:
            states = self.engine.states(identifiers)
        except Unreachable as error:
            self._say(f"{self.engine.name} does not answer ({error}); waiting for it")
            return None
        if any("does not answer" in sentence for sentence in self._told):
            self._told = {sentence for sentence in self._told if "does not answer" not in sentence}
            self._say(f"{self.engine.name} answers again")
        return states

    def _codes(self) -> dict[int, int]:
        if self._missed:  # a change of the directory makes a network file system look at it afresh
            probe = self.job.codes_directory / "probe"
            probe.touch()
            probe.unlink()
        return self.job.exit_codes()

    def _explain(self) -> None:
        """Asks the accounting about jobs that the engine has no longer and of whose end nothing is known."""
        missing = self._missed.keys() - self.reasons.keys()
        tasks = {
            number: (submission.identifier, index)
            for submission in self.submissions
            for index, number in submission.tasks.items()
            if number in missing
        }
        if not tasks or not self._explaining.is_over():
            return
        accounts = self.engine.accounts(sorted({identifier for identifier, _ in tasks.values()}))
        self.reasons |= {number: accounts[task] for number, task in tasks.items() if task in accounts}
        self._explaining.again()

    def _settle(self, codes: dict[int, int], states: dict[tuple[str, int], TaskState] | None) -> set[int]:
        """Closes the jobs that have ended; returns those with a bad code that the engine has not confirmed."""
        unconfirmed = set()
        for submission in self.submissions:
            if not submission.left:
                continue
            for index, number in submission.tasks.items():
                if number not in submission.left:
                    continue
                if codes.get(number) == 0:
                    self._close(submission, number)
                elif states is None:
                    if number in codes:
                        unconfirmed.add(number)
                else:
                    state = states.get((submission.identifier, index), TaskState(is_active=False))
                    if state.is_active:
                        self._missed.pop(number, None)
                        if state.why:
                            self._say(f"job {number} waits: {state.why}")
                        if number in codes:
                            unconfirmed.add(number)
                    elif number in codes:
                        self._close(submission, number, state.why)
                    elif self._is_given_up(number, state.why):
                        unknown = f"{self.engine.name} has it no longer, and does not say what became of it"
                        self._close(submission, number, self.reasons.get(number, unknown))
        if self._missed:
            self._explain()
            self._asking.reset()
            self._asking.again()
        return unconfirmed

    def _is_given_up(self, number: int, why: str) -> bool:
        since = self._missed.setdefault(number, time.monotonic())
        if why:
            self.reasons[number] = why
        patience = EXPLAINED_PATIENCE if number in self.reasons else UNEXPLAINED_PATIENCE
        return time.monotonic() - since >= patience

    def _close(self, submission: Submission, number: int, reason: str = "") -> None:
        submission.left.discard(number)
        self._missed.pop(number, None)
        self.reasons.pop(number, None)
        if reason:
            self.reasons[number] = reason

    def _say(self, sentence: str) -> None:
        """Says a thing once."""
        if sentence not in self._told:
            self._told.add(sentence)
            print(f"{self.call.launcher}: {sentence}", file=sys.stderr, flush=True)


def run_on(engine: Engine, job: ArrayJob, call: Call) -> dict[int, str]:
    """Runs all jobs of a call on the engine; returns why jobs were ended from outside, by number.

    Ctrl-C and SIGTERM cancel the jobs, wait for their end, and end the launcher with that signal's status.
    """
    engine.use(job)
    prologue = f"{engine.prologue}\n{script_environment()}"
    job.prepare(call.launcher, prologue, engine.run_line(job))
    output_of(job).unlink(missing_ok=True)
    interrupt_on_signals()
    run = ClusterRun(engine, job, call)
    try:
        return run.run()
    except (KeyboardInterrupt, InputError, OSError) as error:
        if run.has_submitted and not engine.cancel(call.name):
            print(
                f"{call.launcher}: {engine.name} has not confirmed that the jobs named {call.name} have ended; "
                "the next run will cancel them",
                file=sys.stderr,
            )
        elif isinstance(error, KeyboardInterrupt):
            call.end({})
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(128 + error.args[0]) from None
        raise


def array_stub(job: ArrayJob, numbers: Sequence[int], index_variable: str) -> tuple[str, dict[int, int]]:
    """The script of an array whose indices count from 1, and which job each index is."""
    listed = " ".join(map(str, numbers))
    script = shlex.quote(str(job.script.resolve()))
    text = f'#!/bin/bash\nnumbers=({listed})\nexec bash {script} "${{numbers[{index_variable}-1]}}"\n'
    return text, dict(enumerate(numbers, start=1))


def output_of(job: ArrayJob) -> Path:
    """Where the engine puts what it and the jobs' shells say outside the logs, of all jobs together."""
    return job.script.with_suffix(".out").resolve()
