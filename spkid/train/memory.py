"""Memory of the tensors that come and go with every batch, on a CPU."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc's malloc.h
LARGEST_KEPT = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors for the next ones, where the C library is glibc.

    By default glibc asks the kernel for every block over 32 MB anew and gives it back at once, and the kernel fills
    each page with zeros: up to 40% of the time of a ResNet on a CPU (benchmarks/extraction.py), for about a fifth less
    memory at the peak. No number changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, -1)
