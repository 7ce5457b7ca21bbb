"""path.sh: uses what is there, builds .venv once, finishes what was interrupted, says what is missing.

The builds here use a stand-in for Python that records what it is asked to do: no network, no gigabytes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import REPOSITORY

STAND_IN = r"""#!/bin/bash
# Answers as python3.11 does to path.sh; $LOG gets a line for every step of a build.
case "$*" in
  *"import sys; sys.exit"*) exit 0 ;;
  *"import ensurepip, venv"*) exit "${NO_VENV:-0}" ;;
  *"sys.version_info[:2]"*) echo python3.11-venv ;;
  *"-m venv --clear"*)
    echo "venv" >>"$LOG"
    rm -rf "${@: -1}"; mkdir -p "${@: -1}/bin"
    cp "$0" "${@: -1}/bin/python"; cp "$0" "${@: -1}/bin/python3" ;;
  *"import pip"*) exit 0 ;;
  *"import distributions"*) echo "$BROKEN" ;;
  *"install -r"*)
    echo "requirements" >>"$LOG"; echo "Collecting everything"
    [ -z "${SLOW:-}" ] || sleep 1
    exit "${PIP_FAILS:-0}" ;;
  *"--ignore-installed"*) echo "again ${*: -2:1}" >>"$LOG" ;;
  *"install --quiet"*)
    echo "spkid" >>"$LOG"; touch "$(dirname "$0")/copy-feats"; chmod +x "$(dirname "$0")/copy-feats" ;;
  *) exit 1 ;;
