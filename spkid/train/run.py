"""Training from a data directory: reads it, holds utterances out, trains."""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from spkid.backend.trials import read_trials
from spkid.data.audio_source import AudioSource, ComputedFeatures, SpeechAudio, open_audio
from spkid.data.crops import Cropper
from spkid.data.front_end import FrontEnd, read_record, transforms
from spkid.data.source import FeatureSource, MemorySource, keep_in_memory, open_source
from spkid.jobs.fingerprints import fingerprint
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import read_id_map
from spkid.nnet import count_parameters, network_options
from spkid.train.audio_feed import open_training_audio, speakers_and_copies
from spkid.train.config import FeatureConfig, TrainConfig
from spkid.train.devices import pick_device
from spkid.train.distributed import Processes
from spkid.train.evaluation import DevelopmentTrials, Evaluation, hold_out
from spkid.train.experiment import build_network, save_final
from spkid.train.feeds import training_feed, validation_feed
from spkid.train.initialization import InitialModel, open_initial
from spkid.train.inputs import input_files
from spkid.train.loop import Training, train
from spkid.train.objective import build_objective
from spkid.train.schedules import options as schedule_options

FRAME_SECONDS = 0.01  # in which lengths of waveforms are counted as frames


@dataclass
class TrainingSet:
    """Everything that training reads: sources with the speaker's number of each utterance, and the speakers' names."""

    source: FeatureSource | MemorySource | Cropper
    labels: np.ndarray
    speakers: list[str]
    front_end: FrontEnd
    valid_source: FeatureSource | MemorySource | Cropper | None = None
    valid_labels: np.ndarray | None = None
    development: DevelopmentTrials | None = None


def train_from_directory(
    config: TrainConfig,
    data_dir: Path,
    directory: Path,
    dev_dir: Path | None = None,
    dev_trials: Path | None = None,
    processes: Processes | None = None,
) -> dict:
    """Trains on `data_dir` into `directory` and returns the values of the final network. Raises InputError.

    dev_dir, dev_trials: a data directory of other speakers and labelled trials of it, whose EER is watched.
    processes: where this is one of several, that it is (see `spkid.train.distributed`).
    """
    processes = processes or Processes()
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True
    files = input_files(config, data_dir, dev_dir, dev_trials)
    initial = None
    if config.initial_model:
        names = (config.initial_model, config.initial_source, config.model)
        initial = processes.from_first(partial(open_initial, *names, directory))
    with processes.together():
        device = pick_device(config.device)
        data = load_training_set(config, data_dir, dev_dir, dev_trials)
        stamps = [[path.name, fingerprint(path)] for path in files]
        identity = hashlib.sha256(json.dumps([config.what_decides(), stamps], sort_keys=True).encode()).hexdigest()
        if initial is not None:
            initial.check_front_end(data.front_end, data_dir)
            config = replace(config, model=initial.model)
        config = with_classes(config, len(data.speakers))
        training = assemble(config, data, processes, device, initial)
    if processes.is_first:
        directory.mkdir(parents=True, exist_ok=True)
        with atomic_write(directory / "config.json") as stream:
            json.dump(config.to_dict(), stream, indent=1, ensure_ascii=False)
            stream.write("\n")
        with atomic_write(directory / "speakers.txt") as stream:
            stream.writelines(f"{speaker}\n" for speaker in data.speakers)
    values = train(training, directory, identity)
    if processes.is_first:
        network, loss = training.network, training.objective.criterion
        facts = {"parameters": count_parameters(network), "speakers": len(data.speakers), "values": values}
        save_final(directory, network, loss, data.front_end, config.to_dict(), facts)
    return values


def with_classes(config: TrainConfig, speakers: int) -> TrainConfig:
    """The configuration with the number of speakers filled in where the network itself names the speaker."""
    if "num_classes" not in network_options(config.model["name"]):
        return config
    if config.model.get("num_classes", speakers) != speakers:
        raise InputError(f"model.num_classes is {config.model['num_classes']}, but there are {speakers} speakers here")
    return replace(config, model={**config.model, "num_classes": speakers})


def assemble(
    config: TrainConfig,
    data: TrainingSet,
    processes: Processes,
    device: torch.device,
    initial: InitialModel | None = None,
) -> Training:
    """Network, loss and what feeds them, the weights drawn from the seed or taken from `initial`.

    Raises InputError for what does not fit.
    """
    torch.manual_seed(config.seed)
    try:
        network = build_network(config.model, data.front_end.dims).to(device).train()
    except (ValueError, TypeError) as error:
        raise InputError(f"the network cannot be built: {error}") from None
    feed = training_feed(config, data.source, data.labels)
    dims = getattr(network, "embedding_dim", 0)
    objective = build_objective(config.loss, dims, len(data.speakers), config.data.utterances_per_speaker)
    objective.criterion.to(device)
    if config.freeze_epochs and not any(one.requires_grad for one in objective.criterion.parameters()):
        raise InputError(f"freeze_epochs: the loss {config.loss['name']} has no weights that could learn meanwhile")
    evaluation = Evaluation(config.validation, device, development=data.development)
    if data.valid_source is not None:
        evaluation.held_out = validation_feed(config, data.valid_source, data.valid_labels)
    opening = (
        f"Model has {count_parameters(network)} parameters, the loss {count_parameters(objective.criterion)}; "
        f"{len(data.source)} utterances of {len(data.speakers)} speakers"
    )
    if initial is not None:
        opening += "; " + initial.load_into(network, objective.criterion, data.speakers)
    check_watched(config, data)
    return Training(config, network, objective, feed, evaluation, processes, device, opening)


def check_watched(config: TrainConfig, data: TrainingSet) -> None:
    """Raise InputError where the value that decides about stopping or the learning rate is never measured."""
    watching = {}
    if config.patience.epochs or config.patience.keep == "best":
        watching["patience"] = config.patience.watch
    if config.schedule["name"] == "plateau":
        watching["schedule"] = {**schedule_options("plateau"), **config.schedule}["watch"]
    for section, watch in watching.items():
        if watch == "dev_eer" and (data.development is None or not config.validation.trials_every):
            raise InputError(f"{section}.watch is dev_eer: give --dev-data, and validation.trials_every above 0")
        if watch != "dev_eer" and data.valid_source is None:
            raise InputError(f"{section}.watch is {watch}, but no utterances are held out: raise validation.fraction")


def load_training_set(
    config: TrainConfig, data_dir: Path, dev_dir: Path | None = None, dev_trials: Path | None = None
) -> TrainingSet:
    """Opens everything that training reads; utterances with less than one frame are an error (InputError)."""
    if config.features.source == "audio":
        source, front_end = open_training_audio(config.features, data_dir)
    else:
        source, front_end = _open_features(config, data_dir)
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
    speakers = speakers_and_copies(speakers, config)
    memory = config.data.memory_mb
    data = TrainingSet(_keep(source.subset(~held), memory), labels[~held], speakers, front_end)
    if held.any():
        data.valid_source = _keep(source.subset(held), memory)
        data.valid_labels = labels[held]
    if dev_trials is not None:
        data.development = _open_development(config, dev_dir or dev_trials.parent, dev_trials, front_end)
    return data


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
    wanted = _wanted(config.features)
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
