"""The base class of every program in steps/, utils/ and local/: plumbum's command line with Kaldi's manners."""

import difflib
import inspect
import shlex
import shutil
import signal
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

from plumbum import cli
from plumbum.cli.application import ShowCompletion, ShowHelp, ShowHelpAll, ShowVersion
from plumbum.cli.switches import PositionalArgumentsError, SwitchError, UnknownSwitch

from spkid import __version__
from spkid.jobs import plan
from spkid.kaldi import InputError
from spkid.kaldi.io import forbid_pipes

_NEEDED = {
    int: "a whole number is needed",
    float: "a number is needed",
    cli.ExistingFile: "is no file: is its name right, and was it made already?",
    cli.ExistingDirectory: "is no directory: is its name right, and was it made already?",
}


class UsageError(InputError):
    """A command line that is wrong whatever lies on the disk."""


def boolean(text: str) -> bool:
    """Kaldi's booleans on a command line, `true` or `false`: `cli.SwitchAttr("--compress", boolean, default=True)`."""
    if text not in ("true", "false"):
        raise ValueError("true or false is needed")
    return text == "true"


def fraction(text: str) -> float:
    """A number from 0 to 1 on a command line (plumbum's own `Range` knows whole numbers only)."""
    if not 0 <= float(text) <= 1:
        raise ValueError("a number from 0 to 1 is needed")
    return float(text)


