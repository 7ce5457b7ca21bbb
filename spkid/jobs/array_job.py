"""One call of a launcher: Kaldi's command line, and the script that each of its jobs runs."""

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spkid.jobs.logs import has_ended, succeeded
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

ARRAY = re.compile(r"([A-Za-z_]\w*)=(\d+(?::\d+)?(?:,\d+(?::\d+)?)*)")
# Words that mean to a shell what they say. `\>` and `\|` reach us as bare words; everything else is quoted.
OPERATOR = re.compile(r"\||\|\||&&|;|\|&")
REDIRECTION = re.compile(r"(\d*(?:>>|>\||>&|<&|<|>)|&>>|&>)(.*)", re.DOTALL)
PICKS = ("all", "failed", "incomplete")
# A tool that was killed counts, even where the tool behind it in the pipe then fails with a status of its own.
# No single quotes: Slurm puts this between some.
RUN_HERE = """set -o pipefail; eval "$command
status=\\$? parts=\\"\\${PIPESTATUS[*]}\\""; [[ " $parts " != *" 137 "* ]] || status=137; exit $status"""

JOB_SCRIPT = """\
#!/usr/bin/env bash
# One job: bash {script} NUMBER. Written by {launcher}; edits are lost.
{name}=$1
log={log}
code={codes}/$1
command={command}
{prologue}
cd {directory} || exit 1
rm -f "$code".*
start=$(date +%s)
[ "$restarts" -gt 0 ] || : >"$log" || exit 1
{{
  printf '# %s\\n' "${{command//$'\\n'/$'\\n'# }}"
  echo "# Running on $(uname -n)"
  echo "# Started at $(date)"
  echo "#"
}} >>"$log" || exit 1
ended() {{
  {{
    echo "# Accounting: time=$(($(date +%s) - start)) threads={threads}"
    echo "# Ended (code $1) at $(date), elapsed time $(($(date +%s) - start)) seconds"
  }} >>"$log"
  : >"$code.$1"
  exit "$1"
}}
trap 'ended 143' TERM
export OMP_NUM_THREADS={threads}
({run}) </dev/null >>"$log" 2>&1
ended $?
"""


