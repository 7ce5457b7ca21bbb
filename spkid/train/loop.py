"""The training loop."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spkid.data.batches import micro_batch_seed
from spkid.kaldi import InputError
from spkid.train.averaging import ExponentialAverage, FinalWeights
from spkid.train.checkpoint import Checkpoints
from spkid.train.computing import training_forward
from spkid.train.config import TrainConfig
from spkid.train.distributed import Processes, RunningStatistics
from spkid.train.evaluation import Evaluation
from spkid.train.feeds import Feed
from spkid.train.initialization import Freezer
from spkid.train.journal import Journal, Silence, spell_evaluation
from spkid.train.objective import Objective
from spkid.train.optimizers import DEFAULT_LR, build_optimizer, set_lr
from spkid.train.patience import is_exhausted
from spkid.train.schedules import Schedule, margin_at

SHOWN_IDS = 5
UPDATES_BETWEEN_EVENTS = 20


@dataclass
class Training:
    """What the loop works with; `opening` is the line that says what is trained."""

    config: TrainConfig
    network: torch.nn.Module
    objective: Objective
    feed: Feed
    evaluation: Evaluation
    processes: Processes
    device: torch.device
    opening: str


def train(training: Training, directory: Path, identity: str) -> dict[str, Any]:
    """Trains the network, or goes on where the newest checkpoint of this run stands; returns the values of the result.

    In the end the network and the loss hold the final weights: those after the last epoch, after the best one, or an
    average, as the configuration says.

    The result is a function of the configuration and the data alone: a run that was killed and started again ends in
    the same bytes as one that was not (on the CPU, with the same versions). `identity` is a digest of both, so that
    nobody's checkpoint is taken for another's. Random numbers need no place in a checkpoint: the generator is set
    from the seed, the epoch and the number of the micro-batch before each of them.
    """
    config, network, objective, feed = training.config, training.network, training.objective, training.feed
    processes, device = training.processes, training.device
    criterion = objective.criterion
    parameters = [*network.parameters(), *criterion.parameters()]
    optimizer = build_optimizer(config.optimizer, network.parameters(), criterion.parameters())
    base_lr = config.optimizer.get("lr", DEFAULT_LR)
    forward = training_forward(network, config.compile)
    statistics = RunningStatistics(network, processes)
    micro_batches = config.data.micro_batches
    share = processes.share(micro_batches)
    updates_per_epoch = feed.batches_per_epoch // micro_batches
    schedule, margin = Schedule(config.schedule, updates_per_epoch), config.margin_schedule
    updates = schedule.epochs * updates_per_epoch
    freezer = Freezer(network, config.freeze_epochs)
    average = ExponentialAverage([network, criterion], config.averaging.ema_decay)

    checkpoints = Checkpoints(directory / "checkpoints", identity, config.checkpoints.keep)
    best = config.patience.watch if config.patience.keep == "best" else None
    final = FinalWeights(checkpoints.directory, config.averaging.last_epochs, best, differ=average.decay > 0)
    first_epoch, first_batch, history, tally = 0, 0, [], Tally()
    if (state := processes.from_first(checkpoints.load)) is not None:
        network.load_state_dict(state["network"])
        criterion.load_state_dict(state["loss"])
        optimizer.load_state_dict(state["optimizer"])
        feed.load_state_dict(state["feed"])
        average.load_state_dict(state["average"])
        first_epoch, first_batch, history = state["epoch"], state["batch"], state["history"]
        tally = Tally(**state["tally"])

    def save(epoch: int, batch: int) -> None:
        if processes.is_first:
            parts = {"network": network, "loss": criterion, "optimizer": optimizer, "feed": feed, "average": average}
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoints.save(epoch, batch, {**states, "history": history, "tally": vars(tally)})

    update = first_epoch * updates_per_epoch + first_batch // micro_batches
    with Journal(directory, history, updates, update) if processes.is_first else Silence() as journal:
        journal.say(f"{training.opening}; {schedule.epochs} epochs of {updates_per_epoch} updates, on {device.type}")
        if state is not None:
            journal.say(f"goes on in epoch {first_epoch + 1} of {schedule.epochs}, after {update} updates")
        last_save = time.monotonic()
        for epoch in range(first_epoch, schedule.epochs):
            if is_exhausted(history, config.patience.watch, config.patience.epochs):
                journal.say(f"stops: {config.patience.watch} has not become better for {config.patience.epochs} epochs")
                break
            freezer.begin_epoch(epoch)
            started = time.monotonic()
            starts = range(first_batch, feed.batches_per_epoch, micro_batches)
            batches = feed.epoch(epoch, [start + one for start in starts for one in share])
            for start in starts:
                lr = base_lr * schedule.factor(update, history)
                set_lr(optimizer, lr)
                criterion.set_progress(update / updates)
                if margin.full_epoch:
                    criterion.set_margin(margin_at(update / updates_per_epoch, criterion.full_margin, **vars(margin)))
                optimizer.zero_grad(set_to_none=True)
                with processes.together():
                    read = [next(batches) for _ in share]
                statistics.remember()
                losses, correct_sums, decisions = [], [], 0
                for number, batch in zip(share, read, strict=True):
                    torch.manual_seed(micro_batch_seed(config.seed, epoch, start + number))
                    inputs, labels = feed.prepare(batch, device), batch.labels.to(device)
                    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                        output = forward(inputs)
                        if objective.compares:  # all of the batch with all of it, wherever it was computed
                            output, labels = processes.gather(output, labels)
                            torch.manual_seed(micro_batch_seed(config.seed, epoch, start))
                        value, correct = objective(output, labels)
                    (value / len(share)).backward()
                    losses.append(value.detach().double() * len(batch.ids))
                    correct_sums.append(correct.sum())
                    decisions += correct.numel()
                statistics.merge()
                chunks = sum(len(batch.ids) for batch in read)
                counts = torch.tensor([decisions, chunks], dtype=torch.float64, device=device)
                sums = torch.cat([torch.stack([sum(losses), sum(correct_sums)]).double(), counts])
                sums = processes.average(parameters, sums)
                # The norm is taken in any case: it is where a broken gradient shows before it spoils the weights.
                norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm or float("inf"))
                *sums, norm = torch.cat([sums, norm.double().view(1)]).tolist()  # the one wait for the device
                if not (math.isfinite(sums[0]) and math.isfinite(norm)):
                    with processes.together():
                        found = [(loss.item(), batch.ids) for loss, batch in zip(losses, read, strict=True)]
                        raise not_finite([one for share in processes.exchange(found) for one in share], epoch, update)
                optimizer.step()
                average.update()
                update += 1
                tally.add(*sums)
                journal.progress(epoch + 1, tally.loss, tally.accuracy, lr, sums[-1])
                if update % UPDATES_BETWEEN_EVENTS == 0:
                    journal.scalars(
                        update, {"loss": tally.loss, "accuracy": tally.accuracy, "lr": lr, "gradient_norm": norm}
                    )
                after = start + micro_batches
                if after < feed.batches_per_epoch and time.monotonic() - last_save >= 60 * config.checkpoints.minutes:
                    tally.seconds += time.monotonic() - started
                    save(epoch, after)
                    started = last_save = time.monotonic()
            tally.seconds += time.monotonic() - started
            values = {
                "epoch": epoch + 1,
                "updates": update,
                "train_loss": tally.loss,
                "train_accuracy": tally.accuracy,
                "lr": lr,
                "seconds": round(tally.seconds, 2),
                "utterances_per_second": tally.chunks / max(tally.seconds, 1.0e-9),
            }
            is_last = epoch + 1 == schedule.epochs
            criterion.set_progress(1.0)  # the full margin, so that the values of all epochs compare
            with average.applied():
                values |= processes.from_first(partial(training.evaluation, network, objective, epoch + 1, is_last))
                history.append(values)
                if processes.is_first:
                    final.save(history, [network, criterion])
            journal.epoch(values)
            tally, first_batch = Tally(), 0
            save(epoch + 1, 0)
            if processes.is_first:
                final.forget(history)  # only now: until the checkpoint stands, the epoch may have to be trained again
            last_save = time.monotonic()
        chosen = final.epochs(history)
        values = dict(history[chosen[-1] - 1])
        processes.from_first(partial(final.load, history, [network, criterion]))
        if chosen != [len(history)]:
            values |= processes.from_first(partial(training.evaluation, network, objective, schedule.epochs, True))
            values["weights_of_epochs"] = chosen
            made = f"the mean of epochs {chosen[0]} to {chosen[-1]}" if chosen[1:] else f"those of epoch {chosen[0]}"
            journal.say(f"final weights: {made}; {spell_evaluation(values) or 'not evaluated'}")
    return values


@dataclass
class Tally:
    """Sums over the epoch so far; a decision is about a chunk, or about a speaker or a frame: what the loss counts."""

    loss_sum: float = 0.0
    correct: float = 0.0
    decisions: float = 0.0
    chunks: float = 0.0
    seconds: float = 0.0

    def add(self, loss_sum: float, correct: float, decisions: float, chunks: float) -> None:
        """One more update."""
        self.loss_sum += loss_sum
        self.correct += correct
        self.decisions += decisions
        self.chunks += chunks

    @property
    def loss(self) -> float:
        return self.loss_sum / max(self.chunks, 1)

    @property
    def accuracy(self) -> float:
        return self.correct / max(self.decisions, 1)


def not_finite(found: Sequence[tuple[float, list[str]]], epoch: int, update: int) -> InputError:
    """The error for an update that would spoil the weights.

    found: of each micro-batch its loss and its utterances. Where all losses are numbers, the gradient is none.
    """
    broken = [(f"the loss became {loss}", ids) for loss, ids in found if not math.isfinite(loss)]
    everyone = [utterance for _, ids in found for utterance in ids]
    what, ids = (broken or [("the gradient became infinite or no number", everyone)])[0]
    shown = " ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")
    return InputError(
        f"{what} in epoch {epoch + 1}, update {update + 1}, on the utterances {shown}; "
        f"look at their features, or lower optimizer.lr"
    )
