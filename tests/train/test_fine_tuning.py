"""Trainings that start from others, average, freeze, and stop when nothing gets better: exactly, killed or not."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spkid.kaldi import InputError
from spkid.nnet import build_model
from spkid.nnet.losses import CosineLoss
from spkid.nnet.published.wespeaker import wespeaker_front_end
from spkid.train.averaging import FinalWeights
from spkid.train.config import config_from_dict
from spkid.train.journal import Journal
from spkid.train.run import train_from_directory
from spkid.train.yaml_text import parse_value
from tests.steps.running import refuse, succeed
from tests.train.toy import CONFIG, make_data

torch.set_num_threads(1)

EVERY_UPDATE = {"minutes": 1e-9, "keep": 1000}
STANDING = {"name": "sgd", "lr": 1e-30, "momentum": 0.0}  # so small a step moves no weight by a bit


def config(**changes):
    values = {
        **parse_value(CONFIG, "toy"),
        "validation": {"fraction": 0.2},
        "loss": {"name": "aam_softmax", "margin": 0.1},
    }
    for key, value in changes.items():
        fresh = key in ("schedule", "optimizer", "loss", "model")  # sections whose keys depend on their name
        values[key] = value if fresh or not isinstance(value, dict) else {**values.get(key, {}), **value}
    return config_from_dict({key: value for key, value in values.items() if value is not None}, "test")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture(scope="module")
def first(data, tmp_path_factory):
    """A finished experiment; the rate of its last epoch is next to nothing."""
    directory = tmp_path_factory.mktemp("exp") / "first"
    schedule = {"name": "step", "milestones": [3], "gamma": 1e-30, "epochs": 4}
    train_from_directory(config(schedule=schedule), data, directory)
    return directory


def weights(directory):
    return load_file(directory / "final.safetensors")


def rows(directory):
    """metrics.jsonl but for the times."""
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [{key: row[key] for key in row if key not in ("seconds", "utterances_per_second")} for row in lines]


def checkpointed(path):
    """The weights in a checkpoint, named as in final.safetensors."""
    state = torch.load(path, weights_only=True)
    return {**state["network"], **{f"loss.{name}": value for name, value in state["loss"].items()}}


# Starting from another experiment


def test_a_second_configuration_starts_where_the_first_ended(data, first, tmp_path):
    second = config(
        model=None, initial_model=str(first), optimizer=STANDING, schedule={"name": "constant", "epochs": 4}
    )
    train_from_directory(second, data, tmp_path / "second")
    # Epoch 4 of both sees the same batches with the same weights.
    assert rows(tmp_path / "second")[3]["train_loss"] == rows(first)[3]["train_loss"]
    assert "head kept" in (tmp_path / "second" / "train.log").read_text()
    description = json.loads((tmp_path / "second" / "final.json").read_text())
    assert description["config"]["model"] == parse_value(CONFIG, "toy")["model"]  # not "initial": it stands for itself


def test_large_margins_and_long_chunks_are_a_second_configuration(data, first, tmp_path):
    second = config(
        model={"name": "initial"},
        initial_model=str(first),
        loss={"name": "aam_softmax", "margin": 0.5},
        data={"chunk_frames": [40]},
        schedule={"name": "exponential", "epochs": 2},
        optimizer={"name": "sgd", "lr": 1e-4},
    )
    values = train_from_directory(second, data, tmp_path / "second")
    assert values["train_loss"] > rows(first)[3]["train_loss"]  # a harder task than the one that was learned
    moved = weights(tmp_path / "second")
    assert all((moved[name] - old).abs().max() < 0.05 for name, old in weights(first).items() if "running" not in name
               and "num_batches" not in name)  # fmt: skip


def test_softmax_then_triplets(data, first, tmp_path):
    second = config(
        model=None,
        initial_model=str(first),
        loss={"name": "cosine_triplet"},
        data={"sampler": "triplets", "micro_batch": 9, "utterances_per_speaker": 3},
        schedule={"name": "constant", "epochs": 1},
    )
    train_from_directory(second, data, tmp_path / "second")
    assert not any(name.startswith("loss.") for name in weights(tmp_path / "second"))
    assert "this one has no weights" in (tmp_path / "second" / "train.log").read_text()


def test_other_speakers_get_a_new_head_on_a_body_that_is_frozen_and_released(first, tmp_path):
    data = make_data(tmp_path / "train", speakers=4, seed=7)
    speakers = (data / "utt2spk").read_text().replace(" spk", " other")
    (data / "utt2spk").write_text(speakers)
    (data / "spk2utt").unlink()
    body = {name: value for name, value in weights(first).items() if not name.startswith("loss.")}
    for epochs in (1, 2):
        tuned = config(
            model=None,
            initial_model=str(first),
            freeze_epochs=1,
            optimizer={"name": "adam", "lr": 0.01, "body_lr_factor": 0.1},
            schedule={"name": "constant", "epochs": epochs},
        )
        train_from_directory(tuned, data, tmp_path / str(epochs))
        now = weights(tmp_path / str(epochs))
        assert now["loss.weight"].shape[0] == 4
        same = {name for name, value in body.items() if now[name].numpy().tobytes() == value.numpy().tobytes()}
        unused = {name for name in body if name.startswith("norm7.")}  # of the embedding behind the one that is used
        assert same == (set(body) if epochs == 1 else unused)
    assert "4 of the 4 speakers are not its own" in (tmp_path / "1" / "train.log").read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {"name": "xvector", "channels": 99}}, "model.channels is 99, but the network in .* has 24"),
        ({"features": {"vad": False}}, "asks for cmn_sliding_30, but .* was trained after cmn_sliding_30 then vad"),
        (
            {"loss": {"name": "cosine_triplet"}, "freeze_epochs": 1, "data": {"sampler": "triplets", "micro_batch": 9}},
            "freeze_epochs: the loss cosine_triplet has no weights",
        ),
    ],
)
def test_what_does_not_fit_the_initial_model_is_refused(data, first, tmp_path, changes, sentence):
    values = {"model": None, "initial_model": str(first), **changes}
    with pytest.raises(InputError, match=sentence):
        train_from_directory(config(**values), data, tmp_path / "second")


def test_nobody_starts_from_the_place_that_is_written_to(data, first):
    with pytest.raises(InputError, match="the directory that is trained into"):
        train_from_directory(config(model=None, initial_model=str(first)), data, first)


# Averages, the best epoch, patience


def test_the_exponential_average_is_that_of_all_updates(data, tmp_path):
    averaged = config(
        averaging={"ema_decay": 0.8}, checkpoints=EVERY_UPDATE, schedule={"name": "one_cycle", "epochs": 2}
    )
    train_from_directory(averaged, data, tmp_path / "exp")
    states = [checkpointed(path) for path in sorted((tmp_path / "exp" / "checkpoints").glob("*-batch*.pt"))]
    beginning = config(optimizer=STANDING, schedule={"name": "constant", "epochs": 1}, freeze_epochs=0)
    train_from_directory(beginning, data, tmp_path / "beginning")  # ends with the weights that all begin with
    average = {name: value.double() for name, value in weights(tmp_path / "beginning").items()}
    for number, state in enumerate(states, start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        average = {name: decay * average[name] + (1 - decay) * state[name].double() for name in average}
    for name, value in weights(tmp_path / "exp").items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value.double(), average[name], rtol=1e-5, atol=1e-6)


def test_the_mean_of_the_last_epochs(data, tmp_path):
    averaged = config(averaging={"last_epochs": 3}, checkpoints={"keep": 1000})
    values = train_from_directory(averaged, data, tmp_path / "exp")
    assert values["weights_of_epochs"] == [2, 3, 4]
    states = [checkpointed(tmp_path / "exp" / "checkpoints" / f"epoch00{epoch}-batch000000.pt") for epoch in (2, 3, 4)]
    final = weights(tmp_path / "exp")
    for name, value in final.items():
        if "num_batches" not in name:
            mean = np.mean([state[name].double().numpy() for state in states], axis=0)
            np.testing.assert_array_equal(value.numpy(), mean.astype(np.float32))
    assert "final weights: the mean of epochs 2 to 4; validation loss" in (tmp_path / "exp" / "train.log").read_text()
    # What is reported is measured on the mean itself.
    again = config(model=None, initial_model=str(tmp_path / "exp"), optimizer=STANDING, freeze_epochs=1,
                   schedule={"name": "constant", "epochs": 1})  # fmt: skip
    assert train_from_directory(again, data, tmp_path / "again")["valid_loss"] == values["valid_loss"]


def test_patience_ends_training_and_the_best_epoch_is_kept(data, tmp_path):
    patient = config(
        patience={"epochs": 2, "watch": "valid_loss", "keep": "best"},
        optimizer={"name": "sgd", "lr": 3.0},
        schedule={"name": "constant", "epochs": 30},
        checkpoints={"keep": 1000},
    )
    values = train_from_directory(patient, data, tmp_path / "exp")
    history = rows(tmp_path / "exp")
    losses = [row["valid_loss"] for row in history]
    best = losses.index(min(losses)) + 1
    assert len(history) == best + 2 < 30
    assert values["epoch"] == best
    assert values["valid_loss"] == min(losses)
    kept = checkpointed(tmp_path / "exp" / "checkpoints" / f"epoch{best:03d}-batch000000.pt")
    assert all(torch.equal(kept[name], value) for name, value in weights(tmp_path / "exp").items())
    assert "stops: valid_loss has not become better for 2 epochs" in (tmp_path / "exp" / "train.log").read_text()
    assert f"final weights: those of epoch {best}; validation loss" in (tmp_path / "exp" / "train.log").read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patience": {"keep": "best"}, "validation": {"fraction": 0.0}}, "hold out more utterances"),
        ({"patience": {"epochs": 3, "watch": "dev_eer"}}, "patience.watch is dev_eer: give --dev-data"),
        ({"schedule": {"name": "plateau", "epochs": 3, "watch": "dev_eer"}}, "schedule.watch is dev_eer"),
    ],
)
def test_a_value_that_is_never_measured_cannot_be_watched(data, tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        train_from_directory(config(**changes), data, tmp_path / "exp")


def test_the_margin_grows_by_epochs_and_validation_sees_it_full(data, tmp_path, monkeypatch):
    training, validation, penalise = [], [], CosineLoss.penalise

    def record(self, logits, labels):
        (validation if torch.is_inference_mode_enabled() else training).append(self.margin)
        return penalise(self, logits, labels)

    monkeypatch.setattr(CosineLoss, "penalise", record)
    growing = {"start_epoch": 1, "full_epoch": 3, "rise": "linear"}
    train_from_directory(config(margin_schedule=growing), data, tmp_path / "exp")
    updates = rows(tmp_path / "exp")[0]["updates"]
    assert training[: updates + 1] == [0.0] * (updates + 1)
    assert training[2 * updates] == pytest.approx(0.05)
    assert training[3 * updates :] == [0.1] * updates
    assert validation == [0.1] * 4


# Killed and started again


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", ["ema", "last"])
def test_a_run_killed_again_and_again_ends_in_the_same_bytes(data, first, tmp_path, monkeypatch, kind):
    """Exponential average (or mean of epochs), plateau, patience, frozen body, growing margin: all at once."""
    everything = config(
        model=None,
        initial_model=str(first),
        freeze_epochs=1,
        averaging={"ema_decay": 0.9} if kind == "ema" else {"last_epochs": 3},
        patience={"epochs": 3, "keep": "best" if kind == "ema" else "last"},
        optimizer={"name": "adam", "lr": 0.05, "body_lr_factor": 0.5},
        schedule={"name": "plateau", "epochs": 12, "patience": 0, "gamma": 0.5, "watch": "valid_loss"},
        margin_schedule={"full_epoch": 3.5},
        checkpoints={"minutes": 1e-9, "keep": 2},
    )
    arguments = (everything, data)
    expected = train_from_directory(*arguments, tmp_path / "straight")
    assert len({row["lr"] for row in rows(tmp_path / "straight")}) > 1  # the plateau was met
    assert len(rows(tmp_path / "straight")) < 12  # and patience lost

    progress, load, save = Journal.progress, FinalWeights.load, FinalWeights.save
    budget = 0

    def spend(function):
        def spending(*given):
            nonlocal budget
            if budget == 0:
                raise Killed
            budget -= 1
            return function(*given)

        return spending

    monkeypatch.setattr(Journal, "progress", spend(progress))  # inside an epoch
    monkeypatch.setattr(FinalWeights, "save", spend(save))  # between an epoch and its checkpoint
    monkeypatch.setattr(FinalWeights, "load", spend(load))  # after the last one
    kills = 0
    while True:
        budget = 5 if kills % 2 else 4
        try:
            values = train_from_directory(*arguments, tmp_path / "killed")
            break
        except Killed:
            kills += 1
            assert kills < 60
    assert kills > 5
    final = "final.safetensors"
    assert (tmp_path / "killed" / final).read_bytes() == (tmp_path / "straight" / final).read_bytes()
    assert rows(tmp_path / "killed") == rows(tmp_path / "straight")
    times = ("seconds", "utterances_per_second")
    assert {key: values[key] for key in values if key not in times} == {
        key: expected[key] for key in expected if key not in times
    }


# A published checkpoint

WESPEAKER = {"affine": "conv_1d", "norm": "bn"}


def wespeaker_file(path, network):
    """The network's weights under WeSpeaker's names, with a projection of its training."""
    state = {}
    for name, value in network.state_dict().items():
        parts = name.split(".")
        if parts[0] == "frame_level":
            name = ".".join([f"frame_{int(parts[1]) + 1}", WESPEAKER[parts[2]], *parts[3:]])
        for ours, theirs in (("segment6.", "seg_1."), ("norm6.", "seg_bn_1."), ("segment7.", "seg_2.")):
            name = theirs + name.removeprefix(ours) if name.startswith(ours) else name
        if not name.startswith("norm7."):
            state[name] = value.clone()
    torch.save({**state, "projection.weight": torch.randn(30, 16)}, path)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(5)
    options = {"channels": 12, "pooled_channels": 20, "embedding_dim": 16, "layer": "far", "norm_epsilon": 1e-5}
    network = build_model("xvector", input_dim=8, **options)
    return wespeaker_file(tmp_path_factory.mktemp("published") / "avg_model.pt", network), network


@pytest.fixture(scope="module")
def fbank(published, tmp_path_factory):
    """The toy speakers' features, said to be WeSpeaker's filter banks."""
    data = make_data(tmp_path_factory.mktemp("fbank") / "train")
    record = {"type": "fbank", "options": wespeaker_front_end(published[1])["options"], "applied": []}
    (data / "feats.json").write_text(json.dumps(record), encoding="utf-8")
    return data


FINE_TUNING = """
features: {type: fbank, cmn: utterance, vad: false}
device: cpu
threads: 1
model: {name: initial}
freeze_epochs: 1
loss: {name: aam_softmax, margin: 0.2}
data: {chunk_frames: [24], micro_batch: 8}
optimizer: {name: adam, lr: 0.01, body_lr_factor: 0.1}
schedule: {name: constant, epochs: 2}
"""


@pytest.mark.parametrize("imported", [False, True])
def test_a_published_checkpoint_is_fine_tuned_by_the_step(published, fbank, tmp_path, imported):
    file, network = published
    (tmp_path / "tune.yaml").write_text(FINE_TUNING, encoding="utf-8")
    initial = ["--set", f"initial_model={file}", "--set", "initial_source=wespeaker"]
    if imported:
        succeed("import_model.py", "--source", "wespeaker", file, tmp_path / "imported")
        initial = ["--initial-model", tmp_path / "imported"]
    arguments = ["--config", tmp_path / "tune.yaml", *initial, fbank, tmp_path / "exp"]
    said = succeed("train.py", *arguments)
    assert "xvector in" in said
    assert "with a new head: it brings none" in (tmp_path / "exp" / "train.log").read_text()
    description = json.loads((tmp_path / "exp" / "final.json").read_text())
    assert description["config"]["model"]["channels"] == 12
    assert description["front_end"]["type"] == "fbank"
    tuned = weights(tmp_path / "exp")
    assert tuned["loss.weight"].shape == (6, 16)
    start = network.state_dict()
    moved = {name: (tuned[name] - start[name]).abs().max().item() for name, _ in network.named_parameters()}
    assert all(0 < step < 0.1 for step in moved.values())  # Adam at a tenth of 0.01, six updates
    assert "done already" in succeed("train.py", *arguments)


def test_features_that_the_import_does_not_know_are_refused(published, fbank, data, tmp_path):
    (tmp_path / "tune.yaml").write_text(FINE_TUNING, encoding="utf-8")
    initial = ["--set", f"initial_model={published[0]}", "--set", "initial_source=wespeaker"]
    options = ["--config", tmp_path / "tune.yaml", *initial]
    mfcc = [*options, "--set", "features.type=mfcc"]
    assert "the features are mfcc, but the network was trained on fbank" in refuse(
        "train.py", *mfcc, data, tmp_path / "exp"
    )
    assert "initial_source" in refuse("train.py", *options[:4], fbank, tmp_path / "exp")
