"""How chunks are shared out to programs, and how what the programs leave behind is added up."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor


@triton.jit
def chunk_at(chunks, chunk):
    """Return item, first boundary, length and first row of a chunk."""
    item, a, b = tl.load(chunks + 4 * chunk), tl.load(chunks + 4 * chunk + 1), tl.load(chunks + 4 * chunk + 2)
    return item, a, (b - a).to(tl.int32), tl.load(chunks + 4 * chunk + 3)


@triton.jit
def normaliser(ZL, ZR, chunk, n):
    """Return Z at a chunk's first boundary and its step from one boundary to the next."""
    left = tl.load(ZL + chunk)
    return left, (tl.load(ZR + chunk) - left) / n


@triton.jit
def add_float32(total, lost, x):
    """Return a float32 sum and what it lacks after one more term (Kahan): as good as float64 at four additions."""
    y = x - lost
    new = total + y
    return new, (new - total) - y


def on_host(chunks: Tensor) -> NDArray:
    """Return the table of chunks as an array (no synchronisation where the caller hands over a CPU tensor)."""
    return np.asarray(chunks.cpu())


def longest(table: NDArray) -> int:
    """Return the number of positions of the longest chunk."""
    return int((table[:, 2] - table[:, 1]).max())


def by_item(sums: Tensor, items: Any, size: int) -> Tensor:
    """Return (size, ...): rows of `sums` added up by their item, in the same order every time."""
    items = torch.as_tensor(items, device=sums.device)
    chosen = (items == torch.arange(size, device=sums.device)[:, None]).to(sums.dtype)  # index_add uses atomics
    return (chosen @ sums.flatten(1)).reshape(size, *sums.shape[1:])
