#!/usr/bin/env python3
"""Shows what ran, runs and failed below a directory."""

from plumbum import cli

from spkid.jobs import Program
from spkid.jobs.status import find

SHOWN_FAILURES = 5


class Status(Program):
    """Shows the steps and jobs of the directories: when, how long, how many jobs done, failed, running, waiting.

    Of failed jobs it shows what happened and the last lines of their logs. `stopped` are jobs whose launcher was killed
    before they ended. Times are when a step ended and when a launcher began.
    """

    EXAMPLE = "utils/status.py exp mfcc"

    lines = cli.SwitchAttr("--lines", cli.Range(0, 1000), default=3, help="last lines to show of a failed job's log")

    def main(self, directory: cli.ExistingDirectory, *more: cli.ExistingDirectory) -> int:
        steps, calls = [], []
        for path in (directory, *more):
            found = find(path, self.lines)
            steps += found[0]
            calls += found[1]
        if not steps and not calls:
            print(f"no step and no launcher has left a record in {' '.join(map(str, (directory, *more)))}")
        for step in steps:
            print(step.line())
        for call in calls:
            print(call.line())
            for log, (reason, last) in list(call.failures.items())[:SHOWN_FAILURES]:
                print(f"    {log} {reason}")
                for line in last:
                    print(f"        {line}")
            if len(call.failures) > SHOWN_FAILURES:
                print(f"    ... and {len(call.failures) - SHOWN_FAILURES} others")
        return 0


if __name__ == "__main__":
    Status.run()
