"""Sections of a configuration as dataclasses: unknown keys and values of the wrong type are one sentence."""

import difflib
import math
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from spkid.kaldi import InputError

Options = TypeVar("Options")

_SPELLED = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", dict: "a section"}


def fill_options(kind: type[Options], values: dict[str, Any], source: str, what: str) -> Options:
    """A dataclass with these values.

    Args:
        kind: a dataclass whose fields are bool, int, float, str, or lists or dictionaries of them.
        values: by the fields' names.
        source: where they stand, for messages: `data.augmentation, number 1`.
        what: whose options they are, for messages.

    Raises:
        InputError: a key that is not known (the nearest one is named), a value of another type, or what the dataclass
            itself refuses.
    """
    hints = typing.get_type_hints(kind)
    filled = {}
    for key, value in values.items():
        if key not in hints:
            raise InputError(f"{source}: unknown key '{key}' of {what} ({nearest(str(key), hints)})")
        filled[key] = _convert(value, hints[key], f"{source}: {what}.{key}")
    try:
        return kind(**filled)
    except InputError as error:
        raise InputError(f"{source}: {what}: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """What to answer to a name that does not exist: the nearest one, or all."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def _convert(value: Any, hint: Any, where: str) -> Any:
    if typing.get_origin(hint) is list:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, not {value!r}")
        return [_convert(one, typing.get_args(hint)[0], where) for one in value]
    kind = typing.get_origin(hint) or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    is_right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not is_right or (kind is float and not math.isfinite(value)):
        raise InputError(f"{where} must be {_SPELLED[kind]}, not {value!r}")
    return value
