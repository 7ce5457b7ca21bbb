"""The table tools as commands on files."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spkid.kaldi.matrix import load_matrix, load_vector, save_matrix, save_vector
from spkid.kaldi.tables import INT, MATRIX, VECTOR, TableWriter, read_table
from tests.shared import REPOSITORY, golden

TOOLS = [
    "copy-feats", "copy-matrix", "copy-vector", "feat-to-dim", "feat-to-len", "matrix-sum", "paste-feats",
    "subsample-feats", "vector-sum",
]  # fmt: skip


def run(tool, *arguments):
    return importlib.import_module(f"spkid.bin.{tool.replace('-', '_')}").main([str(a) for a in arguments])


def process(tool, *arguments, **options):
    command = [sys.executable, "-m", f"spkid.bin.{tool.replace('-', '_')}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, cwd=REPOSITORY, check=False, **options)


@pytest.fixture
def feats(tmp_path):
    """An archive with utterances of 6, 3 and 0 frames, two dimensions."""
    random = np.random.default_rng(0)
    matrices = {f"u{n}": random.normal(size=(n, 2 if n else 0)).astype(np.float32) for n in (6, 3, 0)}
    with TableWriter(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp", MATRIX) as writer:
        for key, matrix in matrices.items():
            writer.write(key, matrix)
    return matrices


def table(name, holder=MATRIX):
    return dict(read_table(str(name), holder))


def test_copy_feats(tmp_path, feats):
    lengths = f"--write-num-frames=ark,t:{tmp_path}/lengths"
    assert run("copy-feats", lengths, f"scp:{tmp_path}/f.scp", f"ark,t:{tmp_path}/t") == 0
    assert (tmp_path / "lengths").read_text() == "u6 6\nu3 3\nu0 0\n"
    for key, matrix in table(f"ark:{tmp_path}/t").items():
        np.testing.assert_allclose(matrix, feats[key], rtol=1e-6)
    assert run("copy-feats", f"ark:{tmp_path}/t", f"ark:{tmp_path}/t") == 0  # onto itself
    assert table(f"ark:{tmp_path}/t").keys() == feats.keys()


@pytest.mark.parametrize("method", range(1, 8))
def test_copy_feats_compresses(tmp_path, feats, method):
    options = "--compress=true", f"--compression-method={method}"
    assert run("copy-feats", *options, f"ark:{tmp_path}/f.ark", f"ark,scp:{tmp_path}/c,{tmp_path}/c.scp") == 0
    token = [b"CM2", b"CM ", b"CM2", b"CM2", b"CM3", b"CM3", b"CM3"][method - 1]
    assert (tmp_path / "c").read_bytes()[5:8] == token
    assert [matrix.shape for matrix in table(f"scp:{tmp_path}/c.scp").values()] == [(6, 2), (3, 2), (0, 0)]


def test_copy_feats_of_the_golden_archive_equals_kaldis_text(tmp_path):
    assert run("copy-feats", f"ark:{golden('kaldi/feats/mfcc_default.ark')}", f"ark,t:{tmp_path}/t") == 0
    assert (tmp_path / "t").read_bytes() == golden("kaldi/feats/mfcc_default.txt").read_bytes()
    assert run("copy-feats", f"ark:{golden('kaldi/feats/fbank80_compressed.ark')}", f"ark:{tmp_path}/d") == 0
    assert (tmp_path / "d").read_bytes() == golden("kaldi/feats/fbank80_decompressed.ark").read_bytes()


def test_copying_single_files(tmp_path):
    save_matrix(f"{tmp_path}/m", np.ones((2, 3)))
    save_vector(f"{tmp_path}/v", np.ones(3))
    assert run("copy-feats", "--binary=false", f"{tmp_path}/m", f"{tmp_path}/t") == 0
    assert (tmp_path / "t").read_text() == " [\n  1 1 1 \n  1 1 1 ]\n"
    assert run("copy-matrix", "--scale=2", f"{tmp_path}/t", f"{tmp_path}/m2") == 0
    np.testing.assert_array_equal(load_matrix(f"{tmp_path}/m2"), np.full((2, 3), 2))
    assert run("copy-vector", "--change-dim=5", "--binary=false", f"{tmp_path}/v", f"{tmp_path}/v5") == 0
    assert (tmp_path / "v5").read_text() == " [ 1 1 1 0 0 ]\n"
    assert run("copy-vector", "--change-dim=2", f"{tmp_path}/v", f"{tmp_path}/v2") == 0
    assert load_vector(f"{tmp_path}/v2").tolist() == [1, 1]
    assert run("copy-matrix", f"{tmp_path}/m", f"ark:{tmp_path}/x") == 1


def test_lengths_and_dimensions(tmp_path, feats, capfd):
    for source in (f"scp:{tmp_path}/f.scp", f"ark:{tmp_path}/f.ark", f"ark:cat {tmp_path}/f.ark |"):
        assert run("feat-to-len", source, f"ark,t:{tmp_path}/len") == 0
        assert (tmp_path / "len").read_text() == "u6 6\nu3 3\nu0 0\n"
        assert run("feat-to-dim", source, f"ark:{tmp_path}/dim") == 0
        assert table(f"ark:{tmp_path}/dim", INT) == {"u6": 2, "u3": 2, "u0": 0}
        assert run("feat-to-dim", source, f"{tmp_path}/dim") == 0
        assert (tmp_path / "dim").read_text() == "2\n"
        capfd.readouterr()
        assert run("feat-to-len", source) == 0
        assert capfd.readouterr().out == "9\n"


def test_paste_feats(tmp_path, feats):
    shorter = {key: matrix[:-1] for key, matrix in feats.items() if key != "u3"}
    with TableWriter(f"ark:{tmp_path}/g.ark", MATRIX) as writer:
        for key, matrix in shorter.items():
            writer.write(key, matrix)
    sources = f"ark:{tmp_path}/f.ark", f"ark:{tmp_path}/g.ark"
    assert run("paste-feats", *sources, f"ark:{tmp_path}/out") == 1
    report = f"--report={tmp_path}/report"
    assert run("paste-feats", "--length-tolerance=1", report, *sources, f"ark:{tmp_path}/out") == 0
    (pasted,) = table(f"ark:{tmp_path}/out").values()
    np.testing.assert_array_equal(pasted, np.hstack([feats["u6"][:5], shorter["u6"]]))
    facts = json.loads((tmp_path / "report").read_text())
    assert (facts["given"], facts["done"]) == (3, 1)
    assert facts["failed"]["u3"].startswith("missing in ark:")
    assert "mismatch" in facts["failed"]["u0"]


def test_subsample_feats(tmp_path, feats):
    for options, expected in (
        (["--n=2"], feats["u6"][::2]),
        (["--n=4", "--offset=3"], feats["u6"][3:4]),
        (["--n=-3"], np.repeat(feats["u6"], 3, axis=0)),
    ):
        assert run("subsample-feats", *options, f"ark:{tmp_path}/f.ark", f"ark:{tmp_path}/out") == 0
        np.testing.assert_array_equal(table(f"ark:{tmp_path}/out")["u6"], expected)
        assert "u0" not in table(f"ark:{tmp_path}/out")
    assert run("subsample-feats", "--n=2", "--offset=2", f"ark:{tmp_path}/f.ark", f"ark:{tmp_path}/out") == 1


def test_matrix_sum(tmp_path, feats):
    source = f"ark:{tmp_path}/f.ark"
    assert run("matrix-sum", "--scale1=2", "--scale2=-0.5", source, source, f"ark:{tmp_path}/out") == 0
    np.testing.assert_allclose(table(f"ark:{tmp_path}/out")["u6"], 1.5 * feats["u6"], rtol=1e-6)
    assert run("matrix-sum", "--average=true", source, source, source, f"ark:{tmp_path}/out") == 0
    np.testing.assert_allclose(table(f"ark:{tmp_path}/out")["u6"], feats["u6"], rtol=1e-6)
    save_matrix(f"{tmp_path}/m", np.ones((2, 2)))
    save_matrix(f"{tmp_path}/n", np.ones((3, 2)))
    assert run("matrix-sum", f"{tmp_path}/m", f"{tmp_path}/m", f"{tmp_path}/sum") == 0
    np.testing.assert_array_equal(load_matrix(f"{tmp_path}/sum"), np.full((2, 2), 2))
    assert run("matrix-sum", f"{tmp_path}/m", f"{tmp_path}/n", f"{tmp_path}/bad") == 1
    assert not (tmp_path / "bad").exists()


def test_vector_sum(tmp_path):
    with TableWriter(f"ark:{tmp_path}/v.ark", VECTOR) as writer:
        for key, value in (("a", [1, 2]), ("b", [3, 4]), ("c", [5])):
            writer.write(key, np.array(value))
    assert run("vector-sum", f"ark:{tmp_path}/v.ark", f"{tmp_path}/sum") == 0  # c has another dimension: warned
    assert load_vector(f"{tmp_path}/sum").tolist() == [4, 6]
    assert run("vector-sum", f"ark:{tmp_path}/v.ark", f"ark:{tmp_path}/v.ark", f"ark:{tmp_path}/out") == 0
    assert table(f"ark:{tmp_path}/out", VECTOR)["c"].tolist() == [10]
    assert run("vector-sum", f"{tmp_path}/sum", f"{tmp_path}/sum", f"{tmp_path}/double") == 0
    assert load_vector(f"{tmp_path}/double").tolist() == [8, 12]


@pytest.mark.parametrize("tool", TOOLS)
def test_help_has_an_example_and_ends_well(tool, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tool, "--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "Usage: " + tool in text
    assert "e.g.: " + tool in text
    assert "--report" in text


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("damage", ["missing", "truncated", "junk", "empty"])
def test_bad_input_is_one_line_and_status_one(tmp_path, feats, tool, damage, capsys):
    path = tmp_path / "bad.ark"
    if damage != "missing":
        whole = (tmp_path / "f.ark").read_bytes()
        path.write_bytes({"truncated": whole[:30], "junk": b"\0\1\2" * 99, "empty": b""}[damage])
    sources = [f"ark:{path}"] * (2 if tool == "paste-feats" else 1)
    assert run(tool, "--print-args=false", *sources, f"ark:{tmp_path}/out.ark") == 1
    lines = capsys.readouterr().err.splitlines()
    if damage == "empty":  # no ids at all: done is 0, as Kaldi
        assert all(line.startswith("LOG") for line in lines)
        return
    (line,) = lines
    assert line.startswith(f"ERROR ({tool}): ")
    assert "bad.ark" in line
    assert not (tmp_path / "out.ark").exists()


def test_mistakes_on_the_command_line(capsys):
    assert run("copy-feats", "--compres=true", "ark:a", "ark:b") == 1
    assert "did you mean --compress?" in capsys.readouterr().err
    assert run("copy-feats", "--compression-method=9", "ark:a", "ark:b") == 1
    assert run("copy-feats", "ark:a") == 1
    assert "1 arguments where 2 are needed" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_a_reader_that_left_none(tmp_path, feats):
    done = process("copy-feats", f"ark:{tmp_path}/f.ark", "ark:/dev/full")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[1:] == [
        "ERROR (copy-feats): cannot write /dev/full: No space left on device"
    ]
    save_matrix(f"{tmp_path}/large", np.ones((1000, 1000)))
    tool = f"{sys.executable} -m spkid.bin.copy_matrix --binary=false {tmp_path}/large -"
    command = ["bash", "-c", f"{tool} | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}"]
    for unbuffered in ("", "1"):
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command, capture_output=True, cwd=REPOSITORY, check=False, env=environment, text=True
        )
        assert done.returncode == 141
        assert len(done.stderr.splitlines()) == 1  # the command line that every tool echoes


def test_a_killed_tool_leaves_nothing_behind(tmp_path, feats):
    arguments = f"ark:cat {tmp_path}/f.ark; sleep 60 |", f"ark:{tmp_path}/out"
    command = [sys.executable, "-m", "spkid.bin.copy_feats", *arguments]
    child = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".out*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob(".out*"))
    os.killpg(child.pid, signal.SIGTERM)
    assert child.wait(timeout=30) == 143
    assert not list(tmp_path.glob("*out*")) + list(tmp_path.glob(".out*"))


def test_unwritable_folder(tmp_path, feats, capsys):
    assert run("copy-feats", f"ark:{tmp_path}/f.ark", f"ark:{tmp_path}/none/out") == 1
    assert f"the directory {tmp_path}/none does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("tool", TOOLS)
def test_table_tools_import_nothing_heavy(tool):
    program = f"import sys, spkid.bin.{tool.replace('-', '_')}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert not {"scipy", "torch", "pandas", "matplotlib", "soundfile"} & set(done.stdout.split())
