"""Slurm: array jobs by sbatch, watched by squeue, explained by sacct where the site keeps accounts."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from spkid.jobs.array_job import RUN_HERE, ArrayJob
from spkid.jobs.cluster import Engine, NoRoom, Submission, TaskState, Unreachable, array_stub, ask, output_of
from spkid.jobs.engine_conf import read_conf
from spkid.kaldi import InputError

OWN_CONF = """\
command sbatch --export=ALL --requeue
option mem=* --mem=$0
option mem=0
option time=* --time=$0
option num_threads=* --cpus-per-task=$0
option nodes=1
option nodes=* --nodes=$0 --ntasks-per-node=1
option gpu=0
option gpu=* --gres=gpu:$0
option partition=* --partition=$0
"""

ENDED = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "its deadline passed",
    "NODE_FAIL": "its node was lost",
    "OUT_OF_MEMORY": "it used more memory than it had asked for (--mem)",
    "PREEMPTED": "it was preempted",
    "TIMEOUT": "it reached its time limit (--time)",
}
BY_ITSELF = {"COMPLETED", "FAILED"}
USUAL_REASONS = {"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Cleaning", "Prolog", ""}
# What sbatch says when jobs are too many rather than wrong.
FULL = re.compile(r"job submit limit|MaxSubmit|temporarily unable to accept|queue full|job array", re.I)
# sbatch would try the same array for two minutes; fewer jobs may fit at once.
RETRIES = "sleeping and retrying"
UNREACHABLE = re.compile(
    r"unable to contact|connect failure|connection refused|timed? ?out|zero bytes were transmitted|no route to host"
    r"|communication (connection )?failure|protocol authentication|munge",
    re.I,
)
FORGOTTEN = re.compile(r"invalid job id", re.I)

# The command runs once on each node; all meet on the first, at the address by which Slurm itself knows it.
RUN_ON_NODES = (
    'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1); export command NNODES=$SLURM_NNODES'
    ' MASTER_ADDR=$(scontrol show node "$first" | sed -n "s/.*NodeAddr=\\([^ ]*\\).*/\\1/p")'
    " MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000));"
    " srun --nodes=$NNODES --ntasks=$NNODES --ntasks-per-node=1 --kill-on-bad-exit=1 --mpi=none"
    " bash -c 'export NODE_RANK=$SLURM_NODEID; " + RUN_HERE + "'"
)


class Slurm(Engine):
    """A Slurm cluster, as this machine's sbatch and squeue see it."""

    name: ClassVar[str] = "Slurm"
    prologue: ClassVar[str] = "restarts=${SLURM_RESTART_COUNT:-0}"

    def __init__(self) -> None:
        # inside a job of its own sbatch would inherit that job's limits
        kept = ("SLURM_CONF", "SLURM_CLUSTERS")
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name in kept
        }
        self._environment["SLURM_BITSTR_LEN"] = "0"  # squeue writes out which tasks wait, however many
        self._has_accounts = True

    def use(self, job: ArrayJob) -> None:
        if "-V" in job.engine_words:
            job.engine_words.remove("-V")  # Grid Engine's: the whole environment, which sbatch passes on anyway
        conf = read_conf(job.options, "conf/slurm.conf", OWN_CONF)
        self._command = [*conf.command, *conf.words(job.options), *job.engine_words]

    def longest_array(self) -> int:
        text = self._ask(["scontrol", "show", "config"])
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.M)
        return max(1, int(found[1]) - 1) if found else 1000

    def run_line(self, job: ArrayJob) -> str:
        return RUN_ON_NODES if job.count("nodes", 1) > 1 else RUN_HERE

    def submit(self, job: ArrayJob, numbers: Sequence[int], name: str) -> Submission:
        script, tasks = array_stub(job, numbers, "SLURM_ARRAY_TASK_ID")
        throttle = f"%{job.at_once(1)}" if "max-jobs-run" in job.options else ""
        words = [
            *self._command,
            "--parsable",
            f"--job-name={name}",
            f"--array=1-{len(numbers)}{throttle}",
            f"--output={str(output_of(job)).replace('%', '%%')}",
            "--open-mode=append",
        ]
        result = ask(words, script, self._environment, end_at=RETRIES.encode())
        said = " ".join((result.stderr or result.stdout).split()).replace("sbatch: error: ", "")
        if result.returncode == 0:
            return Submission(result.stdout.split()[-1].partition(";")[0], tasks)
        if FULL.search(said):
            raise NoRoom(said, passes=RETRIES in said)
        if UNREACHABLE.search(said):
            raise Unreachable(said)
        raise InputError(f"sbatch refuses the job: {said}")

    def states(self, identifiers: Sequence[str]) -> dict[tuple[str, int], TaskState]:
        words = ["squeue", "--noheader", "--states=all", f"--jobs={','.join(identifiers)}", "--format=%F|%T|%r|%K"]
        states = {}
        for line in self._ask(words, forgiving=FORGOTTEN).splitlines():
            array, state, reason, indices = (line.strip().split("|", 3) + [""] * 3)[:4]
            found = _state(state, reason, array)
            states |= {(array, index): found for index in _indices(indices)}
        return states

    def accounts(self, identifiers: Sequence[str]) -> dict[tuple[str, int], str]:
        return {**self._accounted(identifiers), **self._remembered(identifiers)}

    def _remembered(self, identifiers: Sequence[str]) -> dict[tuple[str, int], str]:
        """What the controller, which remembers jobs for some minutes (MinJobAge), says of their ends."""
        remembered = {}
        for identifier in identifiers:
            try:
                text = self._ask(["scontrol", "--oneliner", "show", "job", identifier], forgiving=FORGOTTEN)
            except Unreachable:
                continue
            for line in text.splitlines():
                fields = dict(word.partition("=")[::2] for word in line.split())
                sentence = _end(fields.get("JobState", ""), fields.get("ExitCode", ""), identifier)
                if fields.get("ArrayTaskId", "").isdigit() and sentence:
                    remembered[identifier, int(fields["ArrayTaskId"])] = sentence
        return remembered

    def _accounted(self, identifiers: Sequence[str]) -> dict[tuple[str, int], str]:
        if not self._has_accounts:
            return {}
        words = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(identifiers)}"]
        try:
            text = self._ask([*words, "--format=JobID,State,ExitCode"])
        except (Unreachable, InputError):  # most often: there is no accounting
            self._has_accounts = False
            return {}
        accounts = {}
        for line in text.splitlines():
            identifier, state, code = [*line.split("|"), "", ""][:3]
            array, _, index = identifier.partition("_")
            sentence = _end(state.partition(" ")[0], code, array)
            if index.isdigit() and sentence:
                accounts[array, int(index)] = sentence
        return accounts

    def arrays_of(self, name: str) -> set[str]:
        return set(self._ask(["squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F"]).split())

    def cancel_by_name(self, name: str) -> None:
        self._ask(["scancel", f"--name={name}"], forgiving=FORGOTTEN)

    def is_at_work(self, name: str = "") -> bool:
        return bool(self._ask(["squeue", "--noheader", f"--name={name}" if name else "--me"]).strip())

    def _ask(self, words: Sequence[str], forgiving: re.Pattern | None = None) -> str:
        result = ask(words, environment=self._environment)
        if result.returncode == 0 or (forgiving and forgiving.search(result.stderr)):
            return result.stdout
        raise Unreachable(" ".join(result.stderr.split()) or f"{words[0]} ended with code {result.returncode}")


