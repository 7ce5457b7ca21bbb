"""What every tool promises, and compute-min-dcf and ivector-transform as commands on files."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import spkid.bin
from spkid.backend.transforms import apply_transform
from spkid.bin import compute_min_dcf, ivector_transform
from spkid.kaldi.matrix import save_matrix
from spkid.kaldi.tables import VECTOR, TableWriter, read_table
from tests.shared import REPOSITORY, golden

NOT_KALDIS = {"spkid"}  # commands and options of its own: test_spkid_command.py
MODULES = sorted({path.stem for path in Path(spkid.bin.__file__).parent.glob("[a-z]*.py")} - NOT_KALDIS)


@pytest.mark.parametrize("module", MODULES)
def test_help_shows_usage_and_an_example(module, capsys):
    name = module.replace("_", "-")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"spkid.bin.{module}").main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"Usage: {name} " in text.replace("Usage:  ", "Usage: ")
    assert any(line.startswith("e.g.:") and f"{name} " in line for line in text.splitlines())
    assert "--config" in text


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_option_is_an_error_of_one_line(module, capfd):
    assert importlib.import_module(f"spkid.bin.{module}").main(["--no-such-option=1"]) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ERROR")]
    assert len(lines) == 1
    assert "unknown option --no-such-option" in lines[0]


def test_loading_the_tools_loads_nothing_heavy():
    code = f"""
import importlib, sys
for module in {MODULES}:
    importlib.import_module("spkid.bin." + module)
print([name for name in ("torch", "scipy", "pandas", "matplotlib", "soundfile") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


class TestMinDcf:
    def run(self, capfd, *arguments):
        status = compute_min_dcf.main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    @pytest.mark.parametrize("system", ["plda", "plda_nolennorm", "plda_simplelen", "plda_adapted", "cosine"])
    def test_equal_to_kaldis(self, capfd, system):
        lines = golden("kaldi/backend/metrics.txt").read_text().splitlines()
        words = next(line.split() for line in lines if line.startswith(f"{system} "))
        expected = dict(word.split("=") for word in words[1:])
        names = golden(f"kaldi/backend/scores_{system}"), golden("kaldi/backend/trials")
        for p_target in ("0.01", "0.001", "0.05"):
            assert self.run(capfd, "--p-target", p_target, *names)[:2] == (0, expected[f"mindcf_p{p_target}"] + "\n")

    def test_costs(self, tmp_path, capfd):
        (tmp_path / "trials").write_text("a x target\na y nontarget\nb x nontarget\nb y target\n")
        (tmp_path / "scores").write_text("a x 2\na y 1\nb x 0\nb y -1\n")
        names = tmp_path / "scores", tmp_path / "trials"
        status, output, messages = self.run(capfd, "--p-target=0.5", "--c-miss", "10", "--c-fa=1", *names)
        # Accepting all costs 1, a miss 10 times as much; one of two nontargets lies under the lower target's score.
        assert (status, output) == (0, "1.0000\n")
        assert "minDCF is 1.0000 at threshold -1.0000 (p-target=0.5, c-miss=10, c-fa=1)" in messages
        assert self.run(capfd, "--p-target=0.5", "--c-fa=4", *names)[1] == "0.5000\n"

    def test_mistakes_are_named(self, tmp_path, capfd):
        (tmp_path / "trials").write_text("a x target\na y nontarget\nb y nontarget\n")
        (tmp_path / "unlabelled").write_text("a x\na y\n")
        (tmp_path / "few").write_text("a x 2\na y 1\n")
        (tmp_path / "other").write_text("a x 2\na y 1\nc y 1\n")
        assert "1 of the 3 trials have no score" in self.run(capfd, tmp_path / "few", tmp_path / "trials")[2]
        for names, sentence in (
            (("other", "trials"), "1 of its scores belong to no trial"),
            (("few", "unlabelled"), "no labels"),
            (("few", "none"), "none"),
        ):
            status, output, messages = self.run(capfd, *(tmp_path / name for name in names))
            assert (status, output) == (1, "")
            assert sentence in messages
        status, _, messages = self.run(capfd, "--p-target", "2", tmp_path / "few", tmp_path / "trials")
        assert status == 1
        assert "p_target is 2" in messages


@pytest.mark.parametrize("columns", [4, 5])
def test_ivector_transform(tmp_path, capfd, columns):
    random = np.random.default_rng(columns)
    matrix, vectors = random.normal(size=(3, columns)), random.normal(size=(20, 4)).astype(np.float32)
    save_matrix(f"{tmp_path}/transform", matrix)
    with TableWriter(f"ark:{tmp_path}/vectors", VECTOR) as writer:
        for index, vector in enumerate(vectors):
            writer.write(f"v{index}", vector)
        writer.write("short", vectors[0, :3])
    names = f"{tmp_path}/transform", f"ark:{tmp_path}/vectors", f"ark:{tmp_path}/out"
    expected = apply_transform(matrix, vectors)
    assert ivector_transform.main(list(names)) == 0
    written = dict(read_table(f"ark:{tmp_path}/out", VECTOR))
    if columns == 4:  # three dimensions and an offset
        np.testing.assert_allclose(written.pop("short"), apply_transform(matrix, vectors[0, :3]), rtol=1e-5)
    np.testing.assert_allclose(np.stack(list(written.values())), expected, rtol=1e-4, atol=1e-6)
    messages = capfd.readouterr().err
    assert "Norm of mean was" in messages
    assert ("short: " in messages) == (columns == 5)
