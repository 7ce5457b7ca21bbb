"""Telling what would run instead of running it: `--plan` of a step, `bash run.sh --plan true` of a recipe.

A recipe's plan is told by its steps one after the other. Each notes what it would write in the file that SPKID_PLAN
names, so that those after it know which of their inputs would change.
"""

import os
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "SPKID_PLAN"  # set: programs only tell. An absolute path is a file for notes; anything else (1) is none.


def is_planning() -> bool:
    """Whether programs are to tell what they would do, and change nothing."""
    return bool(os.environ.get(VARIABLE))


def begin() -> None:
    """From here on this program only tells."""
    os.environ.setdefault(VARIABLE, "1")


def would_change() -> set[str]:
    """Real paths of what the steps planned so far would write."""
    notes = _notes()
    return set(notes.read_text(encoding="utf-8").splitlines()) if notes and notes.exists() else set()


def note(paths: Iterable[str | os.PathLike]) -> None:
    """Remembers for the steps that are planned later that these would be written."""
    if notes := _notes():
        with notes.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{os.path.realpath(path)}\n" for path in paths)


def _notes() -> Path | None:
    name = os.environ.get(VARIABLE, "")
    return Path(name) if os.path.isabs(name) else None