def _indices(text: str) -> Iterator[int]:
    """The tasks of squeue's `5-10,12%20`, or one of `7`."""
    for item in text.partition("%")[0].split(","):
        first, _, last = item.partition("-")
        if first.isdigit():
            last, _, step = (last or first).partition(":")
            yield from range(int(first), int(last) + 1, int(step or 1))


def _state(state: str, reason: str, array: str) -> TaskState:
    if state in ENDED or state in BY_ITSELF:
        return TaskState(is_active=False, why=_why(state, reason, array))
    held = state == "PENDING" and reason not in USUAL_REASONS
    return TaskState(is_active=True, why=f"Slurm says {reason}" if held else "")


def _why(state: str, reason: str, array: str) -> str:
    """What ended a task by force; empty where it ended by itself."""
    if state in ENDED:
        return f"{ENDED[state]} (Slurm job {array}: {state})"
    if reason.startswith("RaisedSignal:"):
        return f"it was killed by signal {reason.partition(':')[2]} (Slurm job {array})"
    return ""


def _end(state: str, code: str, array: str) -> str:
    """How a task that left no exit code ended; empty where it has not, or where nothing is known."""
    if state not in BY_ITSELF:
        return _why(state, "", array)
    status, _, number = code.partition(":")
    if number.isdigit() and int(number):
        return f"it was killed by signal {number} (Slurm job {array})"
    return f"its script ended with status {status} (Slurm job {array}); q/*.out beside the log may say why"
