"""Recipes in checkouts of their own, run as their users do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.shared import REPOSITORY, SHARED, corpora

LINKED = ("path.sh", "setup.py", "requirements.txt", "spkid", "steps", "utils", "local")
LEFT_BY_RUNS = shutil.ignore_patterns("data", "exp", "corpus", "fbank", "mfcc", "mfcc[0-9]*")  # not conf/mfcc30.conf


def copy_recipe(root: Path, name: str) -> Path:
    """egs/<name> without what earlier runs have left, below a new folder beside links to the rest of the repository."""
    root.mkdir(parents=True, exist_ok=True)
    for linked in LINKED:
        (root / linked).symlink_to(REPOSITORY / linked)
    original = REPOSITORY / "egs" / name

    def left(folder: str, names: list[str]) -> set[str]:
        return LEFT_BY_RUNS(folder, names) if Path(folder) == original else set()

    return Path(shutil.copytree(original, root / "egs" / name, symlinks=True, ignore=left))


def recorded() -> list[str]:
    """Options of local/miniature.py for recorded speech; none, so synthetic voices, without the shared corpora."""
    return ["--speech", str(corpora("speechocean762"))] if SHARED.is_dir() else []


def environment() -> dict[str, str]:
    """The environment of these tests, with their Python first on PATH and one thread a process."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def call(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """A command in that environment, with its status, output and error messages."""
    command = list(map(str, words))
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)


def succeed(*words: object) -> str:
    """What a command prints that must succeed."""
    done = call(*words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def results(recipe: Path, system: str, name: str) -> dict:
    """The results.json of one of a system's evaluations."""
    return json.loads((recipe / "exp" / system / "results" / name / "results.json").read_text())
