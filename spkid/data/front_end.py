"""What was and what must be done to features before a network sees them.

A data directory's `feats.json` says how its features were made and what has been applied to them since:

    {"type": "mfcc", "options": {"num_ceps": 30, ...}, "applied": ["cmn_sliding_300", "vad"]}

and may announce what is still to come ("to_apply"). A system asks for a list of such transforms; what the directory
has not applied yet is done on the fly, and a directory that did something else is refused. Beside it, `vad.json` says
how vad.scp was made: {"method": "energy", "vad_energy_threshold": ..., "feature_type": "mfcc", "feature_options": ...},
or {"method": "model", "weights": SHA-256 of the network's, "threshold": 0.5, "smoothing": 0, "model_dir": its place}.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spkid.data.audio_options import AUDIO_FEATURES, TABLE_OPTIONS, TOOL_DEFAULTS, recorded_options
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.logging import warn

CMN_KINDS = ("sliding", "utterance", "cmvn", "frame", "none")
FRAME_KIND = "cmvn_frame"  # mean and deviation of each frame over its dimensions (Deep Speaker)
FEATS_JSON, VAD_JSON = "feats.json", "vad.json"
MODEL_DIR = "model_dir"  # in vad.json: where a network lay that found speech; its weights decide, not its place
DEVIATION_FLOOR = 2.0e-12  # added to the standard deviation by `cmvn_utterance` (asv_beginner)
# Of no consequence for the features of an utterance.
_NEUTRAL_OPTIONS = {*TABLE_OPTIONS, "allow_downsample", "allow_upsample", "max_feature_vectors", "debug_mel"}


def feature_files(data_dir: str | Path) -> list[Path]:
    """The files of a data directory that say which features it has, and of whom."""
    names = ("utt2spk", "feats.scp", "vad.scp", FEATS_JSON, VAD_JSON)
    return [path for name in names if (path := Path(data_dir) / name).exists()]


def audio_files(data_dir: str | Path) -> list[Path]:
    """The files of a data directory that say which audio it has, and of whom."""
    names = ("utt2spk", "wav.scp", "segments", "vad.scp", VAD_JSON)
    return [path for name in names if (path := Path(data_dir) / name).exists()]


def training_files(
    data_dir: Path, dev_dir: Path | None, dev_trials: Path | None, audio: bool = False, augmentation: Sequence[str] = ()
) -> list[Path]:
    """The files that a training depends on; the development set is found beside its trials unless it is given.

    audio: it reads audio, not features; augmentation: the data directories that its augmentation reads.
    """
    files = audio_files if audio else feature_files
    development = [dev_trials, *files(dev_dir or dev_trials.parent)] if dev_trials else []
    return [*files(data_dir), *development, *(path for directory in augmentation for path in files(directory))]


def transforms(cmn: str, cmn_window: int, vad: bool) -> list[str]:
    """The transforms of a configuration in the order they are applied: ["cmn_sliding_300", "vad"].

    A sliding mean is taken over all frames, as in Kaldi's recipes; the mean of an utterance, and the deviation of
    "cmvn", over its speech. "frame" normalises every frame by itself, over its dimensions.
    """
    selection = ["vad"] if vad else []
    if cmn == "frame":
        return [*selection, FRAME_KIND]
    if cmn in ("utterance", "cmvn"):
        return [*selection, "cmvn_utterance" if cmn == "cmvn" else "cmn_utterance"]
    return [f"cmn_sliding_{cmn_window}", *selection] if cmn == "sliding" else selection


def sliding_window(transform: str) -> int | None:
    """The window in frames of a sliding mean normalisation; None for another transform."""
    match = re.fullmatch(r"cmn_sliding_(\d+)", transform)
    return int(match[1]) if match else None


@dataclass
class FeatureRecord:
    """What `feats.json` says, and as `vad` what `vad.json` says; None where nobody recorded how they were made."""

    type: str | None = None
    options: dict[str, Any] | None = None
    applied: list[str] = field(default_factory=list)
    to_apply: list[str] | None = None
    vad: dict[str, Any] | None = None

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
    """The directory's feats.json and vad.json; an empty record, with a warning, where there is no feats.json."""
    path = Path(data_dir) / FEATS_JSON
    values = _read_json(path)
    if values is None:
        warn(f"{path} is missing: how these features were made cannot be checked; they are taken as they are")
        return FeatureRecord()
    if not isinstance(values.get("applied", []), list):
        raise InputError(f'{path}: must be {{"type": ..., "options": {{...}}, "applied": [...]}}')
    vad = read_vad_record(data_dir)
    applied, to_apply = values.get("applied", []), values.get("to_apply")
    return FeatureRecord(values.get("type"), values.get("options"), applied, to_apply, vad)


