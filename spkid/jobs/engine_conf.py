"""How a cluster wants options spelled: `conf/slurm.conf` and `conf/queue.conf` in the syntax of Kaldi's queue.pl.

command sbatch --export=ALL     # how to submit
option mem=* --mem=$0           # --mem 4G becomes --mem=4G
option gpu=0                    # one value of an option, here with nothing to add
option gpu=* --gres=gpu:$0
default gpu=0                   # what holds where --gpu is not given
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from spkid.kaldi import InputError

OURS = ("config", "pick", "retries", "max-jobs-run")  # a launcher's own: in a conf they may be, they need not


@dataclass
class EngineConf:
    """One file in that syntax; where it was read is `source`."""

    source: str
    command: list[str] = field(default_factory=list)
    options: dict[tuple[str, str], str] = field(default_factory=dict)  # (name, value or *) -> what to add
    defaults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: str) -> "EngineConf":
        """Reads the text. Raises InputError naming the line."""
        conf = cls(source)
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split(maxsplit=2)
            if not words:
                continue
            where = f"{source}, line {number}"
            name, equals, value = words[1].partition("=") if len(words) > 1 else ("", "", "")
            if words[0] == "command" and len(words) > 1:
                conf.command = _split(" ".join(words[1:]), where)
            elif words[0] == "option" and equals and value:
                conf.options[_plain(name), value] = words[2].strip() if len(words) > 2 else ""
            elif words[0] == "default" and equals and len(words) == 2:
                conf.defaults[_plain(name)] = value
            else:
                known = "'command ...', 'option name=value ...' or 'default name=value'"
                raise InputError(f"{where}: {line.strip()!r} is not {known}")
        if not conf.command:
            raise InputError(f"{source} has no line 'command ...' that says how to submit")
        for name, value in conf.defaults.items():
            if (name, value) not in conf.options and (name, "*") not in conf.options:
                raise InputError(f"{source}: the default {name}={value} has no line 'option {name}=...'")
        return conf

    def words(self, options: Mapping[str, str]) -> list[str]:
        """What to add to `command` for these options of a launcher. Raises InputError for one that is not described."""
        given = {_plain(name): value for name, value in options.items() if name not in OURS or self._has(name)}
        words = []
        for name, value in {**self.defaults, **given}.items():
            added = self.options.get((name, value), self.options.get((name, "*")))
            if added is None:
                values = sorted(known for option, known in self.options if option == name)
                what = f"only with the values {', '.join(values)}" if values else "not"
                raise InputError(f"--{name.replace('_', '-')} {value} is {what} described in {self.source}")
            words += [word.replace("$0", value) for word in _split(added, self.source)]
        return words

    def _has(self, name: str) -> bool:
        return any(option == _plain(name) for option, _ in self.options)


def read_conf(options: Mapping[str, str], usual: str, otherwise: str) -> EngineConf:
    """The conf that --config names, or `usual` of the current directory, or the text `otherwise`."""
    path = options.get("config", usual)
    if "config" not in options and not os.path.exists(path):
        return EngineConf.parse(otherwise, f"the launcher's own configuration (there is no {usual})")
    try:
        with open(path, encoding="utf-8") as stream:
            return EngineConf.parse(stream.read(), path)
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror}") from None


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _split(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(f"{where}: {text!r}: {error}") from None
