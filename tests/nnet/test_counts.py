"""Parameter counts of the originals (shared SYSTEMS.md and golden/nets; ANCHORS.md for the rounded ones)."""

import pytest
import torch

from spkid.nnet import build_model, count_parameters

torch.set_num_threads(1)

COUNTS = [
    ("xvector", {"input_dim": 80}, 4_610_524),
    ("ecapa_tdnn", {"input_dim": 30}, 6_066_048),
    ("ecapa_tdnn", {}, 6_194_048),
    ("ecapa_tdnn", {"channels": 1024, "pooled_channels": 1536}, 14_660_416),
    ("ecapa_tdnn", {"channels": 1024, "pooled_channels": 3072}, 20_767_552),
    ("ecapa_tdnn", {"layout": "wespeaker"}, 6_190_720),
    ("resnet34", {}, 6_634_336),
    ("campplus", {}, 7_176_224),
    ("campplus", {"embedding_dim": 192}, 6_848_544),
    ("eres2net", {}, 6_610_688),
    ("redimnet", {"variant": "b0"}, 1_001_851),
    ("redimnet", {"variant": "b2"}, 4_888_241),
    ("resnet_se34l", {}, 1_437_078),
    ("resnet_se34l", {"n_mels": 64}, 1_437_078),
    ("resnet_se34l", {"pooling": "ASP"}, 1_502_614),
    ("resnet_se34v2", {}, 8_028_492),
    ("resnet_se34v2", {"pooling": "SAP"}, 6_979_916),
    ("resnet_se34v2", {"n_mels": 40}, 7_044_684),
    ("vggvox", {}, 4_032_448),
    ("vggvox", {"embedding_dim": 256}, 3_901_120),
    ("vggvox", {"embedding_dim": 1024}, 4_295_104),
    ("vggvox", {"pooling": "TAP"}, 3_769_280),
    ("vggvox", {"pooling": "max"}, 3_769_280),
    ("rawnet3", {}, 16_280_322),
    ("rawnet3", {"pooling": "ASP"}, 16_082_307),
    ("deep_speaker_rescnn", {}, 24_172_288),
    ("deep_speaker_gru", {}, 22_565_120),
    ("frame_mlp", {"input_dim": 16, "num_classes": 158}, 69_858),
    ("frame_mlp", {"input_dim": 20, "num_classes": 158}, 78_258),
    ("lstm_vad", {}, 284_929),
    ("lstm_vad", {"bidirectional": True}, 569_857),
    ("lstm_vad", {"num_layers": 2}, 811_265),
    ("lstm_vad", {"num_layers": 2, "bidirectional": True}, 2_146_817),
]
MILLIONS = [("resnet293", {}, 28.62), ("ecapa_tdnn", {"channels": 1024, "layout": "wespeaker"}, 14.65)]


def counted(name: str, options: dict) -> int:
    # Weights without memory, but for the networks whose filter banks torchaudio must compute.
    with torch.device("cpu" if name in ("resnet_se34l", "resnet_se34v2", "vggvox") else "meta"):
        return count_parameters(build_model(name, **options))


@pytest.mark.parametrize(("name", "options", "expected"), COUNTS)
def test_counts(name, options, expected):
    assert counted(name, options) == expected


@pytest.mark.parametrize(("name", "options", "expected"), MILLIONS)
def test_counts_in_millions(name, options, expected):
    assert counted(name, options) / 1e6 == pytest.approx(expected, abs=0.01)


def test_keras_counts_running_statistics_too():
    for name, learned, all_values in (
        ("deep_speaker_rescnn", 24_172_288, 24_185_728),
        ("deep_speaker_simple_cnn", 6_728_960, 6_735_232),
    ):
        with torch.device("meta"):
            network = build_model(name)
        running = sum(value.numel() for key, value in network.named_buffers() if "running" in key)
        assert (count_parameters(network), count_parameters(network) + running) == (learned, all_values)


def test_extended_tdnn_has_the_layers_of_the_paper():
    frames = (40 * 5 + 1) * 512 + 5 * (512 + 1) * 512 + 3 * (3 * 512 + 1) * 512 + (512 + 1) * 1500
    assert counted("etdnn", {"input_dim": 40}) == frames + (3000 + 1) * 512 + (512 + 1) * 512
    assert build_model("etdnn", input_dim=4, channels=8, pooled_channels=9).min_frames == 23


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152, 221, 293])
def test_resnets_have_the_layers_they_are_named_after(depth):
    with torch.device("meta"):
        network = build_model(f"resnet{depth}")
    convolutions = [m for key, m in network.named_modules() if isinstance(m, torch.nn.Conv2d) and "shortcut" not in key]
    assert len(convolutions) + 1 == depth