@dataclass
class ArrayJob:
    """One call of a launcher: `[options] [JOB=1:n] log command ...`.

    engine_words: options with one dash (`-q all.q`, `-pe smp 5`), which mean something to the engine alone.
    """

    log: str
    command: list[str]
    numbers: list[int] | None = None  # None: one job without a number
    name: str = "JOB"
    options: dict[str, str] = field(default_factory=dict)
    engine_words: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> list[int]:
        """The numbers to run; a single job without a number is number 1."""
        return [1] if self.numbers is None else self.numbers

    @property
    def threads(self) -> int:
        return self.count("num-threads", 1)

    def at_once(self, default: int) -> int:
        """How many jobs may run at the same time."""
        return self.count("max-jobs-run", default)

    def count(self, option: str, default: int, least: int = 1) -> int:
        """The value of an option that is a whole number."""
        text = self.options.get(option)
        if text is None:
            return default
        if not text.isdigit() or int(text) < least:
            raise InputError(f"--{option} is a whole number of at least {least}, not {text!r}")
        return int(text)

    def log_of(self, job: int) -> Path:
        return Path(self.log.replace(self.name, str(job)) if self.numbers is not None else self.log)

    @property
    def script(self) -> Path:
        """The bash script that runs one job; it takes the job's number."""
        log = Path(self.log)
        stem = re.sub(rf"[.\-_]?{self.name}", "", log.name) if self.numbers is not None else log.name
        return log.parent / "q" / (stem.removesuffix(".log") + ".sh")

    @property
    def codes_directory(self) -> Path:
        """Where a job that ends leaves an empty file `<number>.<exit code>`: one listing tells of thousands of jobs."""
        return self.script.with_suffix(".codes")

    def prepare(self, launcher: str, prologue: str = "restarts=0", run: str = RUN_HERE) -> None:
        """Writes the jobs' script and removes exit codes of an earlier run.

        prologue: bash that sets `restarts`, how often the engine has begun this job before. run: bash that runs the
        text in `$command`.
        """
        self.script.parent.mkdir(parents=True, exist_ok=True)
        self.forget_codes()
        self.codes_directory.mkdir()
        command = " ".join(self._shell_word(word) for word in self.command)
        text = JOB_SCRIPT.format(
            name=self.name,
            launcher=launcher,
            script=shlex.quote(str(self.script)),
            log=self._quote(self.log),
            codes=shlex.quote(str(self.codes_directory)),
            command=self._quote(command),
            directory=shlex.quote(str(Path.cwd())),
            threads=self.threads,
            prologue=prologue,
            run=run,
        )
        with atomic_write(self.script) as stream:
            stream.write(text)

    def exit_codes(self) -> dict[int, int]:
        """What the jobs that have ended said last, by number: their exit codes."""
        codes = {}
        with os.scandir(self.codes_directory) as entries:
            for entry in entries:
                job, _, code = entry.name.partition(".")
                if job.isdigit() and code.isdigit():
                    codes[int(job)] = int(code)
        return codes

    def forget_codes(self) -> None:
        """Removes the jobs' exit codes; the logs say the same."""
        if self.codes_directory.exists():
            shutil.rmtree(self.codes_directory)

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
    job = ArrayJob(log="", command=[])
    while words and words[0].startswith("-"):
        _take_option(words, job)
    array = ARRAY.fullmatch(words[0]) if words else None
    if array:
        del words[0]
        job.name = array[1]
        job.numbers = parse_numbers(array[2])
    if len(words) < 2:
        raise InputError("a log file and a command are needed: [options] [JOB=1:n] log-file command ... (--help)")
    job.log, *job.command = words
    if array and len(job.numbers) > 1 and job.name not in job.log:
        raise InputError(f"{len(job.numbers)} jobs cannot share the log {job.log}: put {job.name} into its name")
    pick = job.options.get("pick", "all")
    if pick not in PICKS:
        raise InputError(f"--pick is one of {', '.join(PICKS)}, not {pick!r}")
    if pick != "all":
        if job.numbers is None:
            raise InputError(f"--pick {pick} needs JOB=1:n")
        job.numbers = [number for number in job.numbers if _is_picked(pick, job.log_of(number))]
    for name, least in (("num-threads", 1), ("max-jobs-run", 1), ("retries", 0), ("nodes", 1)):
        job.count(name, 1, least)
    return job


def _take_option(words: list[str], job: ArrayJob) -> None:
    switch = words.pop(0)
    name, equals, value = switch.lstrip("-").partition("=")
    if switch == "-V":
        job.engine_words.append(switch)
        return
    if not (equals and switch.startswith("--")):
        name = switch.lstrip("-")
        number = 2 if switch == "-pe" else 1
        # not `-l gpu=1`, which looks like an array
        if len(words) < number or (switch.startswith("--") and ARRAY.fullmatch(words[0])):
            raise InputError(f"option {switch} needs a value")
        values = [words.pop(0) for _ in range(number)]
        if not switch.startswith("--"):
            job.engine_words += [switch, *values]
            return
        value = values[0]
    job.options[name] = value


def _is_picked(pick: str, log: Path) -> bool:
    """Whether --pick wants the job of this log: one that came to a bad end, or any that did not come to a good one."""
    return not succeeded(log) and (pick == "incomplete" or has_ended(log))


def parse_numbers(text: str) -> list[int]:
    """The numbers of `1:3,7`, sorted. Raises InputError."""
    numbers: list[int] = []
    for item in text.split(","):
        first, _, last = item.partition(":")
        if int(last or first) < int(first):
            raise InputError(f"{item} is not a range of jobs: it ends before it begins")
        numbers.extend(range(int(first), int(last or first) + 1))
    return sorted(set(numbers))


def ranges(numbers: Sequence[int], dash: str = ":") -> str:
    """`1,3:4` for 1, 3, 4: what `parse` reads after `JOB=`, and engines with a dash."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}{dash}{last}" if last > first else f"{first}" for first, last in runs)
