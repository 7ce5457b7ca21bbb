"""The results.json that steps leave, read with what the reader needs of it."""

import json
import os
from collections.abc import Sequence
from typing import Any

from spkid.kaldi import InputError


def read_results(path: str | os.PathLike, needed: Sequence[str], step: str) -> dict[str, Any]:
    """A results file as it is.

    Args:
        path: the file.
        needed: keys that it must have; `trials.md5` is md5 in the section trials.
        step: the program that writes such files, for messages.

    Raises:
        InputError: there is no such file, it is not JSON, or it lacks what is needed.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            results = json.load(stream)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: run {step} first") from None
    except ValueError:
        raise InputError(f"{path}: not a JSON file: run {step} again") from None
    missing = [key for key in needed if not _has(results, key.split("."))]
    if missing:
        raise InputError(f"{path}: no {', '.join(missing)}: not of {step}, or of an older one: run it again")
    return results


def _has(section: object, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(section, dict) or key not in section:
            return False
        section = section[key]
    return True
