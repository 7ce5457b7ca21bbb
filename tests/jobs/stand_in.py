"""A folder first on PATH in which Slurm's commands are those of `stand_in_slurm.py`."""

import os
from pathlib import Path

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol", "sacct")


def make_stand_in(folder: Path, monkeypatch) -> Path:
    """Fills the folder and makes it what launchers find."""
    folder.mkdir()
    for program in PROGRAMS:
        (folder / program).symlink_to(Path(__file__).with_name("stand_in_slurm.py"))
    monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ["PATH"])))
    monkeypatch.setenv("STAND_IN", str(folder))
    return folder
