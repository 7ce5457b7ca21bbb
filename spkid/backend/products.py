"""Dot products of many pairs of rows, picked from a list or all of them, in blocks of bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat
import numpy as np

Array = Any  # a NumPy array, or that of another library that follows the array API standard, such as torch
BLOCK_BYTES = 32 << 20
GATHERED_BYTES = 1 << 20  # stays in the processor's cache between gathering and multiplying
DEVICE_GATHERED_BYTES = 256 << 20
# A dot product inside a matrix product is about this many times cheaper than one of gathered rows.
PRODUCT_GAIN = 30


def num_threads() -> int:
    """Threads to use beside those of the matrix library: OMP_NUM_THREADS, or as many as there are processors."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) else len(os.sched_getaffinity(0))


def to_numpy(array: Array) -> np.ndarray:
    """A NumPy array of the same values, from whatever device."""
    return np.asarray(array_api_compat.to_device(array, "cpu"))


def product_blocks(left: Array, right: Array, max_memory: int) -> Iterator[tuple[slice, Array]]:
    """All dot products, a block of left rows after the other.

    Args:
        left: (rows, width) of any library.
        right: (other rows, width), of the same library, type and device.
        max_memory: bytes; a block takes half of it or less, so that the caller may work on it.

    Yields:
        Which rows, and their products (rows of the block, other rows), an array of its own.

    Raises:
        ValueError: not even one row fits into the memory.
    """
    row_bytes = max(1, len(right)) * right.dtype.itemsize
    if row_bytes > max_memory // 2:
        raise ValueError(
            f"one row of {len(right)} scores and room to work on it take {2 * row_bytes} bytes, more than the "
            f"{max_memory} allowed: raise the memory limit"
        )
    on_host = array_api_compat.is_numpy_array(right)
    step = max(1, min(max_memory // 2, BLOCK_BYTES if on_host else max_memory) // row_bytes)
    for start in range(0, len(left), step):
        rows = slice(start, min(start + step, len(left)))
        yield rows, left[rows] @ right.T


def each_chunk(work: Callable[[slice], None], rows: int, chunk: int) -> None:
    """Calls `work` for every slice of `chunk` rows, in threads where there are several."""
    chunks = [slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk)]
    threads = min(num_threads(), len(chunks))
    if threads < 2:
        for part in chunks:
            work(part)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, chunks):
            pass


def dot_products(
    left: Array, right: Array, left_rows: np.ndarray, right_rows: np.ndarray, max_memory: int = 1 << 30
) -> np.ndarray:
    """left[left_rows[k]] . right[right_rows[k]] for every k, in blocks of bounded memory.

    Pairs are visited by left row. Where a block of left rows meets its right rows often enough, their whole matrix
    product is computed and the pairs are picked out of it; otherwise the rows of the pairs are gathered.

    Args:
        left: (rows, dims).
        right: (other rows, dims) of the same library and type.
        left_rows: (pairs,) integers.
        right_rows: (pairs,) integers.
        max_memory: bytes for products and gathered rows, besides the arguments.

    Returns:
        (pairs,) of the type of `left`, in NumPy.
    """
    if not array_api_compat.is_numpy_array(left):
        return _gathered_on_device(left, right, left_rows, right_rows, max_memory)
    products = np.empty(left_rows.shape, dtype=left.dtype)
    if not products.size:
        return products
    row_bytes = left.dtype.itemsize * left.shape[1]
    order = np.argsort(left_rows, kind="stable")
    rows = 512
    bounds = np.searchsorted(left_rows[order], np.arange(0, len(left) + rows, rows))
    gathered = max(1, min(GATHERED_BYTES, max_memory // 4) // (2 * row_bytes))
    block_bytes = min(2 * BLOCK_BYTES, max_memory // 4)
    columns = max(1, min(block_bytes // (left.dtype.itemsize * rows), block_bytes // row_bytes))
    for start, first, last in zip(range(0, len(left), rows), bounds[:-1], bounds[1:], strict=True):
        pairs = order[first:last]
        if not pairs.size:
            continue
        used, positions = np.unique(right_rows[pairs], return_inverse=True)
        block = left[start : start + rows]
        if pairs.size * PRODUCT_GAIN < used.size * len(block):
            for chunk in (pairs[at : at + gathered] for at in range(0, pairs.size, gathered)):
                products[chunk] = np.einsum("ij,ij->i", left[left_rows[chunk]], right[right_rows[chunk]])
            continue
        for at in range(0, used.size, columns):
            table = block @ right[used[at : at + columns]].T
            inside = (positions >= at) & (positions < at + columns)
            chosen = pairs[inside]
            products[chosen] = table[left_rows[chosen] - start, positions[inside] - at]
    return products


def _gathered_on_device(
    left: Array, right: Array, left_rows: np.ndarray, right_rows: np.ndarray, max_memory: int
) -> np.ndarray:
    """The same where gathering is as good as multiplying."""
    xp = array_api_compat.array_namespace(left)
    device = array_api_compat.device(left)
    row_bytes = left.dtype.itemsize * left.shape[1]
    size = max(1, min(DEVICE_GATHERED_BYTES, max_memory) // (3 * row_bytes))
    products = []
    for at in range(0, left_rows.size, size):
        rows = xp.asarray(np.ascontiguousarray(left_rows[at : at + size], dtype=np.int64), device=device)
        others = xp.asarray(np.ascontiguousarray(right_rows[at : at + size], dtype=np.int64), device=device)
        products.append(to_numpy(xp.sum(xp.take(left, rows, axis=0) * xp.take(right, others, axis=0), axis=1)))
    return np.concatenate(products) if products else np.empty(0)
