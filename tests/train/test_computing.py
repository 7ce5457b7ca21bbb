"""Compiled networks train as others do; a device that cannot is a sentence; the network shown is the one trained."""

import os
import re
import signal
from functools import partial

import pytest
import torch
import yaml

from spkid.data.batches import iterate
from spkid.kaldi import InputError
from spkid.nnet import build_model, count_parameters
from spkid.train.computing import advice
from spkid.train.config import config_from_dict
from spkid.train.run import train_from_directory
from tests.steps.running import refuse, succeed
from tests.train.toy import CONFIG, make_data

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "train", speakers=3)


def config(**changes):
    values = yaml.safe_load(CONFIG)
    values["optimizer"]["lr"], values["schedule"]["epochs"] = 0.005, 1
    return config_from_dict({**values, **changes}, "test")


class KilledWhileReading(torch.utils.data.Dataset):
    """The process that reads the first entry is killed, as by a system without memory."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_reading_process_that_is_killed_is_a_sentence():
    with (
        pytest.raises(InputError, match=r"a process that reads ended .DataLoader worker .*the same command"),
        advice(torch.device("cpu")),
    ):
        list(iterate(KilledWhileReading(), range(2), 1))


def test_a_compiled_network_trains_as_it_would_otherwise(data, tmp_path, monkeypatch):
    # Traced, guarded and run by torch.compile, but not by the C++ compiler, which takes minutes.
    compiled = []
    original = torch.compile

    def counting(function, **options):
        compiled.append(function)
        return original(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", counting)
    plain = train_from_directory(config(), data, tmp_path / "plain")
    assert not compiled
    fast = train_from_directory(config(compile=True), data, tmp_path / "fast")
    assert len(compiled) == 1
    assert fast["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-5)
    assert fast["valid_loss"] == pytest.approx(plain["valid_loss"], rel=1e-4)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_too_little_memory_says_which_option_to_lower(error):
    sentence = r"lower data\.micro_batch .*data\.chunk_frames, or set precision: bf16"
    with pytest.raises(InputError, match=sentence), advice(torch.device("cpu")):
        raise error


def test_too_large_a_tensor_is_too_little_memory():
    with pytest.raises(InputError, match="out of memory on this machine"), advice(torch.device("cpu")):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_other_errors_keep_their_name():
    with pytest.raises(RuntimeError, match="a mistake"), advice(torch.device("cpu")):
        raise RuntimeError("a mistake")


def test_the_network_is_shown_as_it_would_be_trained(data, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    show = partial(succeed, "train.py", "--config", path, "--show-model")
    *layers, total = show(data).splitlines()
    network = build_model("xvector", input_dim=8, embedding_dim=16, channels=24, pooled_channels=32, layer="far")
    expected = count_parameters(network)
    assert total == f"Model has {expected + 3 * 16} parameters: network {expected}, loss {3 * 16}"
    assert sum(int(re.search(r"\d+$", line)[0]) for line in layers[1:]) == expected + 48
    assert f"loss {100 * 16}" in show("--num-classes", 100, data)
    assert "EXP-DIR is missing" in refuse("train.py", "--config", path, data)
