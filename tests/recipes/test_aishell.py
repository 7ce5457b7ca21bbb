"""egs/aishell on a miniature corpus, and what the laboratory sheet promises (S2 of the shared SYSTEMS.md)."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spkid.kaldi.tables import VECTOR, read_table
from spkid.nnet import build_loss, build_model, count_parameters
from spkid.train.config import load_config
from spkid.train.schedules import Schedule
from tests.recipes.running import call, copy_recipe, recorded, results, succeed
from tests.shared import REPOSITORY

RECIPE = REPOSITORY / "egs" / "aishell"
CONFIGURATIONS = sorted(path.stem for path in (RECIPE / "conf").glob("*.yaml"))
SPEAKERS, TEST_SPEAKERS, UTTERANCES = 40, 10, 10
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """40 speakers, 29 of them for training, in the tree of AISHELL-1."""
    directory = tmp_path_factory.mktemp("aishell")
    words = ["--speakers", SPEAKERS, "--test-speakers", TEST_SPEAKERS, "--utterances", 10, directory]
    program = REPOSITORY / "local" / "miniature.py"
    made = call(sys.executable, program, "aishell", *recorded(), *words)
    assert made.returncode == 0, made.stderr
    return directory


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """The recipe in a directory of its own, beside links to everything else of the repository."""
    return copy_recipe(tmp_path_factory.mktemp("repository"), "aishell")


def run(recipe: Path, corpus: Path, *options: object) -> str:
    return succeed("bash", recipe / "run.sh", "--corpus", corpus, *options)


def test_from_the_corpus_to_the_table(recipe, corpus):
    said = run(recipe, corpus, "--plda", "true")
    for stage in range(6):
        assert f"Stage {stage}:" in said
    assert "is a miniature: narrow networks" in said
    assert "training accuracy" in said
    for scores in ("near_cosine", "far_cosine", "near_plda", "far_plda"):
        found = results(recipe, "xvector_softmax", scores)
        assert found["eer"] < 0.25
        assert 0 < found["eer_by_definition"]["brentq"] < 0.25
        tested = TEST_SPEAKERS * UTTERANCES
        assert found["trials"]["count"] == tested * (tested - 1) // 2
        assert found["trials"]["targets"] == TEST_SPEAKERS * UTTERANCES * (UTTERANCES - 1) // 2
        picture = recipe / "exp/xvector_softmax/results" / scores / "roc.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
    history = (recipe / "exp/xvector_softmax/metrics.jsonl").read_text().splitlines()
    assert json.loads(history[-1])["train_accuracy"] > 0.9
    assert "valid_loss" not in history[-1], "the sheet trains on all"
    table = (recipe / "exp/RESULTS.md").read_text()
    assert "near_cosine" in table or "near cosine" in table
    again = run(recipe, corpus, "--plda", "true")
    assert again.count("done already") == 1 + 2 + 1 + 4 + 2 + 4 + 4


def test_one_changed_option_is_another_system(recipe, corpus, monkeypatch):
    """The sheet's next step, AM-softmax, without a further file."""
    options = ["--settings", "schedule.epochs=2 loss.name=am_softmax loss.margin=0.3 loss.scale=20", "--exp-name", "am"]
    run(recipe, corpus, *options)
    loss = json.loads((recipe / "exp/am/config.json").read_text())["loss"]
    assert loss == {"name": "am_softmax", "margin": 0.3, "scale": 20}
    monkeypatch.chdir(recipe)  # the table's paths begin there
    near, far = (dict(read_table(f"scp:exp/am/xvectors_test_{layer}/xvector.scp", VECTOR)) for layer in ("near", "far"))
    assert near.keys() == far.keys()
    assert not any((near[key] == far[key]).all() for key in near)


def test_the_sheet_s_numbers_ask_for_the_whole_corpus(recipe, corpus, tmp_path):
    done = call("bash", recipe / "run.sh", "--corpus", corpus, "--mini", "false", "--stop-stage", 0)
    assert done.returncode == 1
    assert "300 speakers are wanted and 29 have at least 10 recordings" in done.stderr
    done = call("bash", recipe / "run.sh", "--corpus", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_each_configuration_differs_in_one_line():
    files = {name: yaml.safe_load((RECIPE / "conf" / f"{name}.yaml").read_text()) for name in CONFIGURATIONS}
    changed = {
        name: {key for key in values if values[key] != files["xvector_softmax"][key]} for name, values in files.items()
    }
    assert all(values.keys() == files["xvector_softmax"].keys() for values in files.values())
    assert changed == {
        "xvector_softmax": set(),
        "xvector_am_softmax": {"loss"},
        "xvector_statistics": {"model"},
        "xvector_asp": {"model"},
        "xvector_mfcc23": set(),
        "xvector_fbank80": {"features"},
        "ecapa_tdnn": {"model", "loss"},
    }
    assert files["ecapa_tdnn"]["loss"] == files["xvector_am_softmax"]["loss"]


@pytest.mark.parametrize(
    ("name", "dims", "parameters"),
    [
        ("xvector_softmax", 30, 3_722_644),
        ("xvector_am_softmax", 30, 3_722_644),
        ("xvector_mfcc23", 23, 3_704_724),
        ("xvector_fbank80", 80, 3_850_644),
        ("xvector_statistics", 30, 3_722_644 + 768_000),
        ("xvector_asp", 30, 4_586_773),
        ("ecapa_tdnn", 30, 6_066_048),
    ],
)
def test_parameters_of_every_configuration(name, dims, parameters):
    config = load_config(RECIPE / "conf" / f"{name}.yaml")
    config.check_names(name)
    network = build_model(**config.model, input_dim=dims)
    assert count_parameters(network) == parameters
    loss = build_loss(**config.loss, embedding_dim=network.embedding_dim, num_classes=300)
    assert count_parameters(loss) == 300 * (network.embedding_dim + (config.loss["name"] == "softmax"))


def test_learning_rates_of_the_sheet():
    config = load_config(RECIPE / "conf/xvector_softmax.yaml")
    schedule = Schedule(config.schedule, 46)  # updates of 64 in an epoch of 3,000 utterances
    rates = [config.optimizer["lr"] * schedule.factor(46 * epoch) for epoch in range(40)]
    assert rates == pytest.approx([1e-2] * 20 + [1e-3] * 15 + [1e-4] * 5)
    assert (config.optimizer["momentum"], config.optimizer["weight_decay"]) == (0.5, 1e-5)
    assert (config.data.chunk_frames, config.data.micro_batch) == ([300], 64)
    assert (config.features.cmn, config.features.vad) == ("cmvn", False)
