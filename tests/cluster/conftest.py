"""Tests on a real Slurm and a real Grid Engine: `python -m pytest tests/cluster`, not a part of tests/run.sh."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cluster.engines import GRID_ENGINE_PROGRAMS, SLURM_PROGRAMS, GridEngineCluster, SlurmCluster, need

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    if any(HERE in (path, *path.parents) for path in asked):
        return
    here = [item for item in items if HERE in item.path.parents]
    if here:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if HERE not in item.path.parents]


@pytest.fixture(scope="session", autouse=True)
def _administrators_programs():
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def _cluster(kind, programs, tmp_path_factory, name):
    need(programs)
    cluster = kind(tmp_path_factory.mktemp(name))
    try:
        try:
            cluster.begin()
        except (AssertionError, OSError, subprocess.SubprocessError) as failure:  # the machine's affair, not ours
            pytest.skip(f"the engine is installed but does not start on this machine: {failure}")
        yield cluster
    finally:
        cluster.stop_all()


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A Slurm of two nodes."""
    yield from _cluster(SlurmCluster, SLURM_PROGRAMS, tmp_path_factory, "slurm")


@pytest.fixture(scope="session")
def grid_engine(tmp_path_factory):
    """A Grid Engine of one queue."""
    yield from _cluster(GridEngineCluster, GRID_ENGINE_PROGRAMS, tmp_path_factory, "grid_engine")
