"""When training has stopped getting better: functions of the history of its epochs, so that a resumed run agrees."""

from collections.abc import Sequence
from typing import Any

WATCHED = ("valid_loss", "valid_accuracy", "dev_eer")
LARGER_IS_BETTER = frozenset({"valid_accuracy"})


def is_better(watch: str, value: float, best: float, threshold: float = 0.0) -> bool:
    """Whether a value is better than the best before it, by more than `threshold` times that one."""
    if watch in LARGER_IS_BETTER:
        return value > best * (1.0 + threshold)
    return value < best * (1.0 - threshold)


def best_epoch(history: Sequence[dict[str, Any]], watch: str) -> int | None:
    """The number (from 1) of the epoch with the best value, the first of equals; None where none has been evaluated."""
    best = None
    for values in history:
        if watch in values and (best is None or is_better(watch, values[watch], best[watch])):
            best = values
    return None if best is None else best["epoch"]


def is_exhausted(history: Sequence[dict[str, Any]], watch: str, epochs: int) -> bool:
    """Whether the best value lies at least `epochs` epochs behind the last one; patience restarts on improvement.

    Decided only by epochs that were evaluated. epochs 0: never.
    """
    if not epochs or not history or watch not in history[-1]:
        return False
    return history[-1]["epoch"] - best_epoch(history, watch) >= epochs
