"""What a GPU could do at best: its rate of matrix products."""

import time

import torch


def product_rate(dtype: torch.dtype, tf32: bool = False) -> float:
    """Operations a second of a large matrix product on the GPU; `tf32` stays set behind it."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a = torch.randn(8192, 8192, device="cuda", dtype=dtype)
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * 8192**3 / best
