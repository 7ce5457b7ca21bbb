"""One training shared by several processes, started by torchrun on one machine or many.

Every process holds the whole network and computes its share of each batch: process r of N takes the r-th contiguous
block of the batch's micro-batches. Gradients are averaged after it. Only process 0 writes files and prints.

What is exchanged makes the result that of one process, to rounding: the mean of the gradients, and the running
statistics of batch normalisation folded in the order of the micro-batches.
"""

import datetime
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from spkid.kaldi import InputError

T = TypeVar("T")

# Process 0 measures EERs while the others wait; a process that died is torchrun's to notice, not the clock's.
PATIENCE = datetime.timedelta(hours=24)


class SaidElsewhere(Exception):
    """Training has ended because of another process, which says why: nothing is left to say here."""


class Processes:
    """This process among those of the training; alone, every exchange is free.

    Tensors of processors travel by gloo, those of GPUs by NCCL.
    """

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self._objects = None  # a group whose exchanges need no GPU
        if self.count > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            with _company():
                distributed.init_process_group(backend, timeout=PATIENCE)
                self._objects = distributed.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        # After a failure too, and without a reference left: the threads of a group that lives until the interpreter's
        # end abort the process now and then. It asks nothing of the other processes.
        if self.count > 1:
            self._objects = None
            distributed.destroy_process_group()

    def share(self, micro_batches: int) -> range:
        """Which micro-batches of a batch are this process's, counted inside the batch. Raises InputError."""
        if micro_batches % self.count:
            raise InputError(
                f"data.micro_batches is {micro_batches}, which {self.count} processes cannot share evenly; "
                f"set it to a multiple of {self.count}, or start another number of processes"
            )
        own = micro_batches // self.count
        return range(self.rank * own, (self.rank + 1) * own)

    def exchange(self, value: T) -> list[T]:
        """The values of all processes, in their order (any object that pickles)."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with _company():
            distributed.all_gather_object(values, value, group=self._objects)
        return values

    @contextmanager
    def together(self):
        """Where one process fails (InputError), all stop, and process 0 raises that error. Where none does, it costs
        the exchange of one number.
        """
        failure = None
        try:
            yield
        except InputError as error:
            failure = error
        if self.count > 1:
            failed = torch.tensor([failure is not None], dtype=torch.int32)
            with _company():
                distributed.all_reduce(failed, group=self._objects)
            if failed.item():
                sentences = self.exchange(None if failure is None else str(failure))
                if not self.is_first:
                    raise SaidElsewhere
                failure = InputError(next(sentence for sentence in sentences if sentence is not None))
        if failure is not None:
            raise failure

    def from_first(self, work: Callable[[], T]) -> T:
        """What process 0 gets from `work`, which only process 0 does."""
        value = [None]
        with self.together():
            if self.is_first:
                value = [work()]
        if self.count > 1:
            with _company():
                distributed.broadcast_object_list(value, group=self._objects)
        return value[0]  # type: ignore[return-value]

    def average(self, parameters: Sequence[nn.Parameter], sums: torch.Tensor) -> torch.Tensor:
        """Gradients become their mean over the processes; returns `sums` (few,) float64 added up over them."""
        if self.count == 1:
            return sums
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in learned]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _company():
            distributed.all_reduce(flat)
            distributed.all_reduce(sums)
        flat /= self.count
        for parameter, mean in zip(learned, flat.split([one.numel() for one in learned]), strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(mean.view_as(parameter))
        return sums

    def gather(self, output: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (own, dims) and labels (own,) of all processes, in their order.

        The gradient passes to this process's own embeddings, `count` times: every process computes the same loss
        from all embeddings, and `average` will divide by their number.
        """
        if self.count == 1:
            return output, labels
        # In float32: not every transport knows bf16.
        return _Gather.apply(output.float(), self.rank, self.count), torch.cat(_all_gather(labels, self.count))


def _all_gather(values: torch.Tensor, count: int) -> list[torch.Tensor]:
    every = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(count)]
    with _company():
        distributed.all_gather(every, values.contiguous())
    return every


@contextmanager
def _company():
    """Exchanges fail where another process is no longer there: process 0 says so, and only process 0."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if os.environ.get("RANK", "0") != "0":
            raise SaidElsewhere from None
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(f"another process of this training has ended; its own message says why ({reason})") from None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context, output: torch.Tensor, rank: int, count: int) -> torch.Tensor:
        context.rank, context.count = rank, count
        return torch.cat(_all_gather(output, count))

    @staticmethod
    def backward(context, gradient: torch.Tensor):
        return gradient.chunk(context.count)[context.rank] * context.count, None, None


class RunningStatistics:
    """The running means and variances of a network's batch normalisations, as if one process had seen the batch.

    With momentum m, n micro-batches turn the statistics r into (1 - m)^n r + what they bring; what each process's
    share brings follows from what its statistics became. The shares are folded in the order of the micro-batches.
    """

    def __init__(self, network: nn.Module, processes: Processes) -> None:
        self._processes = processes
        self._layers = [
            layer
            for layer in network.modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
        ]
        self._active = processes.count > 1 and bool(self._layers)
        if not self._active:
            return
        self._before, self._counts_before = self._values(), self._counts()
        sizes = torch.tensor([2 * layer.num_features for layer in self._layers])
        self._layer_of = torch.arange(len(sizes)).repeat_interleave(sizes).to(self._before.device)
        momenta = [layer.momentum for layer in self._layers]
        self._decay = 1.0 - torch.tensor(momenta, dtype=torch.float64, device=self._before.device)

    def remember(self) -> None:
        """Before a batch."""
        if self._active:
            self._before, self._counts_before = self._values(), self._counts()

    def merge(self) -> None:
        """After it: the statistics of all processes' shares."""
        if not self._active:
            return
        values, counts = self._values(), self._counts()
        every = _all_gather(values, self._processes.count)
        seen = counts - self._counts_before
        kept = (self._decay**seen)[self._layer_of]
        folded = self._before
        for one in every:
            folded = kept * folded + (one - kept * self._before)
        buffers = [buffer for layer in self._layers for buffer in (layer.running_mean, layer.running_var)]
        for buffer, value in zip(buffers, folded.split([len(buffer) for buffer in buffers]), strict=True):
            buffer.copy_(value)
        for layer, count in zip(self._layers, seen, strict=True):
            layer.num_batches_tracked += (count * (self._processes.count - 1)).to(layer.num_batches_tracked.dtype)

    def _values(self) -> torch.Tensor:
        return torch.cat([torch.cat([layer.running_mean, layer.running_var]) for layer in self._layers]).double()

    def _counts(self) -> torch.Tensor:
        return torch.stack([layer.num_batches_tracked for layer in self._layers]).double()
