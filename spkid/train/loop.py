"""The training loop."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spkid.data.batches import EpochBatches, SpecAugment, iterate
from spkid.data.front_end import FrontEnd
from spkid.data.plan import num_batches, plan_epoch
from spkid.data.source import FeatureSource, MemorySource
from spkid.kaldi import InputError
from spkid.nnet import build_loss, count_parameters
from spkid.train.checkpoint import Checkpoints
from spkid.train.config import TrainConfig
from spkid.train.embed import DEFAULT_MIN_FRAMES, training_output
from spkid.train.evaluation import DevelopmentTrials, validate
from spkid.train.experiment import build_network, save_final
from spkid.train.journal import Journal, ProgressBar
from spkid.train.optimizers import DEFAULT_LR, build_optimizer
from spkid.train.schedules import Schedule

SHOWN_IDS = 5
UPDATES_BETWEEN_EVENTS = 20


@dataclass
class TrainingSet:
    """Everything that training reads: sources with the speaker's number of each utterance, and the speakers' names."""

    source: FeatureSource | MemorySource
    labels: np.ndarray
    speakers: list[str]
    front_end: FrontEnd
    valid_source: FeatureSource | MemorySource | None = None
    valid_labels: np.ndarray | None = None
    development: DevelopmentTrials | None = None


def train(config: TrainConfig, data: TrainingSet, directory: Path, identity: str) -> list[dict[str, Any]]:
    """Trains a network, or goes on where the newest checkpoint of this run stands; returns the history of its epochs.

    The result is a function of the configuration and the data alone: a run that was killed and started again ends in
    the same bytes as one that was not (on the CPU, with the same versions). `identity` is a digest of both, so that
    nobody's checkpoint is taken for another's.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = pick_device(config.device)
    torch.backends.cudnn.deterministic = True
    try:
        network = build_network(config.model, data.front_end.dims).to(device).train()
        loss_options = {"embedding_dim": network.embedding_dim, "num_classes": len(data.speakers), **config.loss}
        criterion = build_loss(loss_options.pop("name"), **loss_options).to(device)
    except (ValueError, TypeError) as error:
        raise InputError(f"the network or the loss cannot be built: {error}") from None
    parameters = [*network.parameters(), *criterion.parameters()]
    optimizer = build_optimizer(config.optimizer, parameters)
    base_lr = config.optimizer.get("lr", DEFAULT_LR)

    batches_per_epoch = num_batches(
        len(data.source), config.data.chunks_per_utterance, config.data.micro_batch, config.data.micro_batches
    )
    updates_per_epoch = batches_per_epoch // config.data.micro_batches
    schedule = Schedule(config.schedule, updates_per_epoch)
    checkpoints = Checkpoints(directory / "checkpoints", identity, config.checkpoints.keep)

    first_epoch, first_batch, history, tally = 0, 0, [], Tally()
    if (state := checkpoints.load()) is not None:
        network.load_state_dict(state["network"])
        criterion.load_state_dict(state["loss"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"])
        first_epoch, first_batch, history = state["epoch"], state["batch"], state["history"]
        tally = Tally(**state["tally"])

    def save(epoch: int, batch: int) -> None:
        rng = {"rng": torch.get_rng_state()}
        if device.type == "cuda":
            rng["cuda_rng"] = torch.cuda.get_rng_state()
        weights = {"network": network.state_dict(), "loss": criterion.state_dict(), "optimizer": optimizer.state_dict()}
        checkpoints.save(epoch, batch, {**weights, **rng, "history": history, "tally": vars(tally)})

    update = first_epoch * updates_per_epoch + first_batch // config.data.micro_batches
    with Journal(directory, history, update) as journal:
        journal.say(
            f"Model has {count_parameters(network)} parameters, the loss {count_parameters(criterion)}; "
            f"{len(data.source)} utterances of {len(data.speakers)} speakers, {schedule.epochs} epochs of "
            f"{updates_per_epoch} updates, on {device.type}"
        )
        if state is not None:
            journal.say(f"goes on in epoch {first_epoch + 1} of {schedule.epochs}, after {update} updates")
        progress = ProgressBar(journal, schedule.epochs * updates_per_epoch, update)
        last_save = time.monotonic()
        for epoch in range(first_epoch, schedule.epochs):
            plan = plan_epoch(
                config.data.sampler,
                data.labels,
                batches=batches_per_epoch,
                micro_batch=config.data.micro_batch,
                chunk_frames=config.data.chunk_frames,
                seed=config.seed,
                epoch=epoch,
            )
            augment = SpecAugment(**vars(config.data.spec_augment))
            batches = EpochBatches(data.source, data.labels, plan, config.seed, epoch, augment)
            started = time.monotonic()
            reader = iterate(batches, first_batch, config.data.workers)
            for batch_number in range(first_batch, batches_per_epoch, config.data.micro_batches):
                lr = base_lr * schedule.factor(update)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                criterion.set_progress(update / (schedule.epochs * updates_per_epoch))
                optimizer.zero_grad(set_to_none=True)
                ids: list[str] = []
                for _ in range(config.data.micro_batches):
                    batch = next(reader)
                    features, labels = batch.features.to(device), batch.labels.to(device)
                    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                        output = training_output(network, features)
                        value, correct = criterion.loss_and_correct(output, labels)
                    (value / config.data.micro_batches).backward()
                    ids += batch.ids
                    tally.add(value.item(), int(correct.sum()), len(batch.ids))
                    check_finite("the loss", value.item(), batch.ids, epoch, update)
                # The norm is taken in any case: it is where a broken gradient shows before it spoils the weights.
                norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm or float("inf")).item()
                check_finite("the gradient", norm, ids, epoch, update)
                optimizer.step()
                update += 1
                progress.update(epoch + 1, tally.loss, tally.accuracy, lr, len(ids))
                if update % UPDATES_BETWEEN_EVENTS == 0:
                    journal.scalars(
                        update, {"loss": tally.loss, "accuracy": tally.accuracy, "lr": lr, "gradient_norm": norm}
                    )
                after = batch_number + config.data.micro_batches
                if after < batches_per_epoch and time.monotonic() - last_save >= 60 * config.checkpoints.minutes:
                    tally.seconds += time.monotonic() - started
                    save(epoch, after)
                    started = last_save = time.monotonic()
            tally.seconds += time.monotonic() - started
            is_last = epoch + 1 == schedule.epochs
            values: dict[str, Any] = {
                "epoch": epoch + 1,
                "updates": update,
                "train_loss": tally.loss,
                "train_accuracy": tally.accuracy,
                "lr": lr,
                "seconds": round(tally.seconds, 2),
                "utterances_per_second": tally.seen / max(tally.seconds, 1.0e-9),
            }
            if data.valid_source is not None and ((epoch + 1) % config.validation.every == 0 or is_last):
                frames = max(config.data.chunk_frames)
                values["valid_loss"], values["valid_accuracy"] = validate(
                    network, criterion, data.valid_source, data.valid_labels, frames, device
                )
            every = config.validation.trials_every
            if data.development is not None and every and ((epoch + 1) % every == 0 or is_last):
                min_frames = max(DEFAULT_MIN_FRAMES, getattr(network, "min_frames", 1))
                values["dev_eer"] = float(data.development.eer(network, device, min_frames))
            journal.epoch(values)
            tally, first_batch = Tally(), 0
            save(epoch + 1, 0)
            last_save = time.monotonic()
        progress.close()
        facts = {"parameters": count_parameters(network), "speakers": len(data.speakers), "updates": update}
        save_final(directory, network, criterion, data.front_end, config.to_dict(), facts)
        return history


@dataclass
class Tally:
    """Sums over the epoch so far."""

    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0

    def add(self, loss: float, correct: int, count: int) -> None:
        """One more micro-batch: its mean loss, how many were right, how many there were."""
        self.loss_sum += loss * count
        self.correct += correct
        self.seen += count

    @property
    def loss(self) -> float:
        return self.loss_sum / max(self.seen, 1)

    @property
    def accuracy(self) -> float:
        return self.correct / max(self.seen, 1)


def check_finite(what: str, value: float, ids: list[str], epoch: int, update: int) -> None:
    """Stop training, naming the utterances of the batch, where a number is not one (InputError)."""
    if not math.isfinite(value):
        shown = " ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")
        raise InputError(
            f"{what} became {value} in epoch {epoch + 1}, update {update + 1}, on the utterances {shown}; "
            f"look at their features, or lower optimizer.lr"
        )


def pick_device(name: str) -> torch.device:
    """The device of a configuration: "auto" is the GPU where there is one. Raises InputError for a GPU that is not."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch finds no GPU here; set device to cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
