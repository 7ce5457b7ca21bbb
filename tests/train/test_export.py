"""ONNX: what onnxruntime computes of any batch and length is what PyTorch computes."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from spkid.data.front_end import FrontEnd
from spkid.kaldi import InputError
from spkid.nnet import build_model
from spkid.nnet.frontend import LogMelSpectrogram
from spkid.train.experiment import TrainedModel, load_final, save_final
from spkid.train.export import export_onnx
from tests.steps.running import refuse, succeed

torch.set_num_threads(1)

SMALL = {
    "xvector": {"channels": 12, "pooled_channels": 16, "embedding_dim": 8},
    "ecapa_tdnn": {"channels": 16, "pooled_channels": 24, "embedding_dim": 8},
    "resnet18": {"channels": 2, "embedding_dim": 8},
    "campplus": {"channels": 8, "growth": 4, "embedding_dim": 8},
    "lstm_vad": {"channels": 6},
    "frame_mlp": {"num_classes": 5, "frames": 3, "channels": 8},
}


def trained(name: str, **options) -> TrainedModel:
    torch.manual_seed(0)
    network = build_model(name, input_dim=16, **options).eval()
    for module in network.modules():  # statistics that are not those of a fresh layer
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    front_end = FrontEnd("fbank", {"num_mel_bins": 16}, [], 16)
    return TrainedModel(network, front_end, {"config": {"model": {"name": name, **options}}})


def compare(model: TrainedModel, path, x: torch.Tensor) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (actual,) = session.run(["embedding"], {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(actual, model.network(x).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_networks_of_features(tmp_path, name):
    model = trained(name, **SMALL[name])
    path = tmp_path / "network.onnx"
    assert export_onnx(model, path) < 1e-4
    for batch, frames in ((1, 300), (5, 41)):
        compare(model, path, torch.randn(batch, 3 if name == "frame_mlp" else frames, 16))
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(facts["model"])["name"] == name
    assert json.loads(facts["front_end"])["options"] == {"num_mel_bins": 16}


class OneLayer(torch.nn.Module):
    """The front end of the VoxCeleb trainer's networks and the least behind it: theirs take half a minute to export."""

    min_samples = LogMelSpectrogram.min_samples

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = LogMelSpectrogram(40, "hamming")
        self.layer = torch.nn.Conv1d(40, 8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layer(self.spectrogram(x))).mean(dim=2)


def test_a_network_of_waveforms(tmp_path):
    torch.manual_seed(0)
    description = {"config": {"model": {"name": "one_layer"}}}
    model = TrainedModel(OneLayer().eval(), FrontEnd("waveform", {}, [], 1), description)
    path = tmp_path / "network.onnx"
    export_onnx(model, path)
    compare(model, path, 0.1 * torch.randn(2, 12345))


def test_a_deviation_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match=r"is not written: in ONNX the output of xvector differs by \d"):
        export_onnx(trained("xvector", **SMALL["xvector"]), tmp_path / "network.onnx", tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


class Sorting(torch.nn.Module):
    """What no graph can do: the values leave torch."""

    min_frames = 5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.sort(x.numpy(), axis=None)[None, :4].copy())


def test_what_onnx_cannot_express_is_refused_by_name(tmp_path):
    description = {"config": {"model": {"name": "sorting"}}}
    with pytest.raises(InputError, match=r"output of sorting differs by|sorting cannot be exported to ONNX \("):
        export_onnx(TrainedModel(Sorting(), FrontEnd("fbank", {}, [], 16), description), tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_step(tmp_path):
    model = trained("xvector", **SMALL["xvector"])
    save_final(tmp_path, model.network, None, model.front_end, model.description["config"], {})
    path = tmp_path / "out" / "network.onnx"
    assert "onnxruntime differs by" in succeed("export_onnx.py", tmp_path, path)
    assert "done already" in succeed("export_onnx.py", tmp_path, path)
    compare(load_final(tmp_path), path, torch.randn(1, 50, 16))
    assert "nothing was imported" in refuse("export_onnx.py", tmp_path / "out", path)
