"""Training from a data directory: reads it, holds utterances out, trains."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from spkid.jobs.fingerprints import fingerprint
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.nnet import build_loss, count_parameters, network_options
from spkid.train.computing import advice
from spkid.train.config import TrainConfig
from spkid.train.devices import pick_device
from spkid.train.distributed import Processes
from spkid.train.evaluation import Evaluation
from spkid.train.experiment import build_network, save_final
from spkid.train.feeds import training_feed, validation_feed
from spkid.train.initialization import SPEAKERS, InitialModel, open_initial
from spkid.train.inputs import input_files
from spkid.train.loop import Training, train
from spkid.train.memory import keep_freed_memory
from spkid.train.objective import Objective, compares
from spkid.train.schedules import options as schedule_options
from spkid.train.training_set import TrainingSet, load_training_set


def train_from_directory(
    config: TrainConfig,
    data_dir: Path,
    directory: Path,
    dev_dir: Path | None = None,
    dev_trials: Path | None = None,
    processes: Processes | None = None,
    valid_dir: Path | None = None,
) -> dict:
    """Trains on `data_dir` into `directory` and returns the values of the final network. Raises InputError.

    dev_dir, dev_trials: a data directory of other speakers and labelled trials of it, whose EER is watched.
    processes: where this is one of several, that it is (see `spkid.train.distributed`).
    valid_dir: a data directory of the training speakers to validate on, instead of utterances held out.
    """
    processes = processes or Processes()
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True
    files = input_files(config, data_dir, dev_dir, dev_trials, valid_dir)
    initial = None
    if config.initial_model:
        names = (config.initial_model, config.initial_source, config.model)
        initial = processes.from_first(partial(open_initial, *names, directory))
    with processes.together():
        device = pick_device(config.device)
        if device.type == "cpu":
            keep_freed_memory()
        data = load_training_set(config, data_dir, dev_dir, dev_trials, valid_dir)
        stamps = [[path.name, fingerprint(path)] for path in files]
        identity = hashlib.sha256(json.dumps([config.what_decides(), stamps], sort_keys=True).encode()).hexdigest()
        if initial is not None:
            initial.check_front_end(data.front_end, data_dir, config.features.source == "audio")
            config = replace(config, model=initial.model)
        config = with_classes(config, len(data.speakers))
        training = assemble(config, data, processes, device, initial)
    if processes.is_first:
        directory.mkdir(parents=True, exist_ok=True)
        with atomic_write(directory / "config.json") as stream:
            json.dump(config.to_dict(), stream, indent=1, ensure_ascii=False)
            stream.write("\n")
        with atomic_write(directory / SPEAKERS) as stream:
            stream.writelines(f"{speaker}\n" for speaker in data.speakers)
    with advice(device):
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
    check_shares(config, processes)
    torch.manual_seed(config.seed)
    network, criterion = (part.to(device) for part in build_parts(config, data.front_end.dims, len(data.speakers)))
    check_chunks(config, network)
    feed = training_feed(config, data, network, device)
    objective = Objective(criterion, compares(config.loss["name"]), feed.group_size)
    if config.freeze_epochs and not any(one.requires_grad for one in objective.criterion.parameters()):
        raise InputError(f"freeze_epochs: the loss {config.loss['name']} has no weights that could learn meanwhile")
    evaluation = Evaluation(config.validation, device, development=data.development)
    if data.valid_source is not None:
        evaluation.held_out = validation_feed(config, data, network, objective.compares)
    opening = (
        f"Model has {count_parameters(network)} parameters, the loss {count_parameters(objective.criterion)}; "
        f"{len(data.source)} utterances of {len(data.speakers)} speakers"
    )
    if feed.speakers_left_out:
        opening += f", {feed.speakers_left_out} of them left out: too few utterances for {config.data.sampler}"
    if data.valid_source is not None and evaluation.held_out is None:
        opening += "; no validation: no two speakers have enough held-out utterances to be compared"
    if initial is not None:
        opening += "; " + initial.load_into(network, objective.criterion, data.speakers)
    if config.features.source == "files" and config.data.batches == "chunks":
        longest = max(config.data.chunk_frames)
        if repeated := int((data.source.num_frames < longest).sum()):
            opening += f"; {repeated} utterances are repeated to reach {longest} frames"
    if config.freeze_epochs:
        opening += f"; the network is frozen for {config.freeze_epochs} epochs"
    check_watched(config, evaluation)
    return Training(config, network, objective, feed, evaluation, processes, device, opening)


def build_parts(config: TrainConfig, dims: int, speakers: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The network, for features of so many dimensions, and the loss, for so many speakers. Raises InputError."""
    options = dict(config.loss)
    try:
        network = build_network(config.model, dims).train()
        sizes = {"embedding_dim": getattr(network, "embedding_dim", 0), "num_classes": speakers}
        return network, build_loss(options.pop("name"), **sizes, **options)
    except (ValueError, TypeError) as error:
        raise InputError(f"the network or the loss cannot be built: {error}") from None


def check_chunks(config: TrainConfig, network: torch.nn.Module) -> None:
    """Raise InputError for chunks that are too short for the network."""
    shortest, needed = min(config.data.chunk_frames), getattr(network, "min_frames", 1)
    if config.data.batches != "frames" and shortest < needed:
        raise InputError(
            f"data.chunk_frames {shortest}: the network {config.model['name']} needs at least {needed} frames"
        )


def check_shares(config: TrainConfig, processes: Processes) -> None:
    """Raise InputError for batches that these processes cannot share."""
    processes.share(config.data.micro_batches)
    if config.data.sampler == "hard_negatives" and processes.count > 1:
        raise InputError("data.sampler hard_negatives chooses from one process's embeddings: start only one")
    if compares(config.loss["name"]) and config.data.micro_batches != processes.count:
        raise InputError(
            f"the loss {config.loss['name']} compares all utterances of a batch, which cannot be accumulated: "
            f"data.micro_batches is {config.data.micro_batches}, but must be the number of processes, {processes.count}"
        )


def check_watched(config: TrainConfig, evaluation: Evaluation) -> None:
    """Raise InputError where the value that decides about stopping or the learning rate is never measured."""
    watching = {}
    if config.patience.epochs or config.patience.keep == "best":
        watching["patience"] = config.patience.watch
    if config.schedule["name"] == "plateau":
        watching["schedule"] = {**schedule_options("plateau"), **config.schedule}["watch"]
    for section, watch in watching.items():
        if watch == "dev_eer" and (evaluation.development is None or not config.validation.trials_every):
            raise InputError(f"{section}.watch is dev_eer: give --dev-data, and validation.trials_every above 0")
        if watch != "dev_eer" and evaluation.held_out is None:
            raise InputError(f"{section}.watch is {watch}: hold out more utterances (raise validation.fraction)")