esac
"""
SOURCE = (
    'set -euo pipefail; . "$0"; '
    'printf "%s\n" "$(command -v python3)" "$LC_ALL" "$PYTHONUNBUFFERED" "$OMP_NUM_THREADS"'
)


@pytest.fixture
def checkout(tmp_path):
    """A copy of what path.sh looks at, in a directory whose name has a blank."""
    root = tmp_path / "my checkout"
    (root / "spkid/bin").mkdir(parents=True)
    for name in ("path.sh", "setup.py", "requirements.txt"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / "spkid/bin/copy_feats.py").write_text("")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3.11").write_text(STAND_IN)
    (tools / "python3.11").chmod(0o755)
    (tools / "python3").symlink_to("python3.11")
    return root


def environment(checkout, **more):
    path = f"{checkout.parent / 'tools'}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(checkout), "LOG": str(checkout.parent / "log"), **more}


def source(checkout, script=SOURCE, cwd="/", **more):
    return subprocess.run(
        ["bash", "-c", script, str(checkout / "path.sh")],
        cwd=cwd, env=environment(checkout, **more), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def steps(checkout):
    log = checkout.parent / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_an_environment_with_spkid_is_used_as_it_is(checkout):
    here = Path(sys.executable).parent
    if not (here / "copy-feats").exists():
        pytest.skip("spkid is not installed for this Python (the package is only on its path)")
    result = source(checkout, PATH=f"{here}:/usr/bin:/bin")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [str(here / "python3"), "C", "1", "1"]
    assert f"using spkid of {REPOSITORY}" in result.stderr
    assert not (checkout / ".venv").exists()


def test_the_current_directory_does_not_answer_for_the_environment(checkout):
    result = source(checkout, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    assert steps(checkout) == ["venv", "requirements", "spkid"]


def test_it_is_built_once_and_then_found(checkout):
    first = source(checkout)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [str(checkout / ".venv/bin/python3"), "C", "1", "1"]
    assert steps(checkout) == ["venv", "requirements", "spkid"]
    assert "building" in first.stderr
    assert "Collecting everything" in first.stderr  # what pip does is seen
    second = source(checkout)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == first.stdout
    assert steps(checkout) == []


def test_an_interrupted_build_is_finished(checkout):
    failed = source(checkout, PIP_FAILS="1")
    assert failed.returncode == 1
    assert "run this again to go on" in failed.stderr
    assert steps(checkout) == ["venv", "requirements"]
    assert source(checkout).returncode == 0
    assert steps(checkout) == ["requirements", "spkid"]


def test_a_killed_build_is_finished_and_what_it_left_incomplete_installed_again(checkout):
    (checkout / ".venv/bin").mkdir(parents=True)  # killed before Python was there
    assert source(checkout, BROKEN="torch==2.11.0").returncode == 0
    assert steps(checkout) == ["venv", "requirements", "again torch==2.11.0", "spkid"]


def test_changed_requirements_and_new_tools_are_noticed(checkout):
    source(checkout)
    steps(checkout)
    with open(checkout / "requirements.txt", "a") as stream:
        stream.write("more==1.0\n")
    assert source(checkout).returncode == 0
    assert steps(checkout) == ["requirements", "spkid"]
    (checkout / "spkid/bin/new_tool.py").write_text("")
    assert source(checkout).returncode == 0
    assert steps(checkout) == ["spkid"]


def test_a_moved_checkout_is_built_again(checkout):
    source(checkout)
    steps(checkout)
    moved = checkout.parent / "moved"
    checkout.rename(moved)
    result = source(moved)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == str(moved / ".venv/bin/python3")
    assert steps(moved) == ["venv", "requirements", "spkid"]


def test_two_callers_at_once_build_once(checkout):
    words = ["bash", "-c", SOURCE, str(checkout / "path.sh")]
    callers = [
        subprocess.Popen(
            words, env=environment(checkout, SLOW="1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [caller.communicate(timeout=60) for caller in callers]
    assert [caller.returncode for caller in callers] == [0, 0, 0]
    assert len({out for out, _ in said}) == 1
    assert steps(checkout) == ["venv", "requirements", "spkid"]
    assert sum("waiting for another process" in err for _, err in said) == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [({"NO_VENV": "1"}, "apt-get install python3.11-venv"), ({"PIP_FAILS": "1"}, "pip could not install")],
)
def test_what_is_missing_is_said(checkout, more, sentence):
    result = source(checkout, **more)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert result.stdout == ""  # set -e ended the caller


def test_no_python_is_said(checkout):
    tools = checkout.parent / "tools"
    (tools / "python3.11").unlink()
    for name in ("bash", "dirname", "sha256sum", "cat", "flock", "sed", "df", "awk", "head", "rm"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").unlink()
    result = source(checkout, PATH=str(tools))
    assert result.returncode == 1
    assert "no Python 3.11 or later" in result.stderr


def test_a_full_disk_is_said(checkout):
    tools = checkout.parent / "tools"
    (tools / "df").write_text("#!/bin/sh\necho header; echo /dev/x 100 100 1048576 100% /\n")
    (tools / "df").chmod(0o755)
    result = source(checkout)
    assert result.returncode == 1
    assert "1 GB of free disk" in result.stderr


def test_it_leaves_the_callers_shell_as_it_was(checkout):
    script = (
        'set -euo pipefail; before=$(set -o); names=$(compgen -A function; compgen -v); . "$0"; '
        '[ "$before" = "$(set -o)" ] && comm -13 <(echo "$names" | sort) <(compgen -A function; compgen -v) '
    )
    result = source(checkout, script)
    new = set(result.stdout.split())
    assert new <= {"LC_ALL", "PYTHONUNBUFFERED", "OMP_NUM_THREADS", "VIRTUAL_ENV", "before", "names", "_", "PIPESTATUS"}


def test_threads_that_the_user_set_stay(checkout):
    assert source(checkout, OMP_NUM_THREADS="4").stdout.splitlines()[-1] == "4"


def test_this_checkout_can_be_sourced_from_anywhere():
    """The real thing, whatever this machine has: the environment the tests run in stands already."""
    if Path(sys.executable).parent != REPOSITORY / ".venv/bin":
        pytest.skip("the tests run in an environment of the user's own")
    script = f'set -euo pipefail; . "{REPOSITORY}/path.sh"; command -v copy-feats; cd /; python3 -c "import spkid"'
    plain = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    plain["PATH"] = "/usr/bin:/bin"
    result = subprocess.run(["bash", "-c", script], cwd="/tmp", env=plain, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(REPOSITORY / ".venv/bin/copy-feats")
