"""Which ids a step was to do, did and could not do, as its record keeps them."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any


def manifest(expected: Iterable[str], failed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Counts and checksums of the expected and the done ids, and each failed one with its reason.

    The checksum is the SHA-256 of the ids in the order of their bytes, a line each: of what `LC_ALL=C sort` makes of
    the first fields of a list or a script, so that both can be compared with `sha256sum` and without this package.
    """
    ids = sorted({key.encode("utf-8", "surrogateescape") for key in expected})
    reasons = dict(sorted((failed or {}).items()))
    lost = {key.encode("utf-8", "surrogateescape") for key in reasons}
    done = [key for key in ids if key not in lost]
    return {
        "expected": len(ids),
        "expected_sha256": _checksum(ids),
        "done": len(done),
        "done_sha256": _checksum(done),
        "failed": reasons,
    }


def trial_manifest(list_md5: str | None, expected: int, done: int) -> dict[str, Any]:
    """The same of trials, which may be a hundred million: how many, of which list (None: all pairs)."""
    return {"expected": expected, "list_md5": list_md5, "done": done}


def _checksum(ids: list[bytes]) -> str:
    return hashlib.sha256(b"".join(key + b"\n" for key in ids)).hexdigest()
