"""egs/pav on a miniature corpus, and what the PAV laboratory's network promises (S3 of the shared SYSTEMS.md)."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from spkid.nnet import build_model, count_parameters
from spkid.train.config import load_config
from tests.recipes.running import call, copy_recipe, succeed
from tests.shared import REPOSITORY, corpora

RECIPE = REPOSITORY / "egs" / "pav"
SPEAKERS, TESTED = 14, 2  # utterances of each that are tested with, of ten
FASTER = "schedule.epochs=2 device=cpu"
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """14 speakers of speechocean762 with ten utterances each: .mcp files, recordings and lists."""
    directory = tmp_path_factory.mktemp("pav")
    words = ["--speakers", SPEAKERS, "--utterances", 10, "--speech", corpora("speechocean762"), directory]
    made = call(sys.executable, REPOSITORY / "local" / "miniature.py", "pav", *words)
    assert made.returncode == 0, made.stderr
    return directory


@pytest.fixture
def recipe(tmp_path) -> Path:
    """The recipe in a directory of its own, beside links to everything else of the repository."""
    return copy_recipe(tmp_path, "pav")


def run(recipe: Path, corpus: Path, *options: object) -> str:
    return succeed("bash", recipe / "run.sh", "--corpus", corpus, "--nj", 1, *options)


def results(recipe: Path, system: str, weights: str = "best") -> dict:
    return json.loads((recipe / "exp" / system / "results" / weights / "results.json").read_text())


def decisions(recipe: Path, system: str, weights: str = "best") -> dict[str, str]:
    lines = (recipe / "exp" / system / "results" / weights / "decisions").read_text().splitlines()
    return dict(line.split("\t") for line in lines)


def test_from_the_lists_to_the_identification_rate(recipe, corpus):
    said = run(recipe, corpus)
    for stage in (0, 2, 3, 4):
        assert f"Stage {stage}:" in said
    found = results(recipe, "mlp_mcp")
    assert (found["speakers"], found["utterances"], found["of_unknown_speakers"]) == (SPEAKERS, SPEAKERS * TESTED, 0)
    assert found["identification_rate"] >= 10 * found["chance"]

    listed = (corpus / "lists" / "test.list").read_text().split()
    for weights in ("best", "last"):
        decided = decisions(recipe, "mlp_mcp", weights)
        assert sorted(decided) == sorted(listed)
        right = sum(line.split("/")[1] == speaker for line, speaker in decided.items())
        assert right / len(listed) == pytest.approx(results(recipe, "mlp_mcp", weights)["identification_rate"])
        picture = recipe / "exp/mlp_mcp/results" / weights / "confusion.png"
        assert picture.read_bytes().startswith(b"\x89PNG")

    history = [json.loads(line) for line in (recipe / "exp/mlp_mcp/metrics.jsonl").read_text().splitlines()]
    best = min(history, key=lambda values: values["valid_loss"])["epoch"]
    values = json.loads((recipe / "exp/mlp_mcp/final.json").read_text())["values"]
    assert values["epoch"] == best
    assert (len(history) - best == 10) or len(history) == 20, "patience of 10 epochs, or the end"
    assert (recipe / "exp/mlp_mcp/results/curves.png").read_bytes().startswith(b"\x89PNG")
    again = run(recipe, corpus)
    assert again.count("done already") == 4


def test_our_own_features_and_the_original_s_layout_without_a_validation_list(recipe, corpus, tmp_path):
    """cfg/all.train and cfg/all.test; a tenth of the training files is held out; the numbers of spk2idx.json."""
    original = tmp_path / "pav"
    (original / "cfg").mkdir(parents=True)
    (original / "wav").symlink_to(corpus / "wav")
    for ours, theirs in (("train", "all.train"), ("test", "all.test")):
        shutil.copy(corpus / "lists" / f"{ours}.list", original / "cfg" / theirs)
    numbers = {f"SES{number:03d}": SPEAKERS - 1 - number for number in range(SPEAKERS)}
    (original / "cfg/spk2idx.json").write_text(json.dumps({**numbers, "spk2idx": "cfg/spk2idx.json"}))
    options = ["--features", "mfcc", "--settings", FASTER, "--spk2idx", original / "cfg/spk2idx.json"]
    said = run(recipe, original, *options)
    assert "Stage 1: MFCC" in said
    assert not (recipe / "data/mfcc/dev").exists()
    assert json.loads((recipe / "data/mfcc/train/spk2idx.json").read_text()) == numbers
    found = results(recipe, "mlp_mfcc")
    assert found["identification_rate"] >= 5 * found["chance"], "after two epochs"
    assert set(decisions(recipe, "mlp_mfcc").values()) <= set(numbers)


def test_a_list_that_is_missing_is_one_sentence(recipe, corpus, tmp_path):
    done = call("bash", recipe / "run.sh", "--corpus", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    done = call("bash", recipe / "run.sh", "--corpus", corpus, "--te-list-file", corpus / "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("coefficients", "parameters"), [(16, 69_858), (20, 78_258)])
def test_parameters_of_the_original_with_its_extra_class(coefficients, parameters):
    network = build_model(**load_config(RECIPE / "conf/mlp.yaml").model, input_dim=coefficients, num_classes=158)
    assert count_parameters(network) == parameters
    assert count_parameters(build_model("frame_mlp", input_dim=coefficients, num_classes=157)) == parameters - 101


def test_the_configuration_says_what_the_original_s_options_say():
    config = load_config(RECIPE / "conf/mlp.yaml")
    assert (config.model["frames"], config.model["channels"], config.model["num_layers"]) == (21, 100, 3)
    assert (config.data.batches, config.data.micro_batch, config.loss["name"]) == ("frames", 1000, "nll")
    assert (config.optimizer["name"], config.optimizer["lr"]) == ("adam", 1e-3)
    assert (config.schedule["name"], config.schedule["epochs"]) == ("constant", 20)
    assert vars(config.patience) == {"epochs": 10, "watch": "valid_loss", "keep": "best"}
    config.check_names("conf/mlp.yaml")
