"""A mapping read from a file as dataclasses, checked: an unknown key is an error that names the nearest known one."""

import dataclasses
import difflib
import inspect
import math
import types
import typing
from typing import Any

from spkid.kaldi import InputError
from spkid.train import yaml_text

# Whole numbers have to be 1 or more where their default is, but for these.
LEAST = {"patience": 0}


def set_value(values: dict[str, Any], override: str) -> None:
    """Puts an "a.b=value" of the command line into the mapping of a file, in place. Raises InputError."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override}: write it as key=value, for example --set optimizer.lr=0.01")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {override}: '{section}' is a value, not a section")
    values[last] = yaml_text.parse_value(text, f"--set {override}")


def fill(kind: type, values: Any, source: str, prefix: str) -> Any:
    """The dataclass `kind`, and those inside it, from a mapping. Raises InputError that names `source` and the key."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: '{prefix.rstrip('.') or 'the file'}' must be a section of keys and values")
    hints = typing.get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    filled = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{source}: {_unknown_key(prefix, str(key), list(known))}")
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            filled[key] = fill(hint, value if value is not None else {}, source, f"{prefix}{key}.")
        else:
            filled[key] = _convert(value, hint, source, f"{prefix}{key}")
    for key, item in known.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and key not in filled:
            raise InputError(f"{source}: the key '{prefix}{key}' is missing")
    return kind(**filled)


def _convert(value: Any, hint: Any, source: str, key: str) -> Any:
    if typing.get_origin(hint) is list:
        items = value if isinstance(value, list) else [value]
        return [_convert(item, typing.get_args(hint)[0], source, key) for item in items]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    plain = dict if isinstance(hint, types.GenericAlias) else hint
    if isinstance(value, plain) and (plain is bool or not isinstance(value, bool)):
        if plain is float and not math.isfinite(value):
            raise InputError(f"{source}: '{key}' must be a finite number, not {value}")
        return dict(value) if plain is dict else value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", dict: "a section"}
    raise InputError(f"{source}: '{key}' must be {names[plain]}, not {value!r}")


def check_named(section: str, values: dict[str, Any], table, options, given_elsewhere: tuple[str, ...] = ()) -> None:
    """Raise InputError for a section whose `name` or one of whose other keys does not exist, or has a value of no use.

    Args:
        table: what the name is looked up in.
        options: (name) -> its options and their defaults.
        given_elsewhere: options that the section need not and may not give.
    """
    name = values.get("name")
    if name not in table:
        raise InputError(f"{_unknown(f'{section}.name', str(name), sorted(table))}")
    known = {key: default for key, default in options(name).items() if key not in given_elsewhere}
    for key, value in values.items():
        if key == "name":
            continue
        if key not in known:
            raise InputError(_unknown_key(f"{section}.", str(key), ["name", *known]))
        default = known[key]
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if number and (isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)):
            raise InputError(f"'{section}.{key}' must be a number, not {value!r}")
        if number and isinstance(default, int):  # a size or a count
            least = LEAST.get(key, min(default, 1))
            if not isinstance(value, int) or value < least:
                raise InputError(f"'{section}.{key}' must be a whole number of at least {least}, not {value}")
        if isinstance(default, bool | str) and not isinstance(value, type(default)):
            raise InputError(f"'{section}.{key}' must be {'true or false' if isinstance(default, bool) else 'a word'}, "
                             f"not {value!r}")  # fmt: skip
    for key, default in known.items():
        if default is inspect.Parameter.empty and key not in values:
            raise InputError(f"the key '{section}.{key}' is missing")


def _unknown_key(prefix: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known here: {', '.join(known)}"
    return f"unknown key '{prefix}{key}' ({hint})"


def _unknown(what: str, value: str, known: typing.Sequence[str]) -> str:
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return f"unknown {what} '{value}' ({hint})"


def one_of(key: str, value: str, known: typing.Sequence[str]) -> None:
    """Raise InputError for a word that is not known, with the nearest that is."""
    if value not in known:
        raise InputError(_unknown(key, value, known))


def positive(key: str, value: float) -> None:
    """Raise InputError unless the value is above 0."""
    if not value > 0:
        raise InputError(f"{key} must be positive, not {value}")


def at_least_zero(key: str, value: float) -> None:
    """Raise InputError for a value below 0."""
    if not value >= 0:
        raise InputError(f"{key} must not be negative, not {value}")
