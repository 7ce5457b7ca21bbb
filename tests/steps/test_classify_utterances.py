"""steps/classify_utterances.py and utils/plot_curves.py on a network trained in seconds."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from spkid.kaldi.tables import VECTOR, read_id_map, read_table, write_id_map
from spkid.train.run import train_from_directory
from tests.steps.running import refuse, succeed
from tests.train.test_training import config
from tests.train.toy import make_data

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """exp/mlp and exp/xvector trained on six speakers, the former's best epoch kept."""
    work = tmp_path_factory.mktemp("work")
    data = make_data(work / "train")
    changed = config(
        schedule={"name": "constant", "epochs": 12},
        patience={"keep": "best", "watch": "valid_loss"},
        loss={"name": "nll"},
        data={"batches": "frames", "micro_batch": 50, "spec_augment": {}},
        features={"cmn": "none", "vad": False},
    )
    plain = replace(changed, model={"name": "frame_mlp", "frames": 5, "channels": 40}, loss={"name": "nll"})
    train_from_directory(plain, data, work / "mlp")
    train_from_directory(config(schedule={"epochs": 1}), data, work / "xvector")
    return work


@pytest.fixture(autouse=True)
def here(work, monkeypatch):
    monkeypatch.chdir(work)


def read(out):
    return json.loads((out / "results.json").read_text()), (out / "decisions").read_text().splitlines()


def test_decisions_and_rates_agree_with_the_log_probabilities(work):
    said = succeed("classify_utterances.py", "--top-k", "1,3", "mlp", "train", "out")
    assert "identification rate" in said
    results, lines = read(work / "out")
    speaker_of = read_id_map(work / "train/utt2spk")
    speakers = (work / "mlp/speakers.txt").read_text().split()
    vectors = dict(read_table(f"scp:{work}/out/log_probabilities.scp", VECTOR))
    decided = dict(line.split("\t") for line in lines)
    assert list(decided) == list(vectors) == list(speaker_of)
    assert decided == {key: speakers[int(np.argmax(vector))] for key, vector in vectors.items()}
    right = [decided[key] == speaker for key, speaker in speaker_of.items()]
    assert results["identification_rate"] == results["top_k"]["1"] == np.mean(right) > 0.5
    ranks = [1 + sum(vector > vector[speakers.index(speaker_of[key])]) for key, vector in vectors.items()]
    assert results["top_k"]["3"] == pytest.approx(np.mean(np.array(ranks) <= 3))
    assert sum(pair["count"] for pair in results["confusions"]) == right.count(False)
    assert "done already" in succeed("classify_utterances.py", "--top-k", "1,3", "mlp", "train", "out")


def test_names_of_the_list_and_speakers_that_nobody_knows(work):
    data = work / "test"
    data.mkdir()
    for name in ("feats.scp", "utt2num_frames", "feats.json"):
        (data / name).write_bytes((work / "train" / name).read_bytes())
    ids = list(read_id_map(work / "train/utt2spk"))
    speakers = {one: "spk05-u" if one.startswith("spk05") else one[:5] for one in ids}
    write_id_map(data / "utt2spk", speakers)
    members = {who: " ".join(one for one in ids if speakers[one] == who) for who in set(speakers.values())}
    write_id_map(data / "spk2utt", members)
    write_id_map(data / "utt2path", {one: f"BLOCK00/{one[:5]}/{one}" for one in ids})
    succeed("classify_utterances.py", "mlp", "test", "named")
    results, lines = read(work / "named")
    assert (results["utterances"], results["of_unknown_speakers"]) == (60, 10)
    assert all(line.startswith("BLOCK00/spk") for line in lines)


def test_the_last_epoch_s_weights(work):
    succeed("classify_utterances.py", "--weights", "last", "mlp", "train", "last")
    state = torch.load(sorted((work / "mlp/checkpoints").glob("epoch*-batch*.pt"))[-1], weights_only=True)
    assert state["epoch"] == 12
    assert read(work / "last")[0]["identification_rate"] > 0.5


def test_what_cannot_be_classified_is_one_sentence(work):
    assert "xvector gives vectors, not the names of speakers" in refuse(
        "classify_utterances.py", "xvector", "train", "no"
    )
    assert "--top-k" in refuse("classify_utterances.py", "--top-k", "5,1", "mlp", "train", "no")
    assert "nowhere: no such directory" in refuse("classify_utterances.py", "nowhere", "train", "no")


def test_curves_of_two_trainings(work):
    said = succeed("plot_curves.py", "mlp", "xvector", "curves.png")
    assert "mlp: 12 epochs" in said
    assert "xvector: 1 epochs" in said
    assert (work / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "OUT.png is missing" in refuse("plot_curves.py", "mlp", "xvector")
    assert "nothing has been trained there" in refuse("plot_curves.py", "train", "curves.png")
