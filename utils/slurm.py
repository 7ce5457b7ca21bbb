#!/usr/bin/env python3
"""Runs jobs on a Slurm cluster: one array job a call, waited for."""

import sys

from spkid.jobs.cluster import run_on
from spkid.jobs.launcher import launch
from spkid.jobs.slurm import Slurm

USAGE = """
Usage: utils/slurm.py [options] [JOB=1:n] <log-file> <command> ...

Runs the command once for every job number as tasks of one Slurm array job, with the number in the place of JOB in the
log's name and in the command; waits. Exits with 0 if all jobs did. Takes the command line of utils/run.py.

Example: utils/slurm.py --mem 4G --time 2:00:00 JOB=1:40 exp/log/x.JOB.log copy-feats scp:x.JOB.scp ark:x.JOB.ark

--mem 4G           memory of a job
--num-threads N    cores of a job (default 1; sets OMP_NUM_THREADS)
--gpu N            GPUs of a job, on each of its nodes
--time H:MM:SS     time limit of a job
--nodes N          nodes of a job: its command runs on each, with MASTER_ADDR, MASTER_PORT, NNODES and NODE_RANK set
--max-jobs-run N   so many jobs at a time
--retries N        jobs that failed or vanished run again, up to N times
--pick W           all, failed (those that came to a bad end before), incomplete (failed, killed or never started)
--config FILE      how options are spelled for sbatch (default: conf/slurm.conf where it exists; docs/clusters.md)
Any other --name VALUE needs a line "option name=..." in that file; -p big and its like go to sbatch as they are.
"""

if __name__ == "__main__":
    sys.exit(launch(USAGE, lambda job, call: run_on(Slurm(), job, call), "slurm"))
