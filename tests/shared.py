"""Where tests find the shared golden numbers and corpora: SPKID_SHARED, else `../shared` beside the checkout."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SPKID_SHARED") or REPOSITORY.parent / "shared")


def golden(name: str) -> Path:
    """Path of `golden/<name>`. Skips the test where there is no shared folder at all; fails where it lacks the file."""
    return _shared(f"golden/{name}")


def corpora(name: str) -> Path:
    """Path of `corpora/<name>`, under the same rule as `golden`."""
    return _shared(f"corpora/{name}")


def _shared(name: str) -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"no shared folder at {SHARED} (set SPKID_SHARED)", allow_module_level=True)
    path = SHARED / name
    if not path.exists():
        pytest.fail(f"{path} is missing although {SHARED} exists", pytrace=False)
    return path
