"""What training reads of a data directory and a development set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spkid.backend.trials import read_trials
from spkid.data.audio_source import AudioSource, ComputedFeatures, SpeechAudio, open_audio
from spkid.data.crops import Cropper
from spkid.data.front_end import FrontEnd, read_record, transforms
from spkid.data.labelled_segments import FrameLabels
from spkid.data.source import FeatureSource, MemorySource, keep_in_memory, open_source
from spkid.kaldi import InputError
from spkid.kaldi.tables import read_id_map
from spkid.train.audio_feed import open_training_audio, speakers_and_copies
from spkid.train.config import TrainConfig
from spkid.train.evaluation import DevelopmentTrials, hold_out

FRAME_SECONDS = 0.01  # in which lengths of waveforms are counted as frames


@dataclass
class TrainingSet:
    """Everything that training reads: sources with the speaker's number of each utterance, and the speakers' names.

    frame_labels: where the network decides frame by frame, the label of every frame.
    """

    source: FeatureSource | MemorySource | Cropper
    labels: np.ndarray
    speakers: list[str]
    front_end: FrontEnd
    valid_source: FeatureSource | MemorySource | Cropper | None = None
    valid_labels: np.ndarray | None = None
    development: DevelopmentTrials | None = None
    frame_labels: FrameLabels | None = None
    valid_frame_labels: FrameLabels | None = None


def load_training_set(
    config: TrainConfig,
    data_dir: Path,
    dev_dir: Path | None = None,
    dev_trials: Path | None = None,
    valid_dir: Path | None = None,
) -> TrainingSet:
    """Opens everything that training reads; utterances with less than one frame are an error (InputError).

    valid_dir: utterances of the training speakers that validate; without it some of `data_dir` are held out.
    """
    if dev_trials is not None and config.data.batches != "chunks":
        raise InputError(f"data.batches {config.data.batches}: such a network gives no vectors to score trials with")
    source, front_end = _open(config, data_dir)
    of_whom = _speakers_of(source.ids, data_dir)
    speakers = sorted(set(of_whom))
    if len(speakers) < 2 and config.data.batches != "labelled_segments":
        raise InputError(f"{data_dir}: training needs at least two speakers, here is {len(speakers)}")
    number = {speaker: index for index, speaker in enumerate(speakers)}
    labels = np.array([number[speaker] for speaker in of_whom])
    owners = labels if config.data.batches != "labelled_segments" else np.zeros_like(labels)  # no speaker is learned
    fraction = config.validation.fraction if valid_dir is None else 0.0
    held = hold_out(source.ids, owners, fraction, config.validation.max_utterances, config.seed)
    speakers = speakers_and_copies(speakers, config)
    memory = config.data.memory_mb
    data = TrainingSet(_keep(source.subset(~held), memory), labels[~held], speakers, front_end)
    if held.any():
        data.valid_source = _keep(source.subset(held), memory)
        data.valid_labels = labels[held]
    if valid_dir is not None:
        others, their_front_end = _open(config, valid_dir)
        if config.features.source == "files":
            front_end.check(read_record(valid_dir), valid_dir)
        _same_dims(valid_dir, their_front_end.dims, front_end)
        data.valid_source = _keep(others, memory)
        data.valid_labels = _numbers(_speakers_of(others.ids, valid_dir), number, config, valid_dir)
    if config.data.batches == "labelled_segments":
        data.frame_labels = FrameLabels(data_dir / "vad.scp", data.source)
        if data.valid_source is not None:
            data.valid_frame_labels = FrameLabels((valid_dir or data_dir) / "vad.scp", data.valid_source)
    if dev_trials is not None:
        data.development = _open_development(config, dev_dir or dev_trials.parent, dev_trials, front_end)
    return data


def _open(config: TrainConfig, data_dir: Path):
    """The source of a directory of training speakers, and its front end."""
    if config.features.source == "audio":
        return open_training_audio(config.features, data_dir)
    return _open_features(config, data_dir)


def _speakers_of(utterances: Sequence[str], data_dir: Path) -> list[str]:
    speaker_of = read_id_map(data_dir / "utt2spk")
    missing = [utterance for utterance in utterances if utterance not in speaker_of]
    if missing:
        raise InputError(f"{data_dir / 'utt2spk'}: has no speaker for utterance {missing[0]}")
    return [speaker_of[utterance] for utterance in utterances]


def _numbers(speakers: Sequence[str], number: dict[str, int], config: TrainConfig, data_dir: Path) -> np.ndarray:
    """The training speakers' numbers of utterances that validate; where no speaker is learned, anything."""
    unknown = sorted(set(speakers) - number.keys())
    if unknown and config.data.batches != "labelled_segments":
        raise InputError(
            f"{data_dir}: {len(unknown)} of its speakers are not among those of training, {unknown[0]} for one; "
            "validation knows only training speakers (trials of others are --dev-data)"
        )
    return np.array([number.get(speaker, 0) for speaker in speakers])