class Program(cli.Application):
    """A program with options. A subclass declares plumbum switches, `main(self, ...)` and an `EXAMPLE` for `--help`.

    `--name value` and `--name=value` are the same. What a user did wrong ends in one line on stderr and exit status 1:
    an unknown option (the line names the nearest known one), a wrong value, `InputError`, a file that cannot be read
    or written. SIGTERM and Ctrl-C unwind the program, so that `with` and `finally` release what they hold.

    With `--plan`, or where SPKID_PLAN is set, nothing is done: a step (what has `--force`) tells in its `Step` whether
    it would run and why, any other program that it would. Inputs that are not there yet are said and no error.

    Positional arguments of `main` have plain types and defaults (`""`, not None): plumbum converts by calling the type.
    """

    VERSION = __version__
    EXAMPLE: ClassVar[str] = ""
    _unbound_switches = ("help-all", "completions")

    @classmethod
    def run(cls, argv: list[str] | None = None, *, exit: bool = True):
        """Parses `argv` (`sys.argv`), runs `main`, exits with its status (`exit=False`: returns program and status)."""
        argv = list(sys.argv if argv is None else argv)
        name = Path(argv[0]).name
        if exit:
            signal.signal(signal.SIGTERM, _interrupt)
        try:
            program, status = super().run(argv, exit=False)
            if exit:
                sys.stdout.flush()
        except UsageError as error:
            program, status = None, _fail(name, str(error))
        except InputError as error:
            program, status = None, _fail_or_tell(name, str(error))
        except BrokenPipeError:
            program, status = None, 1
            sys.stdout = None  # the reader has gone: nothing is left to flush
        except OSError as error:
            program, status = None, _fail_or_tell(name, _describe(error))
        except KeyboardInterrupt as interrupt:
            received = interrupt.args[0] if interrupt.args else signal.SIGINT
            program, status = None, 128 + received
            _fail(name, f"stopped by {signal.Signals(received).name}")
        if exit:
            sys.exit(status)
        return program, status

    def __init__(self, executable: str):
        super().__init__(executable)
        self.USAGE = f"    {{progname}} [options] {self._positional()}\n"
        if self.EXAMPLE:
            # not DESCRIPTION_MORE: plumbum would break the command where no shell can put it together again
            example = _command_lines(self.EXAMPLE).replace("{", "{{").replace("}", "}}")
            self.USAGE += f"\nExample:\n{example}\n"
        if plan.is_planning():
            self._only_plan()

    @cli.switch("--plan")
    def _only_plan(self):
        """only tell what would run, and why"""
        plan.begin()
        if not hasattr(self, "force"):
            self.main = self._tell_plan

    @cli.switch("--no-pipes")
    def _no_pipes(self):
        """run no command that stands in place of a file, as in wav.scp"""
        forbid_pipes()

    def _tell_plan(self, *words: str):
        if not self.nested_command:
            print(f"{self.PROGNAME}: would run: {shlex.join(sys.argv)}", flush=True)

    def _parse_args(self, argv: list[str]):
        try:
            return super()._parse_args(argv)
        except UnknownSwitch as error:
            given = str(error).split()[-1]
            known = [("--" if len(name) > 1 else "-") + name for name in self._switches_by_name]
            nearest = difflib.get_close_matches(given.replace("_", "-"), known, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise UsageError(f"unknown option {given}{hint} (--help lists the options)") from None
        except SwitchError as error:
            raise UsageError(_sentence(error)) from None

    def _handle_argument(self, text: str, convert, name: str):
        if not convert:
            return NotImplemented  # as plumbum: the switch is a flag
        dashes = "--" if len(name) > 1 else "-"
        shown = f"{dashes}{name}" if name in self._switches_by_name else f"<{name.replace('_', '-')}>"
        try:
            return convert(text)
        except (TypeError, ValueError) as error:
            needed = _NEEDED.get(convert, str(error))
            if convert in (cli.ExistingFile, cli.ExistingDirectory):
                raise InputError(f"{shown}: {text!r} {needed}") from None
            if isinstance(convert, cli.Set):
                known = list(map(str, convert.values))
                nearest = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
                needed = f"one of {', '.join(known)} is needed" + (f"; did you mean {nearest[0]}?" if nearest else "")
            raise UsageError(f"{shown}: {text!r} will not do: {needed}") from None

    def _validate_args(self, swfuncs, tailargs):
        try:
            return super()._validate_args(swfuncs, tailargs)
        except (ShowHelp, ShowHelpAll, ShowVersion, ShowCompletion):
            raise
        except PositionalArgumentsError:
            raise UsageError(f"usage: {self.PROGNAME} [options] {self._positional()} (--help says more)") from None
        except SwitchError as error:
            raise UsageError(_sentence(error)) from None

    def _positional(self) -> str:
        """The positional arguments of `main` as a usage line shows them."""
        words = []
        for name, parameter in inspect.signature(self.main).parameters.items():
            shown = f"<{name.replace('_', '-')}>"
            if parameter.kind is parameter.VAR_POSITIONAL:
                words.append(f"[{shown} ...]")
            else:
                words.append(shown if parameter.default is parameter.empty else f"[{shown}]")
        return " ".join(words)


def _command_lines(command: str) -> str:
    """A command broken at blanks with backslashes, so that it can be pasted from `--help` into a shell as it is."""
    width = max(40, shutil.get_terminal_size().columns - 6)
    lines = textwrap.wrap(
        command,
        width,
        initial_indent="    ",
        subsequent_indent="        ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return " \\\n".join(lines)


def _interrupt(number, _frame):
    raise KeyboardInterrupt(number)


def _fail(name: str, sentence: str) -> int:
    print(f"{name}: error: {sentence}", file=sys.stderr, flush=True)
    return 1


def _fail_or_tell(name: str, sentence: str) -> int:
    """What is wrong with the inputs may only be that a step before has not run: no reason to end a recipe's plan."""
    if not plan.is_planning():
        return _fail(name, sentence)
    print(f"{name}: cannot be planned yet: {sentence}", flush=True)
    return 0


def _describe(error: OSError) -> str:
    files = [str(file) for file in (error.filename, error.filename2) if file is not None]
    return f"{' -> '.join(files)}: {error.strerror}" if files and error.strerror else str(error)


def _sentence(error: SwitchError) -> str:
    text = " ".join(str(error).split())
    return f"{text[:1].lower()}{text[1:]} (--help shows the usage)"
