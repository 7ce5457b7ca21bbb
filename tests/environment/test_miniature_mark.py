"""utils/miniature.sh, sourced the way run.sh does: small sizes for a marked corpus, unless --mini says otherwise."""

import subprocess

import pytest

from tests.shared import REPOSITORY

SCRIPT = f"""set -euo pipefail
corpus=
mini=
. {REPOSITORY}/utils/parse_options.sh
. {REPOSITORY}/utils/miniature.sh
if $mini; then echo small; else echo published; fi
"""


@pytest.fixture
def corpora(tmp_path):
    """A script, a marked corpus with a blank in its name and another corpus."""
    (tmp_path / "run.sh").write_text(SCRIPT)
    for name in ("a miniature", "real"):
        (tmp_path / name).mkdir()
    (tmp_path / "a miniature/MINIATURE").write_text("what it is\n")
    return tmp_path


def run(corpora, *words):
    command = ["bash", "run.sh", *words]
    return subprocess.run(command, cwd=corpora, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("words", "sizes", "lines"),
    [
        (["--corpus", "a miniature"], "small", 2),
        (["--corpus", "real"], "published", 1),
        ([], "published", 1),
        (["--corpus", "a miniature", "--mini", "false"], "published", 1),
        (["--corpus", "real", "--mini=true"], "small", 1),
    ],
)
def test_sizes_follow_from_the_corpus_unless_they_are_said(corpora, words, sizes, lines):
    done = run(corpora, *words)
    said = done.stdout.splitlines()
    assert (done.returncode, said[-1], len(said)) == (0, sizes, lines), done.stderr
    if lines == 2:
        assert said[0] == "a miniature is a miniature: narrow networks, few epochs (--mini false: the real sizes)"


def test_another_word_is_refused(corpora):
    done = run(corpora, "--mini", "yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--mini is true or false, not 'yes'" in done.stderr
