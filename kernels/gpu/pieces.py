"""How chunks are shared out to programs, and how what the programs leave behind is added up."""

from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ..lasting import lasting, sent


def cdiv(a: int, b: int) -> int:
    """Return a / b, rounded up; Triton's own takes microseconds."""
    return -(-a // b)


def power_of_2(n: int) -> int:
    """Return the smallest power of 2 that is no smaller than n."""
    return 1 << (n - 1).bit_length()


class Table(NamedTuple):
    """Chunks: (n, 4) item, first and last boundary, and the row of the first; the kernels and the host both read it."""

    host: NDArray
    there: Tensor
    longest: int  # positions of the longest chunk


def table_of(rows: NDArray, device: torch.device | str) -> Table:
    """Return the table of chunks for a device."""
    return Table(rows, sent(rows, device), int((rows[:, 2] - rows[:, 1]).max()))


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


def by_item(sums: Tensor, items: NDArray, size: int) -> Tensor:
    """Return (size, ...): rows of `sums` added up by their item (in order), every time in one order."""
    if len(items) == size:  # one row each
        return sums
    chosen = _chosen(np.asarray(items, np.int64).tobytes(), size, sums.dtype, sums.device)
    return (chosen @ sums.flatten(1)).reshape(size, *sums.shape[1:])


@lasting(64)
def _chosen(items: bytes, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (size, n): 1 where a row is an item's."""
    owner = sent(np.frombuffer(bytearray(items), np.int64), device)
    return (owner == torch.arange(size, device=device)[:, None]).to(dtype)
