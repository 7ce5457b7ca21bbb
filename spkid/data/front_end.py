"""What was and what must be done to features before a network sees them.

A data directory's `feats.json` says how its features were made and what has been applied to them since:

    {"type": "mfcc", "options": {"num_ceps": 30, ...}, "applied": ["cmn_sliding_300", "vad"]}

and may announce what is still to come ("to_apply"). A system asks for a list of such transforms; what the directory
has not applied yet is done on the fly, and a directory that did something else is refused.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.logging import warn

CMN_KINDS = ("sliding", "utterance", "none")
FEATS_JSON = "feats.json"


def feature_files(data_dir: str | Path) -> list[Path]:
    """The files of a data directory that say which features it has, and of whom."""
    names = ("utt2spk", "feats.scp", "vad.scp", FEATS_JSON)
    return [path for name in names if (path := Path(data_dir) / name).exists()]


def training_files(data_dir: Path, dev_dir: Path | None, dev_trials: Path | None) -> list[Path]:
    """The files that a training depends on; the development set is found beside its trials unless it is given."""
    development = [dev_trials, *feature_files(dev_dir or dev_trials.parent)] if dev_trials else []
    return [*feature_files(data_dir), *development]


def transforms(cmn: str, cmn_window: int, vad: bool) -> list[str]:
    """The transforms of a configuration in the order they are applied: ["cmn_sliding_300", "vad"].

    A sliding mean is taken over all frames, as in Kaldi's recipes; the mean of an utterance over its speech.
    """
    selection = ["vad"] if vad else []
    if cmn == "utterance":
        return [*selection, "cmn_utterance"]
    return [f"cmn_sliding_{cmn_window}", *selection] if cmn == "sliding" else selection


def sliding_window(transform: str) -> int | None:
    """The window in frames of a sliding mean normalisation; None for another transform."""
    match = re.fullmatch(r"cmn_sliding_(\d+)", transform)
    return int(match[1]) if match else None


@dataclass
class FeatureRecord:
    """What `feats.json` says. `options` is None where nobody recorded how the features were made."""

    type: str | None = None
    options: dict[str, Any] | None = None
    applied: list[str] = field(default_factory=list)
    to_apply: list[str] | None = None

    def remaining(self, wanted: Sequence[str], data_dir: str | Path) -> list[str]:
        """What is left to do on the fly for a network that wants these transforms. Raises InputError."""
        applied = self.applied
        if list(wanted[: len(applied)]) != applied:
            raise InputError(
                f"{Path(data_dir) / FEATS_JSON}: its features went through {_spell(applied)}, but the system wants "
                f"{_spell(wanted)}; use the features before that, or change the section 'features' of the configuration"
            )
        return list(wanted[len(applied) :])


def read_record(data_dir: str | Path) -> FeatureRecord:
    """The directory's feats.json; an empty record, with a warning, where there is none."""
    path = Path(data_dir) / FEATS_JSON
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        warn(f"{path} is missing: how these features were made cannot be checked; they are taken as they are")
        return FeatureRecord()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, dict) or not isinstance(values.get("applied", []), list):
        raise InputError(f'{path}: must be {{"type": ..., "options": {{...}}, "applied": [...]}}')
    return FeatureRecord(values.get("type"), values.get("options"), values.get("applied", []), values.get("to_apply"))


def write_record(data_dir: str | Path, record: FeatureRecord) -> None:
    """Writes feats.json, atomically."""
    values = {"type": record.type, "options": record.options, "applied": record.applied}
    if record.to_apply is not None:
        values["to_apply"] = record.to_apply
    with atomic_write(Path(data_dir) / FEATS_JSON) as stream:
        json.dump(values, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


@dataclass
class FrontEnd:
    """How the features of a network are made: stored with it, and compared with what it is given later."""

    type: str
    options: dict[str, Any] | None
    transforms: list[str]
    dims: int

    def check(self, record: FeatureRecord, data_dir: str | Path) -> None:
        """Refuse features of another kind or made with other options (InputError naming the first difference)."""
        path = Path(data_dir) / FEATS_JSON
        if record.type is not None and record.type != self.type:
            raise InputError(f"{path}: the features are {record.type}, but the network was trained on {self.type}")
        if record.options is None or self.options is None:
            return
        for key in sorted({*record.options, *self.options}):
            given, trained = record.options.get(key), self.options.get(key)
            if given != trained:
                raise InputError(
                    f"{path}: the features were made with {key}={given}, but the network was trained with "
                    f"{key}={trained}; make them with the same configuration"
                )


def _spell(names: Sequence[str]) -> str:
    return " then ".join(names) or "nothing"
