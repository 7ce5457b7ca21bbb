"""The configuration file: what it accepts, and what it answers to what it does not."""

import re

import pytest
import yaml

from spkid.kaldi import InputError
from spkid.train import schedules
from spkid.train.config import TrainConfig, config_from_dict, load_config
from tests.shared import REPOSITORY

MINIMAL = {"features": {"type": "mfcc"}}


def write(tmp_path, text):
    path = tmp_path / "system.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_has_a_default_but_the_kind_of_features():
    assert isinstance(config_from_dict(MINIMAL, "x"), TrainConfig)
    with pytest.raises(InputError, match=r"x: the key 'features\.type' is missing"):
        config_from_dict({"features": {}}, "x")
    with pytest.raises(InputError, match="x: the key 'features' is missing"):
        config_from_dict({}, "x")


def test_what_is_frozen_can_be_read_again(tmp_path):
    config = config_from_dict({**MINIMAL, "data": {"chunk_frames": 200}, "seed": 3}, "x")
    assert config.data.chunk_frames == [200]
    assert config_from_dict(config.to_dict(), "y") == config
    assert load_config(write(tmp_path, yaml.safe_dump(config.to_dict()))) == config


def test_numbers_without_a_point_are_numbers(tmp_path):
    config = load_config(write(tmp_path, "features: {type: mfcc}\noptimizer: {name: adam, lr: 1e-3}\nclip_norm: 5e0"))
    assert config.optimizer["lr"] == 0.001
    assert config.clip_norm == 5.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("featurs: {type: mfcc}", "unknown key 'featurs' .did you mean 'features'"),
        ("features: {type: mfcc, cmvn: none}", r"unknown key 'features\.cmvn' .did you mean 'features\.cmn'"),
        ("features: {type: mfcc}\nmodel: {name: xvektor}", r"unknown model\.name 'xvektor' .did you mean 'xvector'"),
        ("features: {type: mfcc}\nmodel: {name: xvector, chanels: 4}", r"did you mean 'model\.channels'"),
        ("features: {type: mfcc}\nloss: {name: am_softmax, margins: 4}", r"did you mean 'loss\.margin'"),
        ("features: {type: mfcc}\noptimizer: {name: adam, rate: 4}", r"unknown key 'optimizer\.rate'"),
        ("features: {type: mfcc}\nschedule: {name: one_cycle, epoch: 4}", r"did you mean 'schedule\.epochs'"),
        ("features: {type: mfcc}\nschedule: {name: constant, rise: 0.1}", r"unknown key 'schedule\.rise'"),
        ("features: {type: mfcc}\noptimizer: {name: adam, lr: fast}", r"'optimizer\.lr' must be a number, not 'fast'"),
        ("features: {type: mfcc}\noptimizer: {name: adam, lr: -1}", r"optimizer\.lr must be positive"),
        ("features: {type: mfcc}\nseed: 1.5", "'seed' must be a whole number, not 1.5"),
        ("features: {type: mfcc, vad: yes please}", r"'features\.vad' must be true or false"),
        ("features: {type: mfcc}\nseed: true", "'seed' must be a whole number, not True"),
        ("features: mfcc", "'features' must be a section"),
        ("features: {type: mfcc}\ndata: {chunk_frames: []}", r"data\.chunk_frames is empty"),
        ("features: {type: mfcc}\ndata: {micro_batch: 1}", "at least 2 chunks"),
        ("features: {type: mfcc}\nseed: 1\nseed: 2", "line 3 the key 'seed' is given twice"),
        ("features: {type: mfcc", "expected"),
        ("- a list", "must be keys and values"),
        ("features: {type: mfcc}\nschedule: {name: step, step_epochs: 0}", r"step_epochs' .* at least 1, not 0"),
        ("features: {type: mfcc}\nmodel: {name: xvector, channels: -3}", r"model\.channels' .* at least 1, not -3"),
        ("features: {type: mfcc}\nmodel: {name: xvector, channels: 1.5}", r"must be a whole number .* not 1\.5"),
        ("features: {type: mfcc}\nclip_norm: .inf", "'clip_norm' must be a finite number"),
        ("features: {type: mfcc}\naveraging: {ema_decay: 1}", r"averaging\.ema_decay must lie between 0 and 1"),
        ("features: {type: mfcc}\naveraging: {ema_decay: 0.9, last_epochs: 2}", "ema_decay or last_epochs, not both"),
        ("features: {type: mfcc}\npatience: {watch: train_loss}", r"patience\.watch 'train_loss'"),
        (
            "features: {type: mfcc}\npatience: {keep: best}\naveraging: {last_epochs: 3}",
            r"patience\.keep best and averaging\.last_epochs exclude each other",
        ),
        ("features: {type: mfcc}\nfreeze_epochs: 2", "freeze_epochs is given, but there is no initial_model"),
        ("features: {type: mfcc}\nmodel: {name: initial}", "there is no initial_model to start from"),
        (
            "features: {type: mfcc}\nmargin_schedule: {start_epoch: 4, full_epoch: 3}",
            r"margin_schedule\.full_epoch \(3\) must lie behind start_epoch \(4\)",
        ),
        ("features: {type: mfcc}\nmargin_schedule: {full_epoch: 3}", "needs a loss with a margin .* not softmax"),
        (
            "features: {type: mfcc}\nmargin_schedule: {full_epoch: 3}\nloss: {name: am_softmax, margin_warmup: 0.1}",
            r"by margin_schedule or by loss\.margin_warmup, not by both",
        ),
    ],
)
def test_every_mistake_is_one_sentence_with_the_file(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        load_config(write(tmp_path, text)).check_names("system.yaml")
    assert "system.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        load_config(tmp_path / "x.yaml")


def test_overrides(tmp_path):
    path = write(tmp_path, "features: {type: mfcc}\noptimizer: {name: adam, lr: 0.1}")
    changes = ["optimizer.lr=1e-2", "data.chunk_frames=[100, 200]", "validation.fraction=0", "seed=7"]
    config = load_config(path, changes)
    assert config.optimizer == {"name": "adam", "lr": 0.01}
    assert config.data.chunk_frames == [100, 200]
    assert config.seed == 7
    with pytest.raises(InputError, match=r"unknown key 'optimizer\.rl'.*optimizer\.lr"):
        load_config(path, ["optimizer.rl=1"])
    with pytest.raises(InputError, match="write it as key=value"):
        load_config(path, ["optimizer.lr"])
    with pytest.raises(InputError, match="is a value, not a section"):
        load_config(path, ["optimizer.lr.x=1"])


@pytest.mark.parametrize("name", sorted(schedules.SCHEDULES))
def test_schedules_stay_between_zero_and_one(name):
    schedule = schedules.Schedule({"name": name, "epochs": 10}, 7)
    factors = [schedule.factor(update) for update in range(70)]
    assert all(0.0 <= factor <= 1.0 for factor in factors)
    assert max(factors) == pytest.approx(1.0, abs=0.01)


def test_the_shapes_of_schedules():
    def factors(**section):
        schedule = schedules.Schedule({"epochs": 10, **section}, 10)
        return [schedule.factor(update) for update in range(100)]

    assert factors(name="step", step_epochs=3, gamma=0.5)[::10] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert factors(name="step", milestones=[2, 5], gamma=0.1)[::10] == pytest.approx([1, 1, 0.1, 0.1, 0.1] + [0.01] * 5)
    assert factors(name="exponential", final=0.01)[-1] == pytest.approx(0.01)
    assert factors(name="cosine", final=0.1)[-1] == pytest.approx(0.1)
    cycle = factors(name="one_cycle", rise=0.3)
    assert cycle[0] == pytest.approx(0.04)
    assert 28 <= cycle.index(max(cycle)) <= 31
    assert cycle[-1] == pytest.approx(4e-6)
    warm = factors(name="constant", warmup_epochs=2)
    assert warm[:20] == sorted(warm[:20])
    assert warm[0] < 0.1
    assert set(warm[20:]) == {1.0}


def test_an_initial_model_is_the_network_unless_another_is_named():
    assert config_from_dict({**MINIMAL, "initial_model": "exp/first"}, "x").model == {"name": "initial"}
    named = {**MINIMAL, "initial_model": "exp/first", "model": {"name": "xvector"}}
    assert config_from_dict(named, "x").model == {"name": "xvector"}


def test_the_configurations_of_the_documentation_are_accepted(tmp_path):
    text = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    files = [block for block in blocks if block.startswith(("# conf/", "seed:"))]
    assert len(files) >= 3
    for block in files:
        initial = [] if "initial_model:" in block else ["initial_model=exp/first"]
        load_config(write(tmp_path, block), initial).check_names("docs/training.md")
