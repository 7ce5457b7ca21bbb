"""Checkpoints that others published, made experiment directories like any other."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spkid.data.front_end import FrontEnd
from spkid.features import FbankOptions, MfccOptions
from spkid.kaldi import InputError
from spkid.nnet import count_parameters, pretrained
from spkid.nnet.pretrained import ImportReport
from spkid.train.experiment import save_final

KALDI_FEATURES = {"mfcc": MfccOptions, "fbank": FbankOptions}


@dataclass(frozen=True)
class Imported:
    """What an import became."""

    parameters: int
    report: ImportReport
    front_end: FrontEnd


def import_checkpoint(
    file: Path,
    source: str,
    directory: Path,
    name: str | None = None,
    partial: bool = False,
    options: dict[str, Any] | None = None,
    features: tuple[str, dict[str, Any]] | None = None,
) -> Imported:
    """Writes `directory`/final.safetensors and final.json of a published checkpoint.

    Args:
        file, source, name, partial, options: as `spkid.nnet.pretrained.load`.
        features: kind ("mfcc", "fbank") and options of the features that the network was trained on, for a source
            whose files do not tell.

    Raises InputError for a file that cannot be read, a network that is not known and one that does not fit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report, which the program prints, says the same
            network = pretrained.load(file, source, name, partial, **(options or {}))
    except ValueError as error:
        raise InputError(str(error).replace("partial=True", "--partial")) from None
    except (RuntimeError, TypeError) as error:  # options whose sizes do not go together
        raise InputError(f"{file}: no network can be built of it ({' '.join(str(error).split())[:300]})") from None
    report = network.import_report
    front_end = _front_end(network.front_end, source, features)
    model = {"name": report.name, **{key: value for key, value in report.options.items() if key != "input_dim"}}
    imported = {
        "source": source,
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "guesses": report.guesses,
        "unmatched": report.unmatched,
        "missing": report.missing,
        "loss_left_out": sorted(report.loss_head),
        "loss_parameters": sum(value.numel() for value in report.loss_head.values()),
    }
    parameters = count_parameters(network)
    directory.mkdir(parents=True, exist_ok=True)
    save_final(directory, network, None, front_end, {"model": model}, {"parameters": parameters, "imported": imported})
    return Imported(parameters, report, front_end)


def _front_end(published: dict[str, Any] | None, source: str, features: tuple[str, dict[str, Any]] | None) -> FrontEnd:
    """The features that the network expects; of a network of waveforms, the waveform."""
    front_end = FrontEnd("waveform", {}, [], 1) if published is None else FrontEnd(**published)
    if features is None:
        return front_end
    kind, options = features
    if published is None or front_end.options is not None:
        raise InputError(
            f"networks of {source} come with their own front end ({front_end.type}): leave --mfcc-config and "
            "--fbank-config out"
        )
    dims = options["num_ceps"] if kind == "mfcc" else options["num_mel_bins"] + options["use_energy"]
    if dims != front_end.dims:
        raise InputError(f"the configuration makes {kind} of {dims} dimensions, the network takes {front_end.dims}")
    return FrontEnd(kind, options, front_end.transforms, dims)
