"""Extended file names: files, offsets, pipes, atomic output."""

import os
import stat
import subprocess
import sys

import pytest

from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write, open_input, open_output


def read(name):
    with open_input(name) as stream:
        return stream.read()


def write(name, data=b"abc", then=None):
    with open_output(name) as stream:
        stream.write(data)
        if then:
            then()


def test_files_offsets_and_pipes(tmp_path):
    path = tmp_path / "a:b"
    path.write_bytes(b"0123456789")
    assert read(str(path)) == b"0123456789"
    assert read(f"{path}:4") == b"456789"
    assert read(f"cat {path} | tr 0 x |") == b"x123456789"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("/nonexistent/file", "cannot read /nonexistent/file: No such file"),
        ("/", "cannot read /: Is a directory"),
        ("| cat", "output pipe"),
        ("cat x | cat", "must end with '|'"),
        (" file", "begins or ends with a blank"),
        ("exit 3 |", r"'exit 3 \|' failed with status 3"),
        ("printf abc; exit 4 |", "failed with status 4"),
        ("no-such-program-here 2>/dev/null |", "failed with status 127"),
        ("a\0b", "null"),
    ],
)
def test_unreadable_names_are_said(name, sentence):
    with pytest.raises(InputError, match=sentence):
        read(name)


def test_a_failed_command_is_the_reason_for_truncated_data():
    def take_ten_bytes():
        with open_input("printf abc; exit 5 |") as stream:
            if len(stream.read(10)) < 10:
                raise InputError("truncated")

    with pytest.raises(InputError, match="status 5"):
        take_ten_bytes()


def test_stopping_early_is_no_failure():
    with open_input("yes |") as stream:
        assert stream.read(4) == b"y\ny\n"


def test_output_appears_only_when_complete(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")

    def fail():
        assert path.read_text() == "old"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(str(path), b"new", then=fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]
    write(str(path), b"new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_output_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "out") as stream:
            stream.write("x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_links_stay_links(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_write(tmp_path / "link") as stream:
        stream.write("ünïcode\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == "ünïcode\n".encode()


def test_output_pipes(tmp_path):
    write(f"| cat > {tmp_path}/x")
    assert (tmp_path / "x").read_bytes() == b"abc"
    with pytest.raises(InputError, match="status 7"):
        write("| cat > /dev/null; exit 7")
    with pytest.raises(InputError, match="status 8"):
        write("| exit 8", bytes(10_000_000))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{}/missing/out", "the directory {}/missing does not exist"),
        ("{}", "cannot write {}"),
        ("cat |", "input pipe"),
        ("file ", "blank"),
        ("file:12", "offset inside a file"),
        ("/dev/full", "cannot write /dev/full: No space left on device"),
    ],
)
def test_unwritable_names_are_said(tmp_path, name, sentence):
    with pytest.raises(InputError, match=sentence.format(tmp_path)):
        write(name.format(tmp_path))


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"):
        write(f"{tmp_path}/out", then=lambda: os.stat("/nonexistent/other"))
    assert os.listdir(tmp_path) == []


def test_standard_streams():
    program = """
from spkid.kaldi.io import open_input, open_output
with open_input("-") as source, open_output("-") as target:
    target.write(source.read().upper())
"""
    done = subprocess.run([sys.executable, "-c", program], input=b"abc", capture_output=True, check=True)
    assert done.stdout == b"ABC"
