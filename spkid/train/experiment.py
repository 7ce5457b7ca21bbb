"""What a finished experiment leaves behind: `final.safetensors` and `final.json`."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spkid import __version__
from spkid.data.front_end import FrontEnd
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write

if TYPE_CHECKING:  # the description is read without torch, which takes seconds to start
    import torch

WEIGHTS, DESCRIPTION = "final.safetensors", "final.json"
LOSS_PREFIX = "loss."  # the loss's own weights lie beside the network's: fine-tuning wants them


@dataclass
class TrainedModel:
    """A network in eval mode and how its features are made."""

    network: torch.nn.Module
    front_end: FrontEnd
    description: dict[str, Any]


def build_network(section: dict[str, Any], dims: int) -> torch.nn.Module:
    """The network of a configuration's section `model`; one that takes features is told their dimensions.

    Raises ValueError for a name or an option that does not exist.
    """
    from spkid.nnet import build_model, network_options

    options = dict(section)
    name = options.pop("name")
    if "input_dim" in network_options(name):
        options["input_dim"] = dims
    return build_model(name, **options)


def read_description(directory: str | Path) -> tuple[dict[str, Any], FrontEnd]:
    """What `final.json` says. Raises InputError where training has not finished or the file is damaged."""
    path = Path(directory) / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(description["config"]["model"], dict):
            raise ValueError("it names no network")
        return description, FrontEnd(**description["front_end"])
    except (FileNotFoundError, NotADirectoryError):
        if not Path(directory).is_dir():
            raise InputError(
                f"{directory}: no such directory; one with {DESCRIPTION} and {WEIGHTS} is needed, of steps/train.py or "
                "steps/import_model.py"
            ) from None
        raise InputError(f"{path} is missing: no training has finished there, and nothing was imported") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the description of a trained network ({error})") from None


def save_final(
    directory: Path,
    network: torch.nn.Module,
    loss: torch.nn.Module | None,
    front_end: FrontEnd,
    config: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Writes the two files, the description last: where it stands, the weights are whole.

    loss: None for an imported network, which has none. config: at least the section `model`. facts: what else the
    description says.
    """
    from safetensors.torch import save

    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if loss is not None:
        weights |= {LOSS_PREFIX + name: value.detach().cpu().contiguous() for name, value in loss.state_dict().items()}
    with atomic_write(directory / WEIGHTS, "wb") as stream:
        stream.write(save(weights))
    description = {
        "front_end": asdict(front_end),
        "config": config,
        **facts,
        "versions": {"spkid": __version__, "torch": metadata.version("torch"), "python": platform.python_version()},
    }
    with atomic_write(directory / DESCRIPTION) as stream:
        json.dump(description, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


def load_weights(network: torch.nn.Module, directory: str | Path) -> dict[str, torch.Tensor]:
    """Fills the network from `final.safetensors`, in place, and returns what is left: the tensors of its loss.

    Raises InputError for a file that is damaged or holds another network.
    """
    from safetensors.torch import load_file

    path = Path(directory) / WEIGHTS
    try:
        weights = load_file(path)
        network.load_state_dict({name: one for name, one in weights.items() if not name.startswith(LOSS_PREFIX)})
    except Exception as error:  # safetensors and torch have their own kinds
        raise InputError(f"{path}: cannot be loaded ({' '.join(str(error).split())[:300]})") from None
    return {name.removeprefix(LOSS_PREFIX): one for name, one in weights.items() if name.startswith(LOSS_PREFIX)}


def load_final(directory: str | Path, device: torch.device | str = "cpu") -> TrainedModel:
    """The network of an experiment. Raises InputError where training has not finished or a file is damaged."""
    description, front_end = read_description(directory)
    try:
        network = build_network(description["config"]["model"], front_end.dims)
    except (ValueError, TypeError, KeyError) as error:
        path = Path(directory) / DESCRIPTION
        raise InputError(f"{path}: its network cannot be built ({' '.join(str(error).split())[:300]})") from None
    load_weights(network, directory)
    return TrainedModel(network.to(device).eval(), front_end, description)
