"""Mean and standard deviation of voiced frames: the right numbers, nothing lost in silence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, read_table
from tests.shared import REPOSITORY

PROGRAM = REPOSITORY / "steps" / "extract_statistics.py"


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A data directory of 20 utterances, their features (with a large offset) and decisions."""
    directory = tmp_path / "data"
    directory.mkdir()
    rng = np.random.default_rng(0)
    names = [f"s{number // 5}-{number:02d}" for number in range(20)]
    features = {name: (1000 + rng.normal(size=(rng.integers(30, 90), 5))).astype(np.float32) for name in names}
    voiced = {name: (rng.random(len(rows)) < 0.7).astype(np.float32) for name, rows in features.items()}
    write(directory, "feats", MATRIX, features)
    write(directory, "vad", VECTOR, voiced)
    (directory / "feats.json").write_text('{"type": "mfcc", "options": {}, "applied": []}')
    return directory, features, voiced


def write(directory: Path, name: str, holder, values: dict[str, np.ndarray]) -> None:
    with TableWriter(f"ark,scp:{directory}/{name}.ark,{directory}/{name}.scp", holder) as writer:
        for key, value in values.items():
            writer.write(key, value)


def vectors(out: Path) -> dict[str, np.ndarray]:
    return dict(read_table(f"scp:{out}/statistics.scp", VECTOR))


def test_vectors_are_mean_and_deviation_of_the_voiced_frames(data, tmp_path):
    directory, features, voiced = data
    done = run(directory, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = vectors(tmp_path / "out")
    assert list(found) == list(features)
    for name, rows in features.items():
        speech = rows[voiced[name] == 1].astype(np.float64)
        np.testing.assert_allclose(found[name], [*speech.mean(0), *speech.std(0)], rtol=1e-6)
    before = (tmp_path / "out" / "statistics.ark").stat().st_mtime_ns
    assert "done already" in run(directory, tmp_path / "out").stdout
    assert (tmp_path / "out" / "statistics.ark").stat().st_mtime_ns == before


def test_features_of_voiced_frames_alone_need_no_decisions(data, tmp_path):
    directory, features, _ = data
    (directory / "vad.scp").unlink()
    (directory / "feats.json").write_text('{"type": "mfcc", "options": {}, "applied": ["cmn_sliding_300", "vad"]}')
    done = run(directory, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for name, found in vectors(tmp_path / "out").items():
        np.testing.assert_allclose(found[:5], features[name].astype(np.float64).mean(0), rtol=1e-6)


def test_utterances_that_cannot_be_done_are_named_and_counted(data, tmp_path):
    directory, _, voiced = data
    voiced["s0-01"] = np.zeros_like(voiced["s0-01"])
    write(directory, "vad", VECTOR, voiced)
    done = run(directory, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "s0-01 is left out: no frame of speech" in done.stdout
    assert "19 of 20 utterances" in done.stdout
    assert "s0-01" not in vectors(tmp_path / "out")
    assert json.loads((tmp_path / "out" / ".done.json").read_text())["ids"]["failed"].keys() == {"s0-01"}

    refused = run("--min-fraction", 1, directory, tmp_path / "strict")
    assert refused.returncode == 1
    assert "19 of 20" in refused.stderr
    assert not (tmp_path / "strict" / "statistics.scp").exists()
    assert not (tmp_path / "strict" / ".done.json").exists()


def test_decisions_that_do_not_fit_or_are_missing_are_failures_of_their_utterance(data, tmp_path):
    directory, _, voiced = data
    del voiced["s1-05"]
    voiced["s2-10"] = voiced["s2-10"][:-1]
    write(directory, "vad", VECTOR, voiced)
    done = run("--min-fraction", 0.9, directory, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "s1-05 is left out" in done.stdout
    assert "s2-10 is left out" in done.stdout
    assert len(vectors(tmp_path / "out")) == 18


@pytest.mark.parametrize(("missing", "maker"), [("feats.scp", "make_mfcc"), ("vad.scp", "compute_vad_decision")])
def test_a_missing_table_is_named_with_the_step_that_makes_it(data, tmp_path, missing, maker):
    (data[0] / missing).unlink()
    refused = run(data[0], tmp_path / "out")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert missing in refused.stderr
    assert maker in refused.stderr
