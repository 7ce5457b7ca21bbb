#!/usr/bin/env python3
"""Slurm as a launcher sees it, without Slurm: sbatch, squeue, scancel, scontrol, sacct by the name it is called by.

STAND_IN is its folder. Settings are environment variables: LONGEST_ARRAY, MOST_TASKS (waiting or running, of all
arrays), LOSE (`3:OUT_OF_MEMORY`: the third task never runs, and only the accounting says why).
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ["STAND_IN"])
LOST, _, LOST_STATE = os.environ.get("LOSE", "").partition(":")


def option(name):
    return next((word.partition("=")[2] for word in sys.argv[1:] if word.startswith(f"--{name}=")), "")


def arrays():
    return {file.stem: json.loads(file.read_text()) for file in ROOT.glob("*.array")}


def ended(identifier):
    file = ROOT / f"{identifier}.ended"
    return set(map(int, file.read_text().split())) if file.exists() else set()


def active(identifier, count):
    if (ROOT / f"{identifier}.cancelled").exists():
        return []
    gone = ended(identifier) | ({int(LOST)} if LOST else set())
    return [index for index in range(1, count + 1) if index not in gone]


def sbatch():
    with open(ROOT / "calls", "a") as stream:
        stream.write(" ".join(sys.argv[1:]) + "\n")
    count = int(re.match(r"1-(\d+)", option("array"))[1])
    at_work = sum(len(active(identifier, array["count"])) for identifier, array in arrays().items())
    if count > int(os.environ.get("LONGEST_ARRAY", "1000000")):
        sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")
    if at_work + count > int(os.environ.get("MOST_TASKS", "1000000")):
        sys.exit("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)")
    identifier = str(len(arrays()) + 1)
    stub = ROOT / f"{identifier}.stub"
    stub.write_text(sys.stdin.read())
    skip = f'[ "$1" = "{LOST}" ] ||' if LOST else ""
    task = f'export SLURM_ARRAY_TASK_ID=$1; {skip} {{ bash "{stub}"; echo $1 >>"{ROOT}/{identifier}.ended"; }}'
    runner = subprocess.Popen(
        ["sh", "-c", f"seq 1 {count} | xargs -P 2 -n 1 sh -c '{task}' task"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    array = {"count": count, "runner": runner.pid, "name": option("job-name")}
    temporary = ROOT / f"{identifier}.new"
    temporary.write_text(json.dumps(array))
    temporary.rename(ROOT / f"{identifier}.array")
    unheard = ROOT / "unheard"  # a test's: the answer to one submission gets lost
    if unheard.exists():
        unheard.unlink()
        sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    print(identifier)


def squeue():
    wanted = option("jobs").split(",") if option("jobs") else None
    for identifier, array in arrays().items():
        if (wanted and identifier not in wanted) or option("name") not in ("", array["name"]):
            continue
        indices = active(identifier, array["count"])
        if option("format") == "%F":
            print(identifier)
        elif indices:
            print(f"{identifier}|RUNNING|None|{','.join(map(str, indices))}")


def scancel():
    for identifier, array in arrays().items():
        if array["name"] == option("name"):
            (ROOT / f"{identifier}.cancelled").touch()
            try:
                os.killpg(array["runner"], signal.SIGTERM)
            except ProcessLookupError:
                continue


def scontrol():
    if sys.argv[1:3] == ["show", "config"]:
        print(f"MaxArraySize            = {int(os.environ.get('LONGEST_ARRAY', '1000000')) + 1}")


def sacct():
    if LOST:
        print(f"{option('jobs')}_{LOST}|{LOST_STATE}|0:125")


if __name__ == "__main__":
    globals()[Path(sys.argv[0]).name]()
