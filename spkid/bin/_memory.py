"""How the tools that make many arrays of the same size treat memory."""

import contextlib
import ctypes


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next array: its default is to give it back and to ask for it again.

    Each time the kernel clears the pages anew, which took a third of the time of feature extraction and two thirds of
    that of sliding normalisation.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    with contextlib.suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 256 << 20)
        mallopt(mmap_threshold, 32 << 20)
