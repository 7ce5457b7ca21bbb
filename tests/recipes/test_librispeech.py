"""egs/librispeech on a miniature corpus: Deep Speaker's phases one after another, both evaluations, a second run."""

import math
import sys
from pathlib import Path

import pytest
import torch

from spkid.nnet import build_loss, build_model, count_parameters
from spkid.train.config import load_config
from tests.recipes.running import call, copy_recipe, results, succeed
from tests.shared import REPOSITORY, corpora

RECIPE = REPOSITORY / "egs" / "librispeech"
CONFIGURATIONS = sorted(path.name for path in (RECIPE / "conf").glob("*.yaml"))
TEST_SPEAKERS = 12
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """48 speakers of speechocean762, ten utterances each, in the tree of LibriSpeech."""
    directory = tmp_path_factory.mktemp("librispeech")
    words = ["--speakers", 48, "--test-speakers", TEST_SPEAKERS, "--utterances", 10, directory]
    made = call(
        sys.executable,
        REPOSITORY / "local" / "miniature.py",
        "librispeech",
        "--speech",
        corpora("speechocean762"),
        *words,
    )
    assert made.returncode == 0, made.stderr
    return directory / "LibriSpeech"


@pytest.fixture
def recipe(tmp_path) -> Path:
    """The recipe in a directory of its own, beside links to everything else of the repository."""
    return copy_recipe(tmp_path, "librispeech")


def run(recipe: Path, corpus: Path, *options: object) -> str:
    return succeed("bash", recipe / "run.sh", "--corpus", corpus, *options)


def test_from_the_corpus_to_the_table(recipe, corpus):
    said = run(recipe, corpus, "--networks", "gru")
    assert "is a miniature: narrow networks" in said
    for stage in range(9):
        assert f"Stage {stage}" in said
    for phase, before in (("triplet", "softmax"), ("hard", "triplet")):
        log = (recipe / "exp" / f"gru_{phase}" / "train.log").read_text()
        assert f"begins with exp/gru_{before}" in log
    standard = results(recipe, "gru_hard", "all_pairs")
    assert standard["eer"] < 0.25
    published = results(recipe, "gru_hard", "deep_speaker")
    assert published["trials"]["count"] == 100 * TEST_SPEAKERS
    assert published["trials"]["targets"] == TEST_SPEAKERS
    assert published["identification"]["top_k"]["1"] > 0.1  # ten times chance
    table = (recipe / "exp" / "results.md").read_text()
    assert table.count("gru_") == 6
    assert "F-measure" in table
    speakers = (recipe / "exp" / "gru_hard" / "speakers.txt").read_text().split()
    assert len(speakers) == 36
    again = run(recipe, corpus, "--networks", "gru")
    assert again.count("done already") >= 20
    assert "runs again" not in again


@pytest.mark.nightly
def test_every_network_and_the_fusion(recipe, corpus):
    said = run(recipe, corpus, "--networks", "gru rescnn", "--rounds", 2)
    assert "Stage 8" in said
    fused = results(recipe, "fusion", "all_pairs")
    assert fused["eer"] < 0.25
    assert results(recipe, "fusion", "deep_speaker")["trials"]["count"] == 200 * TEST_SPEAKERS
    others = run(
        recipe, corpus, "--networks", "xvector ecapa_tdnn simple_cnn", "--remove-silence", "false", "--exp", "exp/other"
    )
    assert "removed" not in others
    for system in ("xvector_softmax", "ecapa_tdnn_softmax", "simple_cnn_hard"):
        assert results(recipe, f"../exp/other/{system}", "all_pairs")["eer"] < 0.5


def test_a_network_without_a_configuration_is_named(recipe):
    done = call("bash", recipe / "run.sh", "--networks", "gruu")
    assert done.returncode == 1
    assert "there is no conf/gruu_<phase>.yaml" in done.stderr


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_are_those_of_the_report(name):
    config = load_config(RECIPE / "conf" / name)
    network, _, phase = name.removesuffix(".yaml").rpartition("_")
    if network in ("xvector", "ecapa_tdnn"):
        return
    assert config.model == {"name": f"deep_speaker_{network}"}
    assert (config.features.type, config.features.cmn, config.data.chunk_frames) == (
        "deep_speaker_fbank",
        "frame",
        [160],
    )
    assert config.optimizer["name"] == "adam"
    if phase == "softmax":
        assert (config.loss["name"], config.validation.fraction) == ("softmax", 0.05)
        return
    assert config.loss == {"name": "cosine_triplet", "margin": 0.1}
    assert config.data.micro_batch == 3 * 32
    hard = config.data.hard_negatives
    assert (hard.speakers * hard.utterances, hard.speakers * hard.utterances * hard.rounds) == (1280, 25_600)
    assert hard.triplets == 32


def test_the_published_size_with_its_softmax():
    """24,314,491 in Keras' count, of which 13,440 are running statistics."""
    network = build_model("deep_speaker_rescnn")
    loss = build_loss("softmax", embedding_dim=512, num_classes=251)
    assert count_parameters(network) + count_parameters(loss) == 24_314_491 - 13_440


def test_pre_training_begins_at_chance():
    torch.manual_seed(0)
    network = build_model("deep_speaker_gru", channels=32, num_layers=1)
    loss = build_loss("softmax", embedding_dim=512, num_classes=251)
    labels = torch.arange(16)
    value = loss(network(torch.randn(16, 160, 64)), labels)
    assert value.item() == pytest.approx(math.log(251), abs=0.05)


def test_a_table_without_results_is_refused(tmp_path):
    for words, sentence in (((), "say which results"), ((tmp_path,), "run steps/evaluate.py first")):
        done = call(sys.executable, REPOSITORY / "local" / "librispeech.py", "table", tmp_path / "out.md", *words)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.md").exists()
