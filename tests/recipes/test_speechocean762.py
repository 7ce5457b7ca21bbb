"""egs/speechocean762 whole, on a corpus of a few speakers: every stage works, and the second run has nothing to do."""

import json
import re
from pathlib import Path

import pytest

from tests.recipes.running import call, copy_recipe
from tests.shared import corpora

UTTERANCES = 20  # of each speaker: LDA of 60 values wants more than 60 of four speakers


@pytest.fixture
def small_corpus(tmp_path):
    """Ten speakers of the shared half in the published layout, six of them as its train half."""
    shared = corpora("speechocean762")
    tables = {
        name: dict(line.split(None, 1) for line in (shared / "train" / name).read_text().splitlines())
        for name in ("wav.scp", "utt2spk", "spk2gender")
    }
    speakers = sorted(tables["spk2gender"])[:10]
    corpus = tmp_path / "corpus"
    for half, members in (("train", speakers[:6]), ("test", speakers[6:])):
        (corpus / half).mkdir(parents=True)
        chosen = [
            utterance
            for speaker in members
            for utterance in [one for one, who in tables["utt2spk"].items() if who == speaker][:UTTERANCES]
        ]
        for name, keys in (("wav.scp", chosen), ("utt2spk", chosen), ("spk2gender", members)):
            (corpus / half / name).write_text("".join(f"{key}\t{tables[name][key]}\n" for key in keys))
    (corpus / "WAVE").symlink_to(shared / "WAVE")
    return corpus


@pytest.fixture
def recipe(tmp_path):
    """The recipe in a directory of its own, with a configuration for a handful of utterances."""
    copy = copy_recipe(tmp_path, "speechocean762")
    for name in ("lde_xvector", "lde_xvector_audio", "lde_xvector_augmented"):
        config = copy / "conf" / f"{name}.yaml"
        text = config.read_text()
        for key, value in (("epochs", 1), ("micro_batch", 16), ("embedding_dim", 32)):
            text, changes = re.subn(rf"\b{key}: \d+", f"{key}: {value}", text)
            assert changes == 1
        config.write_text(text)
    return copy


def run(recipe: Path, *options: str, script: str = "run.sh") -> str:
    words = [*options, "--lda-dim", "5"]
    if script == "run.sh":
        words += ["--dev-speakers", "2", "--speeds", "1.1", "--baseline-lda-dim", "3"]
    done = call("bash", recipe / script, *words)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_all_stages(recipe, small_corpus):
    said = run(recipe, "--corpus", str(small_corpus))
    for stage in range(9):
        assert f"Stage {stage}" in said
    assert said.count("compare: ") == 4
    results = json.loads((recipe / "exp/lde_xvector/results/test_trials/results.json").read_text())
    assert results["trials"]["count"] == 4 * UTTERANCES * (4 * UTTERANCES - 1) // 2
    assert 0 <= results["eer"] < 0.25
    speakers = (recipe / "exp/lde_xvector/speakers.txt").read_text().split()
    assert len([name for name in speakers if name.startswith("sp1.1-SPEAKER")]) == 4
    again = run(recipe, "--corpus", str(small_corpus))
    assert again.count("done already") >= 30
    assert "runs again" not in again


def test_clean_and_augmented_training_are_compared_on_noisy_speech(recipe, small_corpus):
    run(recipe, "--corpus", str(small_corpus), "--stop-stage", "2")
    sounds = ("--rirs", str(corpora("rirs")), "--noises", str(corpora("noises")))
    said = run(recipe, *sounds, "--sets", "test", "--bootstrap", "20", script="run_augmented.sh")
    for stage in range(7):
        assert f"Stage {stage}" in said
    rates = {}
    for system in ("audio", "augmented"):
        for copy in ("test", "test_noisy"):
            path = recipe / f"exp/lde_xvector_{system}/results/{copy}_trials/results.json"
            rates[system, copy] = json.loads(path.read_text())["eer"]
    assert all(0 <= rate <= 0.6 for rate in rates.values())
    assert all(rates[system, "test_noisy"] > rates[system, "test"] for system in ("audio", "augmented"))
    assert (recipe / "exp/noise_test.png").read_bytes().startswith(b"\x89PNG")
    assert f"{100 * rates['audio', 'test_noisy']:.2f}%" in (recipe / "exp/noise.md").read_text()
    noisy, rooms = (recipe / "data" / name for name in ("test_noisy/wav.scp", "rooms_train/wav.scp"))
    assert not any(line.split()[1] in noisy.read_text() for line in rooms.read_text().splitlines())
