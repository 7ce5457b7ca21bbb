#!/usr/bin/env python3
"""Runs jobs on a Grid Engine cluster: one array job a call, waited for."""

import sys

USAGE = """
Usage: utils/queue.py [options] [JOB=1:n] <log-file> <command> ...

Runs the command once for every job number as tasks of one Grid Engine array job, with the number in the place of JOB in
the log's name and in the command; waits. Exits with 0 if all jobs did. Takes the command line of utils/run.py.

Example: utils/queue.py --mem 4G --time 2:00:00 JOB=1:40 exp/log/x.JOB.log copy-feats scp:x.JOB.scp ark:x.JOB.ark

--mem 4G           memory that must be free where a job starts
--num-threads N    slots of a job (default 1; sets OMP_NUM_THREADS)
--gpu N            GPUs of a job
--time H:MM:SS     time limit of a job
--max-jobs-run N   so many jobs at a time
--retries N        jobs that failed or vanished run again, up to N times
--pick W           all, failed (those that came to a bad end before), incomplete (failed, killed or never started)
--config FILE      how options are spelled for qsub (default: conf/queue.conf where it exists; docs/clusters.md)
Any other --name VALUE needs a line "option name=..." in that file; -q all.q and its like go to qsub as they are.
"""


def use_the_standard_library() -> None:
    """Python looks beside the program that it runs first: to the others in utils/ this file would be `queue`."""
    import importlib.util
    import sysconfig

    specification = importlib.util.spec_from_file_location("queue", f"{sysconfig.get_path('stdlib')}/queue.py")
    module = sys.modules["queue"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)


if __name__ == "queue":
    use_the_standard_library()
elif __name__ == "__main__":
    from spkid.jobs.cluster import run_on
    from spkid.jobs.grid_engine import GridEngine
    from spkid.jobs.launcher import launch

    sys.exit(launch(USAGE, lambda job, call: run_on(GridEngine(), job, call), "grid_engine"))
