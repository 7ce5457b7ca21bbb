"""Progress that a person can follow on a terminal and read in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

SECONDS_BETWEEN_LINES = 30.0

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yields the items and shows on stderr how far they have come and how long the rest will take.

    On a terminal a bar; elsewhere (a log) one line every half minute. total: number of items where `items` cannot tell.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True, leave=False)
        return
    start = last = time.monotonic()
    for count, item in enumerate(items):
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = f" of {total}, about {(now - start) / count * (total - count):.0f} s left" if total and count else ""
            print(f"{description}: {count} {unit}{left}", file=sys.stderr, flush=True)
        yield item
