"""conf/slurm.conf and conf/queue.conf in Kaldi's syntax."""

import subprocess
import sys

import pytest

from spkid.jobs import grid_engine, slurm
from spkid.jobs.engine_conf import EngineConf, read_conf
from spkid.kaldi import InputError
from tests.shared import REPOSITORY

KALDI = """\
# the lines that Kaldi's own queue.pl documents
command qsub -v PATH -cwd -S /bin/bash -j y -l arch=*64*
option mem=* -l mem_free=$0,ram_free=$0
option mem=0          # Do not add anything to qsub_opts
option num_threads=* -pe smp $0
option num_threads=1  # Do not add anything to qsub_opts
option max_jobs_run=* -tc $0
default gpu=0
option gpu=0 -q all.q
option gpu=* -l gpu=$0 -q g.q
"""


def words(options, text=KALDI):
    return " ".join(EngineConf.parse(text, "conf/queue.conf").words(options))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "-q all.q"),
        ({"gpu": "2"}, "-l gpu=2 -q g.q"),
        ({"mem": "4G"}, "-q all.q -l mem_free=4G,ram_free=4G"),
        ({"mem": "0", "num-threads": "1"}, "-q all.q"),
        ({"num-threads": "6", "max-jobs-run": "3"}, "-q all.q -pe smp 6 -tc 3"),
        ({"pick": "failed", "retries": "2", "config": "x"}, "-q all.q"),
    ],
)
def test_options_as_kaldi_spells_them(options, expected):
    assert words(options) == expected


def test_the_command_keeps_its_words():
    conf = EngineConf.parse(KALDI, "x")
    assert conf.command == ["qsub", "-v", "PATH", "-cwd", "-S", "/bin/bash", "-j", "y", "-l", "arch=*64*"]


def test_an_option_that_no_line_describes_names_the_file():
    with pytest.raises(InputError, match=r"--feature a100 is not described in conf/queue.conf"):
        words({"feature": "a100"})
    with pytest.raises(InputError, match="only with the values cpu"):
        words({"kind": "gpu"}, "command qsub\noption kind=cpu -q x\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("option mem=*\n", "has no line 'command"),
        ("command\n", "line 1: 'command' is not"),
        ("command a\noption mem -l x\n", "line 2"),
        ("command a\ndefault gpu\n", "line 2"),
        ("command a\nfoo=bar\n", "line 2"),
        ("command 'a\n", "line 1"),
        ("command a\ndefault gpu=0\n", "default gpu=0 has no line"),
    ],
)
def test_a_wrong_line_is_named(text, sentence):
    with pytest.raises(InputError, match=sentence):
        EngineConf.parse(text, "x.conf")


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.conf"):
        read_conf({"config": str(tmp_path / "none.conf")}, "conf/slurm.conf", slurm.OWN_CONF)


@pytest.mark.parametrize(("name", "own"), [("slurm.conf", slurm.OWN_CONF), ("queue.conf", grid_engine.OWN_CONF)])
def test_the_conf_of_mini_says_what_holds_without_it(name, own):
    expected = EngineConf.parse(own, "own")
    found = EngineConf.parse((REPOSITORY / "egs" / "mini" / "conf" / name).read_text(), name)
    assert (found.command, found.options, found.defaults) == (expected.command, expected.options, expected.defaults)


def test_queue_is_still_the_standard_librarys_for_its_neighbours():
    code = "import queue, concurrent.futures, multiprocessing.queues; print(queue.Queue().qsize())"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "utils", capture_output=True, text=True)
    assert found.stdout == "0\n", found.stderr


def test_grid_engines_accounts():
    fields = {"failed": "100 : assumedly after job", "exit_status": "137  (Killed)", "ru_wallclock": "4s"}
    assert "killed by signal 9" in grid_engine._why(fields, "7")
    assert "limit" in grid_engine._why({**fields, "category": "-u root -l h_rt=3"}, "7")
    assert list(grid_engine._indices("1-7:2,9")) == [1, 3, 5, 7, 9]
