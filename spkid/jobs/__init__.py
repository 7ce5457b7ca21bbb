"""Programs, steps and their jobs: command lines, locks, fingerprints, records, launchers.

The names below are imported when they are first used: launchers start without plumbum.
"""

from importlib import import_module

_HOMES = {"Program": "program", "boolean": "program", "fraction": "program", "progress": "progress", "Step": "step"}

__all__ = ["Program", "Step", "boolean", "fraction", "progress"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # kept: the import has just put the module spkid.jobs.progress where the function of that name belongs
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
