"""What all launchers share: Kaldi's command line, a job's script, its log and its exit code."""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spkid.jobs.logs import last_lines, succeeded
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

ARRAY = re.compile(r"([A-Za-z_]\w*)=(\d+(?::\d+)?(?:,\d+(?::\d+)?)*)")
# Words that mean to a shell what they say. `\>` and `\|` reach us as bare words; everything else is quoted.
OPERATOR = re.compile(r"\||\|\||&&|;|\|&")
REDIRECTION = re.compile(r"(\d*(?:>>|>\||>&|<&|<|>)|&>>|&>)(.*)", re.DOTALL)

JOB_SCRIPT = """\
#!/usr/bin/env bash
# One job: bash {script} NUMBER. Written by {launcher}; edits are lost.
{name}=$1
log={log}
status={status}
command={command}
cd {directory} || exit 1
rm -f "$status"
start=$(date +%s)
{{
  printf '# %s\\n' "${{command//$'\\n'/$'\\n'# }}"
  echo "# Running on $(uname -n)"
  echo "# Started at $(date)"
  echo "#"
}} >"$log" || exit 1
ended() {{
  {{
    echo "# Accounting: time=$(($(date +%s) - start)) threads={threads}"
    echo "# Ended (code $1) at $(date), elapsed time $(($(date +%s) - start)) seconds"
  }} >>"$log"
  echo "$1" >"$status.tmp" && mv "$status.tmp" "$status"
  exit "$1"
}}
trap 'ended 143' TERM
export OMP_NUM_THREADS={threads}
(set -o pipefail; eval "$command") </dev/null >>"$log" 2>&1
ended $?
"""


