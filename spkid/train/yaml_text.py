"""YAML as a configuration wants it: 1e-3 is a number, and a key given twice is an error."""

import re
from pathlib import Path
from typing import Any

import yaml

from spkid.kaldi import InputError


class _Loader(yaml.SafeLoader):
    pass


# YAML 1.1 takes 1e-3 for a word, because it has no point; everybody means the number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for place, (key_node, _) in enumerate(node.value):
        if keys[place] in keys[:place]:
            problem = f"the key '{keys[place]}' is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises InputError with file and line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None
    values = _parse(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be keys and values, not {type(values).__name__}")
    return values


def parse_value(text: str, source: str) -> Any:
    """One value, as it would be written behind a key."""
    return _parse(text, source)


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}:{line} {error.problem}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{source}: {' '.join(str(error).split())}") from None
