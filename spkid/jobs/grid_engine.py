"""Grid Engine: array jobs by qsub, watched by qstat, explained by qacct where its accounts can be read."""

import getpass
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar
from xml.etree import ElementTree

from spkid.jobs.array_job import RUN_HERE, ArrayJob
from spkid.jobs.cluster import Engine, NoRoom, Submission, TaskState, Unreachable, array_stub, ask, output_of
from spkid.jobs.engine_conf import read_conf
from spkid.kaldi import InputError

OWN_CONF = """\
command qsub -V -cwd -S /bin/bash -j y -r y
option mem=* -l mem_free=$0
option mem=0
option time=* -l h_rt=$0
option num_threads=* -pe smp $0
option num_threads=1
option max_jobs_run=* -tc $0
option gpu=* -l gpu=$0
option gpu=0
option queue=* -q $0
"""

FULL = re.compile(r"jobs are allowed|max_aj_tasks|max_u_jobs|max_jobs|exceed", re.I)
UNREACHABLE = re.compile(
    r"unable to (send|contact)|commlib error|got send error|communication error|can't connect|timeout", re.I
)
FORGOTTEN = re.compile(r"do(es)? not exist|no running jobs", re.I)
KILLED_BY_LIMIT = "37"  # qacct's `failed`: the master saw a limit passed


class GridEngine(Engine):
    """A Grid Engine cluster (SGE, Son of Grid Engine, Univa), as this machine's qsub and qstat see it."""

    name: ClassVar[str] = "Grid Engine"
    prologue: ClassVar[str] = "restarts=${RESTARTED:-0}"

    def use(self, job: ArrayJob) -> None:
        if job.count("nodes", 1) > 1:
            raise InputError("--nodes: utils/queue.py runs each job on one node; utils/slurm.py knows several")
        job.options.pop("nodes", None)
        conf = read_conf(job.options, "conf/queue.conf", OWN_CONF)
        self._command = [*conf.command, *conf.words(job.options), *job.engine_words]

    def longest_array(self) -> int:
        found = re.search(r"^max_aj_tasks\s+(\d+)", self._ask(["qconf", "-sconf"]), re.M)
        return int(found[1]) if found and int(found[1]) else 10**9

    def run_line(self, job: ArrayJob) -> str:
        return RUN_HERE

    def submit(self, job: ArrayJob, numbers: Sequence[int], name: str) -> Submission:
        script, tasks = array_stub(job, numbers, "SGE_TASK_ID")
        output = str(output_of(job))
        words = [*self._command, "-terse", "-N", name, "-t", f"1-{len(numbers)}"]
        if "max-jobs-run" in job.options and "-tc" not in words:
            words += ["-tc", str(job.at_once(1))]
        # a colon would begin the name of a host, a dollar that of a variable
        words += ["-j", "y", "-o", "/dev/null" if re.search(r"[:,$]", output) else output]
        result = ask(words, script)
        said = " ".join(f"{result.stderr} {result.stdout}".split())
        if result.returncode == 0:
            return Submission(result.stdout.split()[-1].partition(".")[0], tasks)
        if FULL.search(said):
            raise NoRoom(said)
        if UNREACHABLE.search(said):
            raise Unreachable(said)
        raise InputError(f"qsub refuses the job: {said}")

    def states(self, identifiers: Sequence[str]) -> dict[tuple[str, int], TaskState]:
        text = self._ask(["qstat", "-f", "-ne", "-xml", "-u", getpass.getuser()])
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            raise Unreachable(f"qstat writes no XML but {text[:80]!r}") from None
        queues = [(queue.findtext("name", ""), queue.findtext("state", ""), queue) for queue in root.iter("Queue-List")]
        queues += [("", "", waiting) for waiting in root.findall("job_info")]
        states = {}
        for host, host_state, queue in queues:
            for task in queue.findall("job_list"):
                identifier = task.findtext("JB_job_number", "")
                if identifier in identifiers:
                    found = self._state(identifier, task.findtext("state", ""), host if "u" in host_state else "")
                    # a job that is no array, or has not been cut into tasks yet, has no such entry
                    states |= {(identifier, index): found for index in _indices(task.findtext("tasks", "1"))}
        return states

    def accounts(self, identifiers: Sequence[str]) -> dict[tuple[str, int], str]:
        accounts = {}
        for identifier in identifiers:
            try:
                text = self._ask(["qacct", "-j", identifier])
            except (Unreachable, InputError):  # not known yet, or not to be read from here
                continue
            for block in re.split(r"^=+$", text, flags=re.M):
                fields = dict(line.split(None, 1) for line in block.splitlines() if len(line.split(None, 1)) == 2)
                if fields.get("taskid", "").strip().isdigit():
                    accounts[identifier, int(fields["taskid"])] = _why(fields, identifier)
        return accounts

    def arrays_of(self, name: str) -> set[str]:
        return set(re.findall(r"^job_number:\s*(\d+)", self._ask(["qstat", "-j", name], FORGOTTEN), re.M))

    def cancel_by_name(self, name: str) -> None:
        self._ask(["qdel", name], forgiving=FORGOTTEN)

    def is_at_work(self, name: str = "") -> bool:
        words = ["qstat", "-j", name] if name else ["qstat", "-u", getpass.getuser()]
        return bool(self._ask(words, forgiving=FORGOTTEN).strip())

    def _state(self, identifier: str, state: str, silent_host: str) -> TaskState:
        if "E" in state:
            details = self._ask(["qstat", "-j", identifier], forgiving=FORGOTTEN)
            found = re.search(r"^error reason\s+\d+:\s*(.*)", details, re.M)
            self._ask(["qdel", identifier], forgiving=FORGOTTEN)  # it would stay in that state for ever
            return TaskState(is_active=False, why=f"Grid Engine could not start it: {found[1] if found else state}")
        if silent_host:
            return TaskState(is_active=True, why=f"Grid Engine no longer hears from {silent_host}, where it runs")
        return TaskState(is_active=True, why=f"it is held (state {state})" if state.startswith("h") else "")

    def _ask(self, words: Sequence[str], forgiving: re.Pattern | None = None) -> str:
        result = ask(words)
        if result.returncode == 0:
            return result.stdout
        if forgiving and forgiving.search(result.stderr + result.stdout):
            return ""
        raise Unreachable(" ".join(result.stderr.split()) or f"{words[0]} ended with code {result.returncode}")


def _indices(text: str) -> Iterator[int]:
    """The tasks of qstat's `5-10:1`, `7`, `1,3`."""
    for item in text.split(","):
        span, _, step = item.strip().partition(":")
        first, _, last = span.partition("-")
        if first.isdigit():
            yield from range(int(first), int(last or first) + 1, int(step or 1))


def _why(fields: dict[str, str], identifier: str) -> str:
    """What qacct's record says of the end of a task that left no exit code."""
    failed, status = " ".join(fields.get("failed", "?").split()), fields.get("exit_status", "?").split()[0]
    where = f"(Grid Engine job {identifier}: failed {failed}, exit status {status})"
    limit = re.search(r"\bh_rt=(\d+)", fields.get("category", ""))
    seconds = re.match(r"[\d.]+", fields.get("ru_wallclock", "").strip())
    if failed.split()[0] == KILLED_BY_LIMIT or (limit and seconds and float(seconds[0]) >= float(limit[1])):
        return f"it reached a limit of its queue or of --time {where}"
    if status.isdigit() and int(status) > 128:
        return f"it was killed by signal {int(status) - 128} {where}"
    return f"it ended from outside {where}"
