"""Programs of steps/ and utils/ run as a user does, but inside the test's process and with their lines captured."""

import contextlib
import importlib.util
import io
import sys
from unittest.mock import patch

from spkid.jobs import Program
from tests.shared import REPOSITORY


def command(program: str, *arguments: object) -> tuple[int, str, str]:
    """Runs a program by its file's name, in the current directory: status, standard output, standard error."""
    (path,) = (path for folder in ("steps", "utils") if (path := REPOSITORY / folder / program).exists())
    specification = importlib.util.spec_from_file_location(program[:-3], path)
    module = importlib.util.module_from_spec(specification)
    with patch.object(sys, "path", [str(path.parent), *sys.path]):  # where Python looks first when a user runs it
        specification.loader.exec_module(module)
    (application,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Program) and kind.__module__ == module.__name__
    )
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        _, status = application.run([program, *map(str, arguments)], exit=False)
    return status, out.getvalue(), err.getvalue()


def succeed(program: str, *arguments: object) -> str:
    """What a program that must succeed prints."""
    status, out, err = command(program, *arguments)
    assert status == 0, err
    return out


def refuse(program: str, *arguments: object) -> str:
    """The one line on standard error of a program that must fail."""
    status, out, err = command(program, *arguments)
    assert status == 1, out
    assert err.count("\n") == 1, err
    return err
