"""What the device is asked to compute, and what to do where it cannot."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import torch

from spkid.kaldi import InputError
from spkid.train.embed import training_output

ALLOCATION_FAILED = "can't allocate memory"  # torch's word for it on a CPU
READER_ENDED = "DataLoader worker"  # of a reading process that was killed, in this process's signal handler: anywhere


def training_forward(network: torch.nn.Module, compiles: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """What the loss sees of the network's inputs; where `compiles`, by code made for each shape of them.

    Only this function is compiled: the network and its state stay what they are, and validation runs without.
    """
    forward = partial(training_output, network)
    return torch.compile(forward, dynamic=False) if compiles else forward


@contextmanager
def advice(device: torch.device):
    """InputError, saying what can be done, in place of torch's errors about memory, reading processes, compilers."""
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        reason = str(error.inner_exception).strip().split("\n")[0]
        raise InputError(f"compile: true needs a compiler that works here ({reason}), or say false") from None
    except RuntimeError as error:
        if str(error).startswith(READER_ENDED):
            raise InputError(
                f"a process that reads ended ({str(error).strip(' .')}): the same command goes on from the last "
                "checkpoint; where memory ran out, lower data.workers or data.memory_mb first"
            ) from None
        if not isinstance(error, torch.OutOfMemoryError) and ALLOCATION_FAILED not in str(error):
            raise
        place = f"GPU {device.index or 0}" if device.type == "cuda" else "this machine"
        raise InputError(
            f"out of memory on {place}: lower data.micro_batch and raise data.micro_batches in return, lower "
            f"data.chunk_frames, or set precision: bf16"
        ) from None
