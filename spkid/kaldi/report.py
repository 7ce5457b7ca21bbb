"""What a tool did with each id it was given, for its exit status and for the step that started it."""

from __future__ import annotations

import json

from spkid.kaldi.io import atomic_write
from spkid.kaldi.logging import warn


class Report:
    """Counts ids; written as JSON `{"given": n, "done": n, "failed": {id: reason}}` when the tool is finished.

    Example:
        report = Report(options.report)
        ...
        report.add_done()
        report.add_failed(utterance, "no frames")
        return report.finish()
    """

    def __init__(self, path: str = "") -> None:
        """`path`: where `finish` writes the JSON; empty for nowhere."""
        self.path = path
        self.done = 0
        self.failed: dict[str, str] = {}

    def add_done(self) -> None:
        """One more id is finished."""
        self.done += 1

    def add_failed(self, key: str, reason: object) -> None:
        """Notes, and warns, that an id could not be done."""
        self.failed[key] = str(reason)
        warn(f"{key}: {reason}")

    def finish(self) -> int:
        """Writes the report and returns the exit status: 0 if at least one id was done, else 1 (as Kaldi)."""
        if self.path:
            facts = {"given": self.done + len(self.failed), "done": self.done, "failed": self.failed}
            with atomic_write(self.path) as stream:
                json.dump(facts, stream, indent=1, sort_keys=True, ensure_ascii=False)
                stream.write("\n")
        return 0 if self.done else 1
