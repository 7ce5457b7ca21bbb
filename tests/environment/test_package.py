"""The package as a whole: light where it must be, every tool a command, the rules of the layers in force."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.shared import REPOSITORY

ROOMS_WITHOUT_TORCH = ("kaldi", "metrics", "audio", "features", "backend", "jobs")
TOOLS = sorted(path.stem for path in (REPOSITORY / "spkid/bin").glob("[a-z]*.py"))


def modules_after(code):
    """Names of the modules that are loaded once `code` has run in a fresh Python."""
    code += "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_the_package_itself_loads_nothing_heavy():
    assert not modules_after("import spkid, spkid.kaldi") & {"numpy", "scipy", "pandas", "torch", "plumbum", "kaldiio"}


def test_torch_is_loaded_by_no_room_but_nnet_data_and_train():
    names = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for room in ROOMS_WITHOUT_TORCH
        for path in sorted((REPOSITORY / "spkid" / room).rglob("*.py"))
    ]
    assert len(names) > 20
    assert "torch" not in modules_after("\n".join(f"import {name}" for name in names))


def test_no_tool_loads_torch_scipy_or_pandas_to_start():
    loaded = modules_after("\n".join(f"import spkid.bin.{tool}" for tool in TOOLS))
    assert not loaded & {"torch", "pandas", "matplotlib", "plumbum"}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_is_a_command(tool):
    command = Path(sys.executable).parent / tool.replace("_", "-")
    if not (Path(sys.executable).parent / "copy-feats").exists():
        pytest.skip("spkid is not installed for this Python (the package is only on its path)")
    assert command.exists(), f"{command} is missing: path.sh installs it"


def test_the_version_is_the_packages():
    import spkid

    assert metadata.version("spkid") == spkid.__version__


def test_installed_packages_are_the_required_ones():
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    installed = {name: metadata.version(name) for name in wanted}
    if Path(sys.executable).parent != REPOSITORY / ".venv/bin":
        pytest.skip("the tests run in an environment of the user's own")
    assert installed == wanted


def test_licence_is_apache():
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
