"""`--plan`: what would run, and why, is told; nothing is done."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from plumbum import cli

from spkid.jobs import Program, Step
from spkid.kaldi import InputError
from tests.recipes.running import call, copy_recipe


class Copy(Program):
    """Copies a file, as a step."""

    size = cli.SwitchAttr("--size", int, default=1)
    force = cli.Flag("--force", help="again")

    def main(self, source: str, target: str) -> int:
        with Step(f"copy_{target}", f"{target}.step", [source], {"size": self.size}, [target], self.force) as step:
            if step.is_done:
                return 0
            shutil.copy(source, target)
            step.finish(f"{target} of {source}")
        return 0


class Touch(Program):
    """Keeps no record."""

    def main(self, target: str, where: cli.ExistingDirectory = ".") -> None:
        Path(where, target).touch()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPKID_PLAN", raising=False)
    (tmp_path / "a").write_text("text")
    return tmp_path


def run(capsys, program, *words):
    """Status, standard output and error; a plan that `--plan` began ends with the program, as a process does."""
    before = os.environ.get("SPKID_PLAN")
    status = program.run([program.__name__.lower(), *words], exit=False)[1]
    if before is None:
        os.environ.pop("SPKID_PLAN", None)
    return (status, *capsys.readouterr())


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_a_step_tells_why_it_would_run_and_does_nothing(here, capsys):
    before = stamps(here)
    assert run(capsys, Copy, "--plan", "a", "b")[:2] == (0, "copy_b: would run: nothing of it is in b.step yet\n")
    assert "would run: nothing of it is in b.step yet; c is not there yet" in run(capsys, Copy, "--plan", "c", "b")[1]
    assert stamps(here) == before
    run(capsys, Copy, "a", "b")
    before = stamps(here)
    assert "copy_b: done already" in run(capsys, Copy, "--plan", "a", "b")[1]
    assert "would run: option size was 1 and is 2" in run(capsys, Copy, "--plan", "--size", "2", "a", "b")[1]
    assert "would run: --force" in run(capsys, Copy, "--plan", "--force", "a", "b")[1]
    assert stamps(here) == before
    (here / "b").unlink()
    assert "would run: output b is missing" in run(capsys, Copy, "--plan", "a", "b")[1]
    assert not (here / "b").exists()


def test_steps_after_a_change_may_run_too(here, capsys, monkeypatch):
    for source, target in (("a", "b"), ("b", "c"), ("a", "d")):
        run(capsys, Copy, source, target)
    monkeypatch.setenv("SPKID_PLAN", str(here / "notes"))
    (here / "b").write_text("other")
    assert "would run: output b changed" in run(capsys, Copy, "a", "b")[1]
    assert "would run: input b changed" in run(capsys, Copy, "b", "c")[1]
    (here / "b").write_text("text")
    (here / "notes").write_text(f"{here}/b\n")
    assert "copy_c: may run: input b would be written again" in run(capsys, Copy, "b", "c")[1]
    assert "copy_d: done already" in run(capsys, Copy, "a", "d")[1]


def test_other_programs_would_run(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["touch", "--plan", "x y"])
    assert run(capsys, Touch, "--plan", "x y")[:2] == (0, "touch: would run: touch --plan 'x y'\n")
    monkeypatch.setenv("SPKID_PLAN", "1")
    assert "touch: would run" in run(capsys, Touch, "x")[1]
    assert [path.name for path in here.iterdir()] == ["a"]


def test_inputs_that_are_missing_are_said_but_a_wrong_command_line_stays_an_error(here, capsys, monkeypatch):
    class Demand(Copy):
        def main(self, source: cli.ExistingFile) -> int:
            raise InputError("no trials in it")

    assert run(capsys, Demand, "--plan", "a") == (0, "demand: cannot be planned yet: no trials in it\n", "")
    monkeypatch.setenv("SPKID_PLAN", "1")
    assert "cannot be planned yet: <source>: 'none'" in run(capsys, Demand, "none")[1]
    for wrong in (["--sise", "2", "a"], ["--size", "x", "a"], []):
        status, _, err = run(capsys, Demand, *wrong)
        assert (status, err.count("\n")) == (1, 1)


def test_the_plan_of_a_recipe_changes_nothing(here):
    recipe = copy_recipe(here, "mini")
    before = stamps(recipe)
    done = call("bash", "run.sh", "--plan", "true", cwd=recipe)
    assert done.returncode == 0, done.stderr
    assert stamps(recipe) == before
    assert all(f"Stage {stage}:" in done.stdout for stage in range(8))
    assert "mini: would run: nothing of it is in corpus yet" in done.stdout
    assert "make_mfcc.py: cannot be planned yet" in done.stdout
    assert len(done.stdout.splitlines()) == 8 + 18
