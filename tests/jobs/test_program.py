"""Programs: Kaldi's manners on the command line. The program under test is run as recipes run theirs."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import signal, sys, time
from plumbum import cli
from spkid.jobs import Program, boolean, fraction
from spkid.kaldi import InputError


class Example(Program):
    """Does nothing, well."""

    EXAMPLE = "steps/example.py --nj 4 data/train exp"

    nj = cli.SwitchAttr("--nj", int, default=4, help="jobs")
    mfcc_config = cli.SwitchAttr("--mfcc-config", str, default="conf/mfcc.conf", help="options")
    compress = cli.SwitchAttr("--compress", boolean, default=True, help="smaller")
    least = cli.SwitchAttr("--min-fraction", fraction, default=0.95, help="least")
    method = cli.SwitchAttr("--method", cli.Set("plda", "cosine"), help="how")
    dev_data = cli.SwitchAttr("--dev-data", cli.ExistingDirectory, help="where")

    def main(self, data: str, out: str = ""):
        if data == "bad":
            raise InputError("data/bad: no such data directory")
        if data == "unwritable":
            open("/proc/no/such", "w")
        if data == "wait":
            try:
                print("waiting", flush=True)
                time.sleep(60)
            finally:
                print("released", flush=True)
        print(self.nj, self.mfcc_config, self.compress, self.least, data, out)
        return 3 if data == "three" else 0


Example.run()
'''


@pytest.fixture
def program(tmp_path):
    (tmp_path / "example.py").write_text(PROGRAM)
    return [sys.executable, str(tmp_path / "example.py")]


def run(program, *words):
    return subprocess.run([*program, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "words",
    [
        ["--nj", "2", "--compress", "false", "--min-fraction", "1.0", "data", "exp"],
        ["--nj=2", "--compress=false", "--min-fraction=1", "data", "exp"],
        ["data", "--nj=2", "exp", "--compress=false", "--min-fraction", "1e0"],
    ],
)
def test_values_with_and_without_equals(program, words):
    result = run(program, *words)
    assert result.stdout == "2 conf/mfcc.conf False 1.0 data exp\n", result.stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--mfc-config", "x", "data"], ["unknown option --mfc-config", "--mfcc-config"]),
        (["--mfcc_config=x", "data"], ["unknown option --mfcc_config", "--mfcc-config"]),
        (["--njobs=3", "data"], ["unknown option --njobs"]),
        (["-x", "data"], ["unknown option -x"]),
        (["--nj", "many", "data"], ["--nj: 'many'", "whole number"]),
        (["--compress", "1", "data"], ["compress", "true or false"]),
        (["--min-fraction", "95", "data"], ["min-fraction", "0 to 1"]),
        (["--method", "plad", "data"], ["--method: 'plad'", "one of", "did you mean plda?"]),
        (["--dev-data", "nowhere", "data"], ["--dev-data: 'nowhere' is no directory", "made already?"]),
        (["--nj"], ["--nj", "requires an argument"]),
        ([], ["usage: example.py [options] <data> [<out>]"]),
        (["a", "b", "c"], ["usage: example.py [options] <data> [<out>]"]),
        (["bad"], ["data/bad: no such data directory"]),
        (["unwritable"], ["/proc/no/such", "No such file or directory"]),
    ],
)
def test_what_a_user_did_wrong_is_one_line(program, words, parts):
    result = run(program, *words)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("example.py: error: ")
    for part in parts:
        assert part in result.stderr


def test_help_says_what_how_and_gives_an_example(program):
    result = run(program, "--help")
    assert result.returncode == 0
    for part in ("Does nothing, well.", "steps/example.py --nj 4 data/train exp", "--mfcc-config", "<data> [<out>]"):
        assert part in result.stdout


def test_a_long_example_can_be_pasted_into_a_shell(program):
    words = [f"data/a_directory_with_a_long_name_{number}" for number in range(6)]
    example = "echo --set 'loss={name: softmax}' " + " ".join(words)
    path = Path(program[1])
    path.write_text(path.read_text().replace('"steps/example.py --nj 4 data/train exp"', repr(example)))
    shown = run(program, "--help").stdout.split("Example:\n")[1].split("\n\n")[0]
    assert len(shown.splitlines()) > 2
    pasted = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, timeout=60)
    assert pasted.stdout == "--set loss={name: softmax} " + " ".join(words) + "\n"
    assert pasted.stderr == ""


def test_version(program):
    from spkid import __version__

    assert run(program, "--version").stdout == f"example.py {__version__}\n"


def test_status_is_that_of_main(program):
    assert run(program, "three").returncode == 3


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_unwinds_the_program(program, name, status):
    import signal

    process = subprocess.Popen([*program, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=20)
    assert (out, err) == ("released\n", f"example.py: error: stopped by {name}\n")
    assert process.returncode == status


def test_a_reader_that_leaves_early_is_no_traceback(program):
    command = " ".join(program) + " data | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