def read_vad_record(data_dir: str | Path) -> dict[str, Any] | None:
    """The directory's vad.json; None where there is none."""
    return _read_json(Path(data_dir) / VAD_JSON)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold a JSON object {{...}}")
    return values


def write_record(data_dir: str | Path, record: FeatureRecord) -> None:
    """Writes feats.json, atomically."""
    values = {"type": record.type, "options": record.options, "applied": record.applied}
    if record.to_apply is not None:
        values["to_apply"] = record.to_apply
    with atomic_write(Path(data_dir) / FEATS_JSON) as stream:
        json.dump(values, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


def write_vad_record(data_dir: str | Path, method: str, options: dict[str, Any]) -> None:
    """Writes vad.json, atomically: by which method vad.scp was made, and with which options."""
    with atomic_write(Path(data_dir) / VAD_JSON) as stream:
        json.dump({"method": method, **options}, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


@dataclass
class FrontEnd:
    """How the features of a network are made: stored with it, and compared with what it is given later.

    `vad` says how the speech was found where the transforms select it (None: nobody recorded it).
    """

    type: str
    options: dict[str, Any] | None
    transforms: list[str]
    dims: int
    vad: dict[str, Any] | None = None

    def check(self, record: FeatureRecord, data_dir: str | Path, told_by: str = "") -> None:
        """Refuse features of another kind or made with other options (InputError naming the first difference).

        told_by: what says how the features are made, for the message, where that is not the directory's feats.json.
        """
        path = told_by or Path(data_dir) / FEATS_JSON
        if record.type is not None and record.type != self.type:
            raise InputError(f"{path}: the features are {record.type}, but the network was trained on {self.type}")
        made = (_meaning(self.type, options) for options in (record.options, self.options))
        _compare(path, "the features were made", *made, "them")
        if "vad" in self.transforms:
            _compare_speech(Path(data_dir) / VAD_JSON, record.vad, self.vad)

    def check_speech(self, data_dir: str | Path) -> None:
        """Refuse speech found otherwise than for training, where the transforms select it (InputError)."""
        if "vad" in self.transforms:
            _compare_speech(Path(data_dir) / VAD_JSON, read_vad_record(data_dir), self.vad)


def _meaning(kind: str | None, options: dict[str, Any] | None) -> dict[str, Any] | None:
    """The options that decide what features are, those that nobody gave as they are by default."""
    if options is None:
        return None
    defaults = recorded_options(AUDIO_FEATURES[kind]()) if kind in AUDIO_FEATURES else {}
    neutral = _NEUTRAL_OPTIONS if options.get("dither") else {*_NEUTRAL_OPTIONS, "dither_seed"}
    complete = {**TOOL_DEFAULTS, **defaults, **options}
    return {key: value for key, value in complete.items() if key not in neutral}


def _speech_meaning(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """What decides which frames are speech: a record of vad.json with the options of the features one by one."""
    if record is None or not isinstance(features := record.get("feature_options"), dict):
        return record
    named = {f"feature_options.{key}": value for key, value in _meaning(record.get("feature_type"), features).items()}
    return {key: value for key, value in record.items() if key != "feature_options"} | named


def _compare_speech(path: Path, given: dict[str, Any] | None, trained: dict[str, Any] | None) -> None:
    _compare(path, "speech was found", _speech_meaning(given), _speech_meaning(trained), "the decisions")


def _compare(
    path: str | Path, what: str, given: dict[str, Any] | None, trained: dict[str, Any] | None, again: str
) -> None:
    if given is None or trained is None:
        return
    names = {*given, *trained} - {MODEL_DIR}
    # Of two methods, or of two kinds of features, the options do not compare.
    for key in sorted(names, key=lambda name: (name != "method", name != "feature_type", name)):
        if given.get(key) != trained.get(key):
            raise InputError(
                f"{path}: {what} with {key}={given.get(key)}, but the network was trained with "
                f"{key}={trained.get(key)}; make {again} with the same configuration"
            )


def _spell(names: Sequence[str]) -> str:
    return " then ".join(names) or "nothing"
