"""The engines that launchers submit to, by the names that records of calls give them."""

from importlib import import_module

from spkid.jobs.cluster import Engine

ENGINES = {"slurm": "Slurm", "grid_engine": "GridEngine"}


def engine_named(name: str) -> type[Engine]:
    """The class of an engine."""
    return getattr(import_module(f"spkid.jobs.{name}"), ENGINES[name])
