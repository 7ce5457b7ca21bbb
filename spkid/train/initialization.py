"""Where a training begins, if not at random: with the weights of another experiment, or of a published checkpoint.

initial_model: exp/first            # an experiment directory, trained here or made by steps/import_model.py
initial_model: avg_model.pt         # or a published checkpoint,
initial_source: wespeaker           # and who wrote it
model: {name: initial}              # the network that it is
freeze_epochs: 2                    # only the loss learns at first
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spkid.data.audio_options import AUDIO_FEATURES, WaveformOptions, audio_options, recorded_options
from spkid.data.front_end import FeatureRecord, FrontEnd
from spkid.kaldi import InputError
from spkid.train.experiment import DESCRIPTION, WEIGHTS, load_weights, read_description

if TYPE_CHECKING:  # the steps name the files that a training depends on without torch, which takes seconds to start
    import torch

INITIAL = "initial"  # model.name of the network that is started from
SPEAKERS = "speakers.txt"


def initial_files(model: str, source: str) -> list[Path]:
    """The files that a training which starts from them depends on."""
    if not model:
        return []
    path = Path(model)
    return [path] if source or path.is_file() else [path / name for name in (WEIGHTS, DESCRIPTION, SPEAKERS)]


@dataclass
class InitialModel:
    """What a training starts from.

    Attributes:
        directory: of final.safetensors and final.json.
        model: the configuration's section `model` that builds the network.
        front_end: how its features are made.
        speakers: of its training in the order of the loss's classes; None where nobody recorded them.
        guesses: of a published checkpoint, sentences on what its file does not tell and was assumed.
    """

    directory: Path
    model: dict[str, Any]
    front_end: FrontEnd
    speakers: list[str] | None
    guesses: list[str] = field(default_factory=list)

    def check_front_end(self, own: FrontEnd, data_dir: str | Path, from_audio: bool = False) -> None:
        """Refuse training features that are not those of the network (InputError naming the first difference).

        from_audio: they are made while training, as the configuration says.
        """
        trained = replace(self.front_end, options=_completed(self.front_end))
        trained.check(
            FeatureRecord(own.type, _completed(own), vad=own.vad), data_dir, "features.options" if from_audio else ""
        )
        wanted, given = self.front_end.transforms, own.transforms
        if wanted != given:
            raise InputError(
                f"the configuration's section 'features' asks for {_spell(given)}, but {self.directory} was trained "
                f"after {_spell(wanted)}; change features.cmn, features.cmn_window or features.vad"
            )
        if own.dims != self.front_end.dims:
            raise InputError(
                f"{data_dir}: its features have {own.dims} dimensions, those of {self.directory} {self.front_end.dims}"
            )

    def load_into(self, network: torch.nn.Module, criterion: torch.nn.Module, speakers: Sequence[str]) -> str:
        """Loads the weights of network and loss, in place; returns a sentence that says what became of the loss.

        The loss (the head) is kept where it has a place for every weight: the same tensors, and speakers that are all
        among the initial model's (each takes its own row). Otherwise it stays as it is: new.

        Args:
            speakers: of this training, in the order of the classes.

        Raises InputError for a file that is damaged or holds another network.
        """
        head = load_weights(network, self.directory)
        body = ", ".join([f"begins with {self.directory} ({self.model['name']})", *self.guesses])
        return f"{body}, {self._load_head(head, criterion, speakers)}"

    def _load_head(self, head: dict[str, torch.Tensor], criterion: torch.nn.Module, speakers: Sequence[str]) -> str:
        own = criterion.state_dict()
        if not own:
            return "whose loss is not needed: this one has no weights"
        if head.keys() != own.keys():
            return "with a new head: " + ("its loss is of another kind" if head else "it brings none")
        rows = None
        if any(one.dim() for one in own.values()):  # rows for speakers, not only a scale
            number = {speaker: row for row, speaker in enumerate(self.speakers or ())}
            foreign = [speaker for speaker in speakers if speaker not in number]
            if foreign:
                return f"with a new head: {len(foreign)} of the {len(speakers)} speakers are not its own"
            rows = [number[speaker] for speaker in speakers]
            head = {name: _pick(one, rows, len(number)) for name, one in head.items()}
        if any(head[name].shape != own[name].shape for name in own):
            return "with a new head: that of its loss has other sizes"
        criterion.load_state_dict(head)
        return "head kept" if rows is None or len(rows) == len(self.speakers) else "head kept for the speakers here"


def _pick(value: torch.Tensor, rows: list[int], speakers: int) -> torch.Tensor:
    """The rows of some speakers (of several centres each) of a tensor; a tensor without such rows as it is."""
    if value.dim() == 0 or len(value) % speakers:
        return value
    return value.unflatten(0, (speakers, -1))[rows].flatten(0, 1)


def open_initial(model: str, source: str, section: dict[str, Any], directory: Path) -> InitialModel:
    """What the configuration's `initial_model` and `initial_source` name.

    A published checkpoint is imported into `directory`/initial first.

    Args:
        section: the configuration's section `model`; {name: initial} takes the network as it is, anything else must
            not contradict it.

    Raises InputError for what is not there, cannot be read, or is another network than `section` says.
    """
    where = Path(model)
    if where.resolve() == directory.resolve():
        raise InputError(f"initial_model is {model}, the directory that is trained into; choose another one for it")
    if source:
        from spkid.train.imports import import_checkpoint  # torch

        options = {key: value for key, value in section.items() if key != "name"}
        name = None if section["name"] == INITIAL else section["name"]
        where = directory / INITIAL
        where.mkdir(parents=True, exist_ok=True)
        import_checkpoint(Path(model), source, where, name, options=options)
    elif where.is_file():
        raise InputError(
            f"initial_model is the file {where}: say with initial_source who wrote it (such as wespeaker), or give "
            f"an experiment directory"
        )
    description, front_end = read_description(where)
    try:
        speakers = (where / SPEAKERS).read_text(encoding="utf-8").split("\n")[:-1]
    except OSError:
        speakers = None
    stored = description["config"]["model"]
    _check_agreement(section, stored, where)
    guesses = description.get("imported", {}).get("guesses", [])
    return InitialModel(where, stored, front_end, speakers, guesses)


def _check_agreement(section: dict[str, Any], stored: dict[str, Any], where: Path) -> None:
    from spkid.nnet import network_options

    advice = f"write model: {{name: {INITIAL}}} to take the network as it is"
    if section["name"] not in (INITIAL, stored["name"]):
        raise InputError(f"model.name is {section['name']}, but {where} holds the network {stored['name']}; {advice}")
    values = {**network_options(stored["name"]), **stored}
    for key, value in section.items():
        if key not in values:
            raise InputError(f"unknown key 'model.{key}' (known here: {', '.join(values)})")
        if key != "name" and values[key] != value:
            raise InputError(f"model.{key} is {value}, but the network in {where} has {values[key]}; {advice}")


class Freezer:
    """Keeps the network as it is during the first epochs, while the loss learns.

    Frozen, it is in eval mode as well: neither its weights nor its running statistics change by a bit.
    """

    def __init__(self, network: torch.nn.Module, epochs: int) -> None:
        self.network, self.epochs = network, epochs
        self._learned = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def begin_epoch(self, epoch: int) -> None:
        """Before epoch number `epoch`, counted from 0: frozen or released."""
        learns = epoch >= self.epochs
        self.network.train(learns)
        for parameter in self._learned:
            parameter.requires_grad_(learns)


def _completed(front_end: FrontEnd) -> dict[str, Any] | None:
    """The options, with the defaults that a published front end leaves out where it is computed from audio alone."""
    if front_end.options is None or not issubclass(AUDIO_FEATURES.get(front_end.type, object), WaveformOptions):
        return front_end.options
    return recorded_options(audio_options(front_end.type, front_end.options))


def _spell(transforms: Sequence[str]) -> str:
    return " then ".join(transforms) or "no transform"
