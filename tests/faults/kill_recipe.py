#!/usr/bin/env python3
"""Kills egs/mini with SIGKILL at random moments of its stages and starts it again, until it ends in the same bytes.

    . ./path.sh
    python3 tests/faults/kill_recipe.py --kills 30 --seed 1

A first run is left alone; what it takes for each stage says where the others can be killed. Every other run is killed
once in each of some stages drawn at random (all eight, until the kills are spent), started again each time, and left
to end. A kill takes run.sh alone, whose step and jobs live on, or its whole session's process group; `--group` allows
the second only, `--alone` the first. The copy of the recipe is small: a few utterances of each voice, few epochs.
Exit status 1 where a run fails, or ends in other bytes.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.recipes.running import copy_recipe, environment

STAGES = 8
RESULTS = (
    "exp/xvector/final.safetensors",
    "exp/xvector/results/scores_cosine",
    "exp/xvector/results/scores_plda",
    "exp/statistics/results/scores_cosine",
)
SECONDS_BETWEEN_LOOKS = 0.02


def copy_mini(root: Path, epochs: int) -> Path:
    """egs/mini in a checkout of its own, with a training of `epochs` epochs."""
    copy = copy_recipe(root, "mini")
    config = copy / "conf" / "xvector.yaml"
    config.write_text(re.sub(r"epochs: \d+", f"epochs: {epochs}", config.read_text(encoding="utf-8")), encoding="utf-8")
    return copy


@dataclass
class Run:
    """A start of run.sh whose output goes on in `log`."""

    recipe: Path
    options: list[str]
    process: subprocess.Popen = field(init=False)
    begun: dict[int, float] = field(default_factory=dict)  # stage -> when it announced itself

    def __post_init__(self):
        self.log = self.recipe / "log"
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                ["bash", "run.sh", *self.options],
                cwd=self.recipe,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def said(self) -> str:
        """What this start has printed so far."""
        with self.log.open("rb") as stream:
            stream.seek(self._offset)
            return stream.read().decode(errors="replace")

    def look(self) -> None:
        """Notes which stages have begun."""
        for stage in re.findall(r"^Stage (\d):", self.said(), re.MULTILINE):
            self.begun.setdefault(int(stage), time.monotonic())

    def wait_until(self, stage: int, seconds: float) -> bool:
        """Waits until `seconds` after the stage began; False where the run ended before."""
        while self.process.poll() is None:
            self.look()
            if stage in self.begun and time.monotonic() - self.begun[stage] >= seconds:
                return True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return False

    def wait(self, what: str) -> None:
        """Waits for the end, which must be a good one."""
        while self.process.poll() is None:
            self.look()
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if self.process.returncode:
            sys.exit(f"{what} ended with status {self.process.returncode} ({self.log}):\n{self.said()[-3000:]}")

    def kill(self, group: bool) -> None:
        """SIGKILL to run.sh alone or to its process group."""
        (os.killpg if group else os.kill)(self.process.pid, signal.SIGKILL)
        self.process.wait()


def results(recipe: Path) -> dict[str, bytes]:
    """The bytes that must not depend on what happened on the way."""
    return {name: (recipe / name).read_bytes() for name in RESULTS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4, help="in all")
    parser.add_argument("--seed", type=int, default=1, help="decides moments and what is killed")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--group", action="store_true", help="always kill the whole process group")
    who.add_argument("--alone", action="store_true", help="always kill run.sh alone")
    parser.add_argument(
        "--utterances", type=int, default=9, help="of each voice (steps/prepare_feats_for_egs.py wants more than 8)"
    )
    parser.add_argument("--epochs", type=int, default=3, help="of the training")
    parser.add_argument("--work", type=Path, help="where to work, and to leave everything (default: a temporary place)")
    arguments = parser.parse_args()
    kinds = [True] if arguments.group else [False] if arguments.alone else [True, False]
    rng = random.Random(arguments.seed)
    options = ["--utterances", str(arguments.utterances)]
    work = arguments.work or Path(tempfile.mkdtemp(prefix="spkid_kill."))
    work.mkdir(parents=True, exist_ok=True)

    started = time.monotonic()
    first = copy_mini(work / "uninterrupted", arguments.epochs)
    run = Run(first, options)
    run.wait("the uninterrupted run")
    ends = [*(run.begun[stage] for stage in range(1, STAGES)), time.monotonic()]
    lasted = {stage: ends[stage] - run.begun[stage] for stage in range(STAGES)}
    expected = results(first)
    stages = ", ".join(f"{seconds:.1f}" for seconds in lasted.values())
    print(f"uninterrupted: {time.monotonic() - started:.1f} s (stages: {stages})", flush=True)

    left, number, different = arguments.kills, 0, []
    while left > 0:
        number += 1
        recipe = copy_mini(work / f"killed_{number}", arguments.epochs)
        for stage in sorted(rng.sample(range(STAGES), min(left, STAGES))):
            moment, group = rng.uniform(0, lasted[stage]), rng.choice(kinds)
            run = Run(recipe, options)
            if not run.wait_until(stage, moment):
                run.wait("a run that was started again")
                print(f"run {number}: ended before {moment:.2f} s of stage {stage}", flush=True)
                break
            now = max(run.begun)
            run.kill(group)
            left -= 1
            whom = "process group" if group else "run.sh alone"
            print(f"run {number}: {whom} killed {time.monotonic() - run.begun[now]:.2f} s into stage {now}", flush=True)
        run = Run(recipe, options)
        run.wait("a run that was started again")
        found = results(recipe)
        other = [name for name in RESULTS if found[name] != expected[name]]
        different += [f"{recipe / name}" for name in other]
        leftover = [path for path in recipe.rglob(".*.tmp") if path.is_file()]
        verdict = f"differs in {', '.join(other)}" if other else "the same bytes"
        print(f"run {number}: {verdict}; {len(leftover)} temporary files left behind", flush=True)
    if different:
        sys.exit(f"other bytes than the uninterrupted run's: {', '.join(different)}")
    print(f"{arguments.kills} kills in {number} runs, every one the same bytes ({time.monotonic() - started:.0f} s)")
    if not arguments.work:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
