"""utils/parse_options.sh, sourced the way run.sh does."""

import subprocess
from pathlib import Path

import pytest

from tests.shared import REPOSITORY

SCRIPT = f"""#!/usr/bin/env bash
# An example recipe.
#
# Usage: run.sh [--stage N]

# Not part of the usage.
set -euo pipefail
stage=0
stop_stage=9
cmd="utils/run.py --mem 2G"
use_gpu=false
empty=
. {REPOSITORY}/utils/parse_options.sh
printf '[%s]' "$stage" "$stop_stage" "$cmd" "$use_gpu" "$empty" "$@"
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "run.sh"
    path.write_text(SCRIPT)
    return path


def run(script, *words):
    return subprocess.run(["bash", str(script), *words], capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], ["0", "9", "utils/run.py --mem 2G", "false", ""]),
        (["--stage", "3", "--stop-stage", "4"], ["3", "4", "utils/run.py --mem 2G", "false", ""]),
        (["--stop-stage=4", "--empty=a=b"], ["0", "4", "utils/run.py --mem 2G", "false", "a=b"]),
        (["--cmd", "q.py -l $x 'y'", "--use_gpu", "true"], ["0", "9", "q.py -l $x 'y'", "true", ""]),
        (["--stage", "1", "x y", "--stage"], ["1", "9", "utils/run.py --mem 2G", "false", "", "x y", "--stage"]),
        (["--", "--stage"], ["0", "9", "utils/run.py --mem 2G", "false", "", "--stage"]),
        (["--empty", ""], ["0", "9", "utils/run.py --mem 2G", "false", ""]),
        (["--empty", "$(touch trap)"], ["0", "9", "utils/run.py --mem 2G", "false", "$(touch trap)"]),
    ],
)
def test_options_set_variables(script, words, values):
    result = run(script, *words)
    assert result.stdout == "".join(f"[{value}]" for value in values), result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--stagge", "3"], "unknown option --stagge"),
        (["--stage"], "--stage needs a value"),
        (["--use-gpu", "yes"], "--use-gpu is true or false"),
        (["--stage", "two"], "--stage is a number"),
        (["--x[$(touch trap)]", "3"], "not the name of an option"),
        (["--PATH", "3"], "not the name of an option"),
        (["--config", "none.conf"], "none.conf"),
    ],
)
def test_what_is_wrong_is_one_sentence(script, words, sentence):
    result = run(script, *words)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert not (script.parent / "trap").exists()


def test_an_unknown_option_lists_the_known_ones(script):
    assert "--cmd --empty --stage --stop-stage --use-gpu" in run(script, "--nj", "3").stderr


def test_config_comes_first_and_the_command_line_wins(script, tmp_path):
    (tmp_path / "my.conf").write_text("stage=5\nstop_stage=6\n")
    result = run(script, "--stage", "7", "--config", str(tmp_path / "my.conf"))
    assert result.stdout.startswith("[7][6]")


def test_a_script_with_a_config_of_its_own_gets_the_name_of_the_file(script):
    script.write_text(script.read_text().replace("empty=\n", "empty=\nconfig=conf/a.yaml\n") + "echo $config\n")
    assert run(script).stdout.endswith("conf/a.yaml\n")
    for words in (["--config", "conf/b.yaml"], ["--config=conf/b.yaml"]):
        assert run(script, "--stage", "3", *words).stdout.endswith("conf/b.yaml\n")
    assert "--config needs a value" in run(script, "--config").stderr


def test_help_is_the_comment_at_the_top(script):
    result = run(script, "--help")
    assert result.returncode == 0
    assert result.stdout == "An example recipe.\n\nUsage: run.sh [--stage N]\n"


def test_a_plan_leaves_the_files_alone(tmp_path):
    path = tmp_path / "run.sh"
    copy = SCRIPT.replace("stage=0\n", "stage=0\nplan=false\n", 1) + '\ncp "$0" copy; mkdir made; echo "$SPKID_PLAN"\n'
    path.write_text(copy)
    done = subprocess.run(["bash", "run.sh", "--plan", "true"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cp: would run: cp run.sh copy\nmkdir: would run: mkdir made\n" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["run.sh"]
    assert not Path(done.stdout.split()[-1]).exists()


@pytest.mark.parametrize("name", ["name", "value", "known"])
def test_a_variable_may_have_any_name(script, name):
    script.write_text(SCRIPT.replace("empty=", f"{name}=").replace("$empty", f"${name}"))
    assert run(script, f"--{name}", "x").stdout.endswith("[x]")
