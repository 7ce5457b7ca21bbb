"""The state of training on disk: everything that the rest of the run depends on."""

import re
import shutil
from pathlib import Path
from typing import Any

import torch

from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.logging import warn

_NAME = re.compile(r"epoch(\d+)-batch(\d+)\.pt")


class Checkpoints:
    """The folder `checkpoints/`: files `epochEEE-batchBBBBBB.pt`, of which the newest `keep` stay.

    `identity` is a digest of what the run is made of (configuration, data). Checkpoints of another identity are set
    aside in `checkpoints.replaced`, never continued and never deleted at once.
    """

    def __init__(self, directory: Path, identity: str, keep: int) -> None:
        self.directory, self.identity, self.keep = directory, identity, keep
        self.directory.mkdir(parents=True, exist_ok=True)

    def save(self, epoch: int, batch: int, state: dict[str, Any]) -> None:
        """Writes the state that stands before micro-batch `batch` of `epoch` (both counted from 0)."""
        with atomic_write(self.directory / f"epoch{epoch:03d}-batch{batch:06d}.pt", "wb") as stream:
            torch.save({"identity": self.identity, "epoch": epoch, "batch": batch, **state}, stream)
        for path in self._files()[: -self.keep]:
            path.unlink()

    def load(self) -> dict[str, Any] | None:
        """The newest state of this run, on the CPU; None where training begins. A damaged file is passed over."""
        for path in reversed(self._files()):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # torch raises whatever the unpickler stumbled over
                warn(f"{path} cannot be read ({str(error).splitlines()[0][:120]}); the one before it is used")
                continue
            if state["identity"] == self.identity:
                return state
            self.set_aside()
            return None
        return None

    def set_aside(self) -> None:
        """Moves the checkpoints out of the way of a run that is not theirs."""
        if not self._files():
            return
        aside = self.directory.with_name(self.directory.name + ".replaced")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            self.directory.rename(aside)
        except OSError as error:
            raise InputError(f"{self.directory} cannot be set aside: {error.strerror}") from None
        warn(f"the checkpoints in {self.directory} are of another configuration or other data; they are now in {aside}")
        self.directory.mkdir()

    def _files(self) -> list[Path]:
        return checkpoint_files(self.directory)


def checkpoint_files(directory: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    files = {tuple(map(int, match.groups())): path for path in directory.iterdir()
             if (match := _NAME.fullmatch(path.name))}  # fmt: skip
    return [files[key] for key in sorted(files)]


def load_last_weights(network: torch.nn.Module, experiment: Path) -> None:
    """Fills the network, in place, with the weights of an experiment's newest checkpoint: those after its last update.

    Raises InputError where there is none or it does not fit.
    """
    folder = experiment / "checkpoints"
    files = checkpoint_files(folder) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder}: holds no checkpoint, so the weights after the last epoch are not known")
    try:
        network.load_state_dict(torch.load(files[-1], map_location="cpu", weights_only=True)["network"])
    except Exception as error:  # torch raises whatever the unpickler stumbled over
        raise InputError(f"{files[-1]}: cannot be loaded ({' '.join(str(error).split())[:200]})") from None