def _same_dims(data_dir: Path, dims: int, front_end: FrontEnd) -> None:
    if dims != front_end.dims:
        raise InputError(f"{data_dir}: features have {dims} dimensions, those of training {front_end.dims}")


def _keep(source, memory_mb: int):
    """The source, in memory where it is one of features that fit; audio is decoded anew each time."""
    is_audio = isinstance(source, Cropper | AudioSource | SpeechAudio)
    return source if is_audio else keep_in_memory(source, memory_mb)


def _open_features(config: TrainConfig, data_dir: Path) -> tuple[FeatureSource, FrontEnd]:
    record = read_record(data_dir)
    if record.type is not None and record.type != config.features.type:
        raise InputError(
            f"{data_dir}: its features are {record.type}, but the configuration says features.type: "
            f"{config.features.type}"
        )
    wanted = transforms(config.features.cmn, config.features.cmn_window, config.features.vad)
    if record.to_apply is not None and record.applied + record.to_apply != wanted:
        raise InputError(
            f"{data_dir}: was prepared for {' then '.join(record.applied + record.to_apply) or 'no transform'}, "
            f"but the configuration asks for {' then '.join(wanted) or 'none'}; make the two agree"
        )
    source = open_source(data_dir, record, wanted)
    _refuse_empty(source)
    found = record.vad if "vad" in wanted else None
    return source, FrontEnd(config.features.type, record.options, wanted, source.dims, found)


def _open_development(config: TrainConfig, dev_dir: Path, trials_file: Path, front_end: FrontEnd) -> DevelopmentTrials:
    memory_mb = config.data.memory_mb
    trials = read_trials(str(trials_file))
    utterances = sorted({*trials.enroll_ids, *trials.test_ids})
    if config.features.source == "audio":
        failed: dict[str, str] = {}
        source = open_audio(front_end, dev_dir, utterances, failed)
        if failed:
            raise InputError(f"{dev_dir}: {next(iter(failed.values()))}")
        shift = 1 if isinstance(source, ComputedFeatures) else round(FRAME_SECONDS * source.rate)
        return DevelopmentTrials(_keep(source, memory_mb), trials, shift)
    record = read_record(dev_dir)
    front_end.check(record, dev_dir)
    source = open_source(dev_dir, record, front_end.transforms, utterances)
    _refuse_empty(source)
    _same_dims(dev_dir, source.dims, front_end)
    return DevelopmentTrials(keep_in_memory(source, memory_mb), trials)


def _refuse_empty(source: FeatureSource) -> None:
    empty = np.flatnonzero(source.num_frames < 1)
    if len(empty):
        raise InputError(
            f"{source.data_dir}: utterance {source.ids[empty[0]]} has no frame left for training "
            f"({len(empty)} such); drop it with steps/prepare_feats_for_egs.py"
        )
