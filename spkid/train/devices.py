"""Which device computes."""

import os

import torch

from spkid.kaldi import InputError


def pick_device(name: str) -> torch.device:
    """The device of a configuration: "auto" is the GPU where there is one. Raises InputError for a GPU that is not.

    Of several processes on one machine each takes the GPU of its number.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch finds no GPU here; set device to cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number = int(os.environ.get("LOCAL_RANK", 0))  # from torchrun
    if number >= torch.cuda.device_count():
        raise InputError(
            f"process {number + 1} of this machine finds {torch.cuda.device_count()} GPUs; "
            f"start no more processes than there are GPUs"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
