"""Every program of local/ and every command of it: help with an example that names it; wrong words are explained."""

import subprocess
import sys

import pytest

from tests.shared import REPOSITORY

COMMANDS = {
    "voxceleb.py": ["", "download", "prepare"],
    "musan.py": ["download", "prepare"],
    "rirs_noises.py": ["download", "prepare"],
    "aishell.py": ["download", "prepare"],
    "librispeech.py": ["download", "prepare"],
    "cn_celeb.py": ["download", "prepare"],
    "pav.py": [""],
    "vad_lab.py": ["mat", "labels"],
    "directory.py": [""],
    "miniature.py": [""],
}


@pytest.mark.parametrize(("program", "command"), [(name, word) for name, words in COMMANDS.items() for word in words])
def test_help_shows_an_example(program, command):
    words = [sys.executable, REPOSITORY / "local" / program, *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    _, _, example = done.stdout.partition("Example:")
    assert example.split()[0] == f"local/{program}"


def test_every_program_is_here():
    programs = {path.name for path in (REPOSITORY / "local").glob("*.py")}
    assert programs - COMMANDS.keys() == {"mini.py", "speechocean762.py"}, "which have tests of their own"


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
