#!/usr/bin/env python3
"""Runs jobs on this machine; the launcher that `--cmd` names by default."""

import sys

from spkid.jobs.launcher import launch
from spkid.jobs.local import run_here

USAGE = """
Usage: utils/run.py [options] [JOB=1:n] <log-file> <command> ...

Runs the command once for every job number, in parallel, with the number in the place of JOB in the log's name and in
the command. Exits with 0 if all jobs did. Write \\| \\> \\&\\& where the jobs' shell, not yours, shall see | > &&.

Example: utils/run.py --max-jobs-run 2 JOB=1:4 exp/log/count.JOB.log wc -l data/train/split4/JOB/wav.scp

--max-jobs-run N   so many jobs at a time (default: what the cores allow)
--num-threads N    cores that one job uses (default 1; sets OMP_NUM_THREADS)
--retries N        jobs that failed run again, up to N times
--pick W           all, failed (those that came to a bad end before), incomplete (failed, killed or never started)
--mem, --time, --gpu and any other option with a value are for launchers on a cluster and change nothing here.
"""

if __name__ == "__main__":
    sys.exit(launch(USAGE, run_here))
