"""Programs, steps and their jobs: command lines, locks, fingerprints, records, launchers."""

from spkid.jobs.program import Program, boolean
from spkid.jobs.progress import progress
from spkid.jobs.step import Step

__all__ = ["Program", "Step", "boolean", "progress"]
