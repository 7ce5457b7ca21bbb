"""clovaai/voxceleb_trainer: networks of waveforms. Old files prefix the encoder with `__S__.`, the loss with `__L__.`.

No file tells the amplitude that it was trained on: integers of 16 bits until 2021-04, floats in +-1 since.
"""

from typing import Any

from spkid.nnet.published.base import Guesses, Published, Rules, Tensors, columns, rows

AMPLITUDE = "amplitude='unit' is assumed; files trained before April 2021 want amplitude='int16'"
SPECTROGRAM: Rules = (
    (r"^torchfb\.(1\.)?spectrogram\.window$", "spectrogram.window"),
    (r"^torchfb\.(1\.)?mel_scale\.fb$", "spectrogram.filter_bank"),
)
CONSTANT = r"(flipped_filter|filterbank\.(n_|window_))$"
SAP: Rules = ((r"^sap_linear\.", "pooling.hidden."), (r"^attention$", "pooling.score.weight"))
ATTENTION: Rules = (
    (r"^attention\.0\.", "pooling.hidden."),
    (r"^attention\.2\.", "pooling.norm."),
    (r"^attention\.3\.", "pooling.score."),
)
EMBEDDING: Rules = ((r"^fc\.", "embedding."),)
RESNET: Rules = (
    (r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"\.se\.fc\.0\.", ".excitation.squeeze."),
    (r"\.se\.fc\.2\.", ".excitation.excite."),
    (r"\.downsample\.", ".shortcut."),
    *EMBEDDING,
    *SPECTROGRAM,
)


def _pooling(encoder: Tensors, channels: int) -> str:
    return "attentive_statistics" if columns(encoder, "fc.weight") == 2 * channels else "self_attentive"


def _resnet_se34l(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    guesses["amplitude"] = AMPLITUDE
    filter_bank = encoder.get("torchfb.mel_scale.fb")
    if filter_bank is None:
        guesses["n_mels"] = "the file has no filter bank: n_mels=40 is assumed"
    return {
        "embedding_dim": rows(encoder, "fc.weight"),
        "channels": rows(encoder, "conv1.weight"),
        "n_mels": 40 if filter_bank is None else filter_bank.shape[1],
        "pooling": _pooling(encoder, rows(encoder, "sap_linear.weight")),
    }


def _resnet_se34v2(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    guesses["amplitude"] = AMPLITUDE
    channels, pooled = rows(encoder, "conv1.weight"), rows(encoder, "attention.3.weight")
    return {
        "embedding_dim": rows(encoder, "fc.weight"),
        "channels": channels,
        "n_mels": pooled // (8 * channels) * 8,
        "pooling": _pooling(encoder, pooled),
    }


def _vggvox(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    guesses["amplitude"] = AMPLITUDE
    options: dict[str, Any] = {"embedding_dim": rows(encoder, "fc.weight")}
    if "sap_linear.weight" in encoder:
        return options
    guesses["pooling"] = "the file has no attention: pooling='mean' is assumed, it may as well be 'max'"
    return {**options, "pooling": "mean"}


def _rawnet3(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    guesses["amplitude"] = AMPLITUDE
    return {
        "embedding_dim": rows(encoder, "fc6.weight"),
        "channels": rows(encoder, "layer1.conv1.weight"),
        "pooling": "eca" if rows(encoder, "attention.3.weight") > 1 else "asp",
        "scale": sum(key.startswith("layer1.convs.") and key.endswith(".weight") for key in encoder) + 1,
    }


RAWNET3: Rules = (
    *ATTENTION,
    (r"^preprocess\.1\.", "waveform_norm."),
    (r"^conv1\.filterbank\.(low_hz|band_hz)_$", r"sinc.\1"),
    (r"^bn1\.", "sinc_norm."),
    (r"^bn5\.", "pooling_norm."),
    (r"^bn6\.", "embedding_norm."),
    (r"^fc6\.", "embedding."),
    (r"^layer4\.", "aggregation."),
    (r"^layer([123])\.", lambda match: f"blocks.{int(match[1]) - 1}."),
    (r"^(blocks\.\d)\.bn([13])\.", r"\1.norm\2."),
    (r"^(blocks\.\d)\.convs\.", r"\1.res2.convs."),
    (r"^(blocks\.\d)\.bns\.", r"\1.res2.norms."),
    (r"^(blocks\.\d)\.residual\.0\.", r"\1.shortcut."),
    (r"\.afms\.alpha$", ".scaling.offset"),
    (r"\.afms\.fc\.", ".scaling.scale."),
)
VGGVOX: Rules = ((r"^netcnn\.", "layers."), *SAP, *EMBEDDING, *SPECTROGRAM)

NETWORKS = (
    Published("resnet_se34l", (r"layer1\.0\.se\.", r"sap_linear\."), _resnet_se34l, (*SAP, *RESNET), ignored=CONSTANT),
    Published(
        "resnet_se34v2",
        (r"layer1\.0\.se\.", r"attention\.3\."),
        _resnet_se34v2,
        (*ATTENTION, *RESNET),
        ignored=CONSTANT,
    ),
    Published("vggvox", (r"netcnn\.",), _vggvox, VGGVOX, ignored=CONSTANT),
    Published("rawnet3", (r"conv1\.filterbank\.",), _rawnet3, RAWNET3, ignored=CONSTANT),
)
