"""Every program of local/ and every command of it: help with an example that names it; wrong words are explained."""

import subprocess
import sys

import pytest

from tests.shared import REPOSITORY

PROGRAMS = sorted(path.name for path in (REPOSITORY / "local").glob("*.py"))
COMMANDS = {
    "voxceleb.py": ["download", "prepare"],
    "musan.py": ["download", "prepare"],
    "rirs_noises.py": ["download", "prepare"],
    "aishell.py": ["download", "prepare"],
    "librispeech.py": ["download", "prepare"],
    "cn_celeb.py": ["download", "prepare"],
    "vad_lab.py": ["mat", "labels"],
    "mini.py": ["prepare"],
    "mydata.py": ["collect", "select", "choose", "summary"],
    "speechocean762.py": ["download", "prepare", "compare", "curves"],
}


@pytest.mark.parametrize(
    ("program", "command"), [(name, word) for name in PROGRAMS for word in ["", *COMMANDS.get(name, [])]]
)
def test_help_shows_an_example(program, command):
    words = [sys.executable, REPOSITORY / "local" / program, *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    _, _, example = done.stdout.partition("Example:")
    assert example.split()[0] == f"local/{program}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["musan.py"], "say what to do: `musan.py download`"),
        (["musan.py", "fetch"], "there is no command fetch"),
        (["librispeech.py", "prepare", "--corpora", "x", "data"], "did you mean --corpus?"),
        (["librispeech.py", "download", "downloads"], "--subsets"),
    ],
)
def test_wrong_words(words, sentence):
    done = subprocess.run([sys.executable, REPOSITORY / "local" / words[0], *words[1:]], capture_output=True, text=True)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
