#!/usr/bin/env python3
"""Shows what ran, runs and failed below a directory."""

from pathlib import Path

from plumbum import cli

from spkid.jobs import Program
from spkid.jobs.status import find
from spkid.kaldi import InputError

SHOWN_FAILURES = 5


class Status(Program):
    """Shows the steps and jobs of the directories: when, how long, how many jobs done, failed, running, waiting.

    Of failed jobs it shows what happened and the last lines of their logs. `stopped` are jobs whose launcher was killed
    before they ended. The time in front is when a step ended, or when a launcher or a running step began.
    """

    EXAMPLE = "utils/status.py exp mfcc"

    lines = cli.SwitchAttr("--lines", cli.Range(0, 1000), default=3, help="last lines to show of a failed job's log")

    def main(self, directory: str, *more: str) -> int:
        found = []
        for path in (directory, *more):
            if not Path(path).is_dir():
                raise InputError(f"{path} is not a directory")
            found += find(path, self.lines)
        if not found:
            print(f"no step and no launcher has left a record in {' '.join((directory, *more))}")
        for status in sorted(found, key=lambda status: status.time):
            print(status.line())
            for log, (reason, last) in list(status.failures.items())[:SHOWN_FAILURES]:
                print(f"    {log} {reason}")
                for line in last:
                    print(f"        {line}")
            if len(status.failures) > SHOWN_FAILURES:
                print(f"    ... and {len(status.failures) - SHOWN_FAILURES} others")
        return 0


if __name__ == "__main__":
    Status.run()
