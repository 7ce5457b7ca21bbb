"""Options in Kaldi's manner (util/parse-options.cc): dataclasses say what exists, the command line fills them.

    @dataclass(frozen=True)
    class CopyOptions:
        compress: bool = option(False, "Write compressed matrices")

A field `num_ceps` is `--num-ceps`. A field whose default is another such dataclass is flattened into it.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from spkid.kaldi.errors import InputError
from spkid.kaldi.io import forbid_pipes
from spkid.kaldi.logging import program_name, set_verbosity

Group = TypeVar("Group")


def option(default: bool | int | float | str, help: str) -> Any:
    """A dataclass field that is an option. The type of the default is the type of the option."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class StandardOptions:
    """What every tool understands."""

    config: str = option("", "Configuration file to read (this option may be repeated)")
    help: bool = option(False, "Print out usage message")
    no_pipes: bool = option(False, "Run no command that stands in place of a file, on the command line or in a script")
    print_args: bool = option(True, "Print the command line arguments (to stderr)")
    verbose: int = option(0, "Verbose level (higher->more logging)")


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """What every tool that works through ids understands."""

    report: str = option("", "File to write what was done to: JSON with the ids given, done and failed, and why")


class _Option:
    """One option: where it lives and how it is read."""

    def __init__(self, field: dataclasses.Field, path: tuple[str, ...], default: Any) -> None:
        self.name = field.name.replace("_", "-")
        self.path = path
        self.help = field.metadata["help"]
        self.default = default
        self.type = type(default)

    def parse(self, text: str, where: str) -> Any:
        """The value of the text; `where` begins the error message."""
        if self.type is bool:
            lowered = text.lower()
            if lowered in ("true", "t", "1"):
                return True
            if lowered in ("false", "f", "0"):
                return False
            raise InputError(f"{where}: --{self.name} is true or false, not {text!r}")
        if self.type is str:
            return text
        try:
            if "_" in text:
                raise ValueError
            value = self.type(text)
        except ValueError:
            kind = "a whole number" if self.type is int else "a number"
            raise InputError(f"{where}: --{self.name} takes {kind}, not {text!r}") from None
        if value != value:
            raise InputError(f"{where}: --{self.name} takes a number, not {text!r}")
        return value

    @property
    def usage(self) -> str:
        kind = {"str": "string"}.get(self.type.__name__, self.type.__name__)
        shown = {bool: str(self.default).lower(), str: f'"{self.default}"'}.get(self.type, f"{self.default}")
        return f"  --{self.name:<25} : {self.help} ({kind}, default = {shown})"


def _options_of(group: Any, path: tuple[str, ...] = ()) -> Iterator[_Option]:
    """The options of a dataclass instance, nested ones included."""
    for field in dataclasses.fields(group):
        default = getattr(group, field.name)
        if dataclasses.is_dataclass(default):
            yield from _options_of(default, (*path, field.name))
        elif "help" in field.metadata:
            yield _Option(field, (*path, field.name), default)


def _replace(group: Any, values: dict[tuple[str, ...], Any]) -> Any:
    """A copy of a dataclass instance in which the fields at these paths have these values."""
    changes = {path[0]: value for path, value in values.items() if len(path) == 1}
    for name in {path[0] for path in values if len(path) > 1}:
        inner = {path[1:]: value for path, value in values.items() if len(path) > 1 and path[0] == name}
        changes[name] = _replace(getattr(group, name), inner)
    try:
        return dataclasses.replace(group, **changes)
    except ValueError as error:  # a dataclass may check its values in __post_init__
        raise InputError(str(error)) from None


