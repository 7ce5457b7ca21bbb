"""The back-end stages of Kaldi's recipes, as their users type them, run by bash on the golden vectors."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spkid.backend.trials import read_scores, read_trials
from spkid.kaldi.lists import read_id_map
from tests.shared import REPOSITORY, golden

PROLOGUE = """
set -euo pipefail
train_cmd=utils/run.py
nnet_dir=exp/xvector_nnet_1a
voxceleb1_trials=data/voxceleb1_test/trials
sre16_trials=data/sre16_eval_test/trials
utterance_trials=data/voxceleb1_test/trials
"""


def table(folder: Path, name: str) -> None:
    """An xvector.scp in `folder` for the golden archive of that name."""
    folder.mkdir(parents=True)
    script = read_id_map(golden(f"kaldi/backend/{name}.scp"))
    where = golden(f"kaldi/backend/{name}.ark").parent
    (folder / "xvector.scp").write_text("".join(f"{key} {where}/{value}\n" for key, value in script.items()))


def put(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(golden(f"kaldi/backend/{source}"), target)


def bash(recipe: str, folder: Path) -> list[str]:
    """The lines that a recipe prints; what it runs finds our tools on PATH as path.sh puts them."""
    script = (Path(__file__).parent / "recipes" / recipe).read_text()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    (folder / "utils").symlink_to(REPOSITORY / "utils")
    ran = subprocess.run(
        ["bash", "-c", PROLOGUE + script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def metrics(system: str) -> dict[str, str]:
    """What Kaldi's programs print for a system."""
    lines = golden("kaldi/backend/metrics.txt").read_text().splitlines()
    words = next(line.split() for line in lines if line.startswith(f"{system} "))
    return dict(word.split("=") for word in words[1:])


def assert_same_scores(ours: Path, theirs: str, trials: str) -> None:
    trials = read_trials(str(golden(f"kaldi/backend/{trials}")))
    scores = [read_scores(str(name), trials) for name in (ours, golden(f"kaldi/backend/{theirs}"))]
    assert not any(one.missing.any() for one in scores)
    np.testing.assert_allclose(scores[0].scores, scores[1].scores, atol=1e-3)


def test_voxceleb(tmp_path):
    table(tmp_path / "exp/xvector_nnet_1a/xvectors_train", "xvector_train")
    table(tmp_path / "exp/xvector_nnet_1a/xvectors_voxceleb1_test", "xvector_test")
    put("utt2spk_train", tmp_path / "data/train/utt2spk")
    put("spk2utt_train", tmp_path / "data/train/spk2utt")
    put("trials", tmp_path / "data/voxceleb1_test/trials")
    kaldi = metrics("plda")
    assert bash("voxceleb_v2.sh", tmp_path) == [
        f"EER: {kaldi['eer']}%",
        f"minDCF(p-target=0.01): {kaldi['mindcf_p0.01']}",
        f"minDCF(p-target=0.001): {kaldi['mindcf_p0.001']}",
    ]
    assert_same_scores(tmp_path / "exp/scores_voxceleb1_test", "scores_plda", "trials")


def test_sre16(tmp_path):
    for folder in ("sre16_major", "sre16_eval_test", "sre16_eval_enroll"):
        table(tmp_path / f"exp/xvectors_{folder}", "xvector_test")
    put("mean.vec", tmp_path / "exp/xvectors_sre16_major/mean.vec")
    put("lda_tcf0.mat", tmp_path / "exp/xvectors_sre_combined/transform.mat")
    put("plda", tmp_path / "exp/xvectors_sre_combined/plda")
    put("enroll_spk2utt", tmp_path / "data/sre16_eval_enroll/spk2utt")
    put("enroll_trials", tmp_path / "data/sre16_eval_test/trials")
    put("trials", tmp_path / "data/voxceleb1_test/trials")
    pooled, adapted = bash("sre16_v2.sh", tmp_path)
    assert adapted == f"Using Adapted PLDA, EER: Pooled {metrics('plda_adapted')['eer']}%"
    assert_same_scores(tmp_path / "exp/scores/sre16_eval_scores_adapt", "scores_plda_adapted", "trials")

    counts = tmp_path / "exp/xvectors_sre16_eval_enroll/num_utts.ark"
    assert counts.read_text() == golden("kaldi/backend/enroll_num_utts").read_text()
    # The mean of raw vectors is not that of processed ones; here it is a little worse.
    assert 3 < float(pooled.split()[-1].rstrip("%")) < 6


def test_models_of_several_recordings(tmp_path):
    for name in ("plda", "enroll_num_utts", "enroll_spk2utt", "enroll_trials", "processed_test.ark"):
        put(name, tmp_path / name)
    assert bash("models.sh", tmp_path) == [metrics("plda_enroll")["eer"]]
    assert_same_scores(tmp_path / "scores", "scores_plda_enroll", "enroll_trials")


def test_a_failing_line_ends_the_recipe_and_names_its_log(tmp_path):
    with pytest.raises(AssertionError, match=r"log is in exp/xvector_nnet_1a/xvectors_train/log/compute_mean\.log"):
        bash("voxceleb_v2.sh", tmp_path)
