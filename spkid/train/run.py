"""Training from a data directory: reads it, holds utterances out, trains."""

import hashlib
import json
from pathlib import Path

import numpy as np

from spkid.backend.trials import read_trials
from spkid.data.front_end import FrontEnd, read_record, training_files, transforms
from spkid.data.source import FeatureSource, keep_in_memory, open_source
from spkid.jobs.fingerprints import fingerprint
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import read_id_map
from spkid.train.config import FeatureConfig, TrainConfig
from spkid.train.evaluation import DevelopmentTrials, hold_out
from spkid.train.loop import TrainingSet, train


def train_from_directory(
    config: TrainConfig,
    data_dir: Path,
    directory: Path,
    dev_dir: Path | None = None,
    dev_trials: Path | None = None,
) -> dict:
    """Trains on `data_dir` into `directory` and returns the last epoch's values. Raises InputError.

    dev_dir, dev_trials: a data directory of other speakers and labelled trials of it, whose EER is watched.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data = load_training_set(config, data_dir, dev_dir, dev_trials)
    with atomic_write(directory / "config.json") as stream:
        json.dump(config.to_dict(), stream, indent=1, ensure_ascii=False)
        stream.write("\n")
    with atomic_write(directory / "speakers.txt") as stream:
        stream.writelines(f"{speaker}\n" for speaker in data.speakers)
    files = training_files(data_dir, dev_dir, dev_trials)
    stamps = [[path.name, fingerprint(path)] for path in files]
    identity = hashlib.sha256(json.dumps([config.what_decides(), stamps], sort_keys=True).encode()).hexdigest()
    return train(config, data, directory, identity)[-1]


def load_training_set(
    config: TrainConfig, data_dir: Path, dev_dir: Path | None = None, dev_trials: Path | None = None
) -> TrainingSet:
    """Opens everything that training reads; utterances with less than one frame are an error (InputError)."""
    record = read_record(data_dir)
    if record.type is not None and record.type != config.features.type:
        raise InputError(
            f"{data_dir}: its features are {record.type}, but the configuration says features.type: "
            f"{config.features.type}"
        )
    wanted = _wanted(config.features)
    if record.to_apply is not None and record.applied + record.to_apply != wanted:
        raise InputError(
            f"{data_dir}: was prepared for {' then '.join(record.applied + record.to_apply) or 'no transform'}, "
            f"but the configuration asks for {' then '.join(wanted) or 'none'}; make the two agree"
        )
    source = open_source(data_dir, record, wanted)
    _refuse_empty(source)
    speaker_of = read_id_map(data_dir / "utt2spk")
    missing = [utterance for utterance in source.ids if utterance not in speaker_of]
    if missing:
        raise InputError(f"{data_dir / 'utt2spk'}: has no speaker for utterance {missing[0]}")
    speakers = sorted({speaker_of[utterance] for utterance in source.ids})
    if len(speakers) < 2:
        raise InputError(f"{data_dir}: training needs at least two speakers, here is {len(speakers)}")
    number = {speaker: index for index, speaker in enumerate(speakers)}
    labels = np.array([number[speaker_of[utterance]] for utterance in source.ids])
    held = hold_out(source.ids, labels, config.validation.fraction, config.validation.max_utterances, config.seed)
    found = record.vad if "vad" in wanted else None
    front_end = FrontEnd(config.features.type, record.options, wanted, source.dims, found)
    memory = config.data.memory_mb
    data = TrainingSet(keep_in_memory(source.subset(~held), memory), labels[~held], speakers, front_end)
    if held.any():
        data.valid_source = keep_in_memory(source.subset(held), memory)
        data.valid_labels = labels[held]
    if dev_trials is not None:
        data.development = _open_development(dev_dir or dev_trials.parent, dev_trials, front_end, memory)
    return data


def _open_development(dev_dir: Path, trials_file: Path, front_end: FrontEnd, memory_mb: int) -> DevelopmentTrials:
    record = read_record(dev_dir)
    front_end.check(record, dev_dir)
    trials = read_trials(str(trials_file))
    source = open_source(dev_dir, record, front_end.transforms, sorted({*trials.enroll_ids, *trials.test_ids}))
    _refuse_empty(source)
    if source.dims != front_end.dims:
        raise InputError(f"{dev_dir}: features have {source.dims} dimensions, those of training {front_end.dims}")
    return DevelopmentTrials(keep_in_memory(source, memory_mb), trials)


def _refuse_empty(source: FeatureSource) -> None:
    empty = np.flatnonzero(source.num_frames < 1)
    if len(empty):
        raise InputError(
            f"{source.data_dir}: utterance {source.ids[empty[0]]} has no frame left for training "
            f"({len(empty)} such); drop it with steps/prepare_feats_for_egs.py"
        )


def _wanted(features: FeatureConfig) -> list[str]:
    return transforms(features.cmn, features.cmn_window, features.vad)