class _Parser:
    """Gathers values for several groups of options."""

    def __init__(self, groups: Sequence[Any]) -> None:
        self.groups = [group() if isinstance(group, type) else group for group in groups]
        self.known: dict[str, tuple[int, _Option]] = {}
        for index, group in enumerate(self.groups):
            for item in _options_of(group):
                if item.name in self.known:
                    raise ValueError(f"--{item.name} is defined twice")
                self.known[item.name] = index, item
        self.values: list[dict[tuple[str, ...], Any]] = [{} for _ in self.groups]

    def set(self, argument: str, where: str) -> None:
        """Takes `--name=value` (or `--name` for a bool)."""
        name, equals, text = argument[2:].partition("=")
        name = name.strip().lower().replace("_", "-")
        if name not in self.known:
            raise InputError(f"{where}: unknown option --{name}{nearest(name, self.known)}")
        index, item = self.known[name]
        if not equals:
            if item.type is not bool:
                raise InputError(f"{where}: --{name} takes a value: --{name}={item.default or '...'}")
            text = "true"
        self.values[index][item.path] = item.parse(text.strip(), where)

    def read_config(self, path: str) -> None:
        """Takes the options in a file: one `--name=value` a line, `#` begins a comment."""
        if not path:
            raise InputError("--config takes the name of a file")
        try:
            with open(path, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
        except OSError as error:
            raise InputError(f"cannot read the configuration {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path}: not a configuration file, it is not UTF-8 text") from None
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            if not text.startswith("--"):
                raise InputError(f"{path}, line {number}: an option such as --num-ceps=13 was expected, not {text!r}")
            self.set(text, f"{path}, line {number}")

    def finish(self) -> list[Any]:
        """The filled groups."""
        return [
            _replace(group, values) if values else group
            for group, values in zip(self.groups, self.values, strict=True)
        ]


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean --x?` for the known name most like this one; empty when none is."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean --{close[0]}?" if close else "; see --help"


def fill_from_config(path: str, groups: Sequence[Any]) -> list[Any]:
    """Fills dataclasses from a configuration file alone.

    Raises:
        InputError: the file cannot be read, or holds an unknown option or a bad value.
    """
    parser = _Parser(groups)
    parser.read_config(path)
    try:
        return parser.finish()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse_command_line(
    usage: str,
    groups: Sequence[Any],
    argv: Sequence[str] | None = None,
    positional: tuple[int, int | None] = (0, None),
) -> tuple[list[Any], list[str]]:
    """Reads a tool's command line: options first, then positional arguments; `--` ends the options.

    Args:
        usage: the text of `--help`, with an example.
        groups: dataclass types (or instances, whose values are then the defaults).
        argv: the arguments without the program's name; None for those of the process.
        positional: how many positional arguments there may be; None for any number.

    Returns:
        The groups filled, and the positional arguments. Values on the command line win over `--config` files.

    Raises:
        InputError: an unknown option (the nearest known one is named), a bad value, a wrong number of arguments.
        SystemExit: after `--help` (status 0), or after the usage where there are no arguments at all (status 1).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser([*groups, StandardOptions])
    named, rest = _split(argv)
    for argument in named:
        name, _, text = argument[2:].partition("=")
        if name == "config":
            parser.read_config(text.strip())
        elif name == "help":
            print(_help(usage, parser))
            raise SystemExit(0)
    for argument in named:
        parser.set(argument, "command line")
    *filled, standard = parser.finish()
    set_verbosity(standard.verbose)
    if standard.no_pipes:
        forbid_pipes()
    if standard.print_args:
        print(shlex.join([os.path.basename(program_name()), *argv]), file=sys.stderr, flush=True)
    minimum, maximum = positional
    if not argv and minimum:
        print(_help(usage, parser), file=sys.stderr)
        raise SystemExit(1)
    if len(rest) < minimum or (maximum is not None and len(rest) > maximum):
        _refuse_count(rest, minimum, maximum)
    return filled, rest


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    for i, argument in enumerate(argv):
        if argument == "--":
            return argv[:i], argv[i + 1 :]
        if not argument.startswith("--"):
            return argv[:i], [word for word in argv[i:] if word != "--"]
    return argv, []


def _refuse_count(rest: list[str], minimum: int, maximum: int | None) -> None:
    late = [argument for argument in rest if argument.startswith("--")]
    if late:
        raise InputError(f"options come before the file names: move {late[0]} to the front")
    wanted = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
    if minimum == maximum:
        wanted = str(minimum)
    raise InputError(f"{len(rest)} arguments where {wanted} are needed; see --help")


def _help(usage: str, parser: _Parser) -> str:
    standard = len(parser.groups) - 1
    items = [parser.known[name] for name in sorted(parser.known)]
    own = [item.usage for index, item in items if index != standard]
    common = [item.usage for index, item in items if index == standard]
    parts = ["", usage.strip("\n"), ""]
    if own:
        parts += ["Options:", *own, ""]
    return "\n".join([*parts, "Standard options:", *common, ""])