@dataclass
class ArrayJob:
    """One call of a launcher: `[options] [JOB=1:n] log command ...`."""

    log: str
    command: list[str]
    numbers: list[int] | None = None  # None: one job without a number
    name: str = "JOB"
    options: dict[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> list[int]:
        """The numbers to run; a single job without a number is number 1."""
        return [1] if self.numbers is None else self.numbers

    @property
    def threads(self) -> int:
        return _count(self.options, "num-threads", 1)

    def at_once(self, default: int) -> int:
        """How many jobs may run at the same time."""
        return _count(self.options, "max-jobs-run", default)

    def log_of(self, job: int) -> Path:
        return Path(self._numbered(self.log, job))

    @property
    def script(self) -> Path:
        """The bash script that runs one job; it takes the job's number."""
        log = Path(self.log)
        stem = re.sub(rf"[.\-_]?{self.name}", "", log.name) if self.numbers is not None else log.name
        return log.parent / "q" / (stem.removesuffix(".log") + ".sh")

    def status_of(self, job: int) -> Path:
        """The file that holds the job's exit code once it has ended."""
        return self.script.with_suffix(f".{job}.status")

    def prepare(self, launcher: str) -> None:
        """Writes the jobs' script and removes exit codes of an earlier run."""
        self.script.parent.mkdir(parents=True, exist_ok=True)
        for job in self.jobs:
            self.status_of(job).unlink(missing_ok=True)
        command = " ".join(self._shell_word(word) for word in self.command)
        text = JOB_SCRIPT.format(
            name=self.name,
            launcher=launcher,
            script=shlex.quote(str(self.script)),
            log=self._quote(self.log),
            status=self._quote(str(self.script.with_suffix(f".{self.name}.status"))) if self.numbers is not None
            else shlex.quote(str(self.status_of(1))),
            command=self._quote(command),
            directory=shlex.quote(str(Path.cwd())),
            threads=self.threads,
        )
        with atomic_write(self.script) as stream:
            stream.write(text)

    def exit_code(self, job: int) -> int | None:
        """What the job wrote when it ended; None if it never came to that."""
        try:
            return int(self.status_of(job).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _numbered(self, text: str, job: int) -> str:
        return text.replace(self.name, str(job)) if self.numbers is not None else text

    def _shell_word(self, word: str) -> str:
        if OPERATOR.fullmatch(word):
            return word
        redirection = REDIRECTION.fullmatch(word)
        if redirection:
            target = redirection[2]
            return redirection[1] + (shlex.quote(target) if target else "")
        return shlex.quote(word)

    def _quote(self, text: str) -> str:
        """`text` quoted for bash, with the variable JOB in the place of every JOB."""
        if self.numbers is None:
            return shlex.quote(text)
        return f'"${{{self.name}}}"'.join(shlex.quote(piece) if piece else "" for piece in text.split(self.name))


def parse(argv: Sequence[str]) -> ArrayJob:
    """Reads a launcher's command line as Kaldi's run.pl, queue.pl and slurm.pl do.

    Options come first; each takes a value (`--mem 4G` or `--mem=4G`), whatever its name, except `-V`; `-pe` takes two.
    Besides `JOB=3` and `JOB=1:8` a list `JOB=1,4:6` is understood.
    """
    words = list(argv)
    options: dict[str, str] = {}
    while words and words[0].startswith("-"):
        switch = words.pop(0)
        name, equals, value = switch.lstrip("-").partition("=")
        if switch == "-V":
            continue
        if not (equals and switch.startswith("--")):
            name = switch.lstrip("-")
            number = 2 if switch == "-pe" else 1
            if len(words) < number or ARRAY.fullmatch(words[0]):
                raise InputError(f"option {switch} needs a value")
            value = " ".join(words.pop(0) for _ in range(number))
        options[name] = value
    job = ArrayJob(log="", command=[], options=options)
    array = ARRAY.fullmatch(words[0]) if words else None
    if array:
        del words[0]
        job.name = array[1]
        job.numbers = _numbers(array[2])
    if len(words) < 2:
        raise InputError("a log file and a command are needed: [options] [JOB=1:n] log-file command ... (--help)")
    job.log, *job.command = words
    if array and len(job.numbers) > 1 and job.name not in job.log:
        raise InputError(f"{len(job.numbers)} jobs cannot share the log {job.log}: put {job.name} into its name")
    if options.get("pick", "all") not in ("all", "failed"):
        raise InputError(f"--pick is all or failed, not {options['pick']!r}")
    if options.get("pick") == "failed":
        if job.numbers is None:
            raise InputError("--pick failed needs JOB=1:n")
        job.numbers = [number for number in job.numbers if not succeeded(job.log_of(number))]
    return job


def launch(usage: str, run: Callable[[ArrayJob], None], argv: Sequence[str] | None = None) -> int:
    """A launcher's main: parses, lets `run` run all jobs to their end, reports by the exit codes that they wrote."""
    argv = sys.argv[1:] if argv is None else list(argv)
    program = Path(sys.argv[0]).name
    if not argv or argv[0] in ("--help", "-h"):
        print(usage.strip())
        return 0 if argv else 1
    try:
        job = parse(argv)
        if not job.jobs:
            return 0  # --pick failed, and none has
        job.prepare(program)
        run(job)
    except InputError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{program}: error: {error.filename or job.log}: {error.strerror}", file=sys.stderr)
        return 1
    codes = {number: job.exit_code(number) for number in job.jobs}
    failed = [number for number, code in codes.items() if code != 0]
    for number in codes.keys() - failed:
        job.status_of(number).unlink()  # thousands of tiny files otherwise; the log says the same
    if not failed:
        return 0
    first = failed[0]
    logs = job.log.replace(job.name, "*") if job.numbers is not None else job.log
    how = "left no exit code" if codes[first] is None else f"ended with code {codes[first]}"
    print(f"{program}: {len(failed)} / {len(codes)} failed, log is in {logs}", file=sys.stderr)
    print(f"{program}: {job.log_of(first)} {how}; it closes with", file=sys.stderr)
    for line in last_lines(job.log_of(first)) or ["(nothing)"]:
        print(f"    {line}", file=sys.stderr)
    return 1


def _count(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--{name} is a whole number of at least 1, not {text!r}")
    return int(text)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for item in text.split(","):
        first, _, last = item.partition(":")
        if int(last or first) < int(first):
            raise InputError(f"{item} is not a range of jobs: it ends before it begins")
        numbers.extend(range(int(first), int(last or first) + 1))
    return sorted(set(numbers))
