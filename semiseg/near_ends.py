"""Posteriors that something of a kind starts, or ends, near a place: sums over the positions around."""

import numpy as np
from numpy.typing import NDArray

from .kernels.cpu.marginals import Part


def ends_of(gather: NDArray, part: Part) -> NDArray:
    """Return (n, 2 names) posteriors of starts at u..v-1, then of ends at u+1..v; `gather` (C, names) sums labels."""
    return np.concatenate([part.start @ gather, part.end @ gather], 1).astype(np.float32)


def near(ends: NDArray, slack: int, rows: NDArray, names: NDArray) -> tuple[NDArray, NDArray]:
    """Return (N,) posteriors that a segment of a name starts within `slack` of a row's start, and ends so near its end.

    Cuts between views lie far from the segments that are told about, so what is beyond one is left out.
    """
    sums = np.concatenate([np.zeros((1, ends.shape[1])), ends.cumsum(0, dtype=np.float64)])

    def around(at: NDArray, columns: NDArray) -> NDArray:
        low, high = np.clip(at - slack, 0, len(ends)), np.clip(at + slack + 1, 0, len(ends))
        return np.clip(sums[high, columns] - sums[low, columns], 0, 1)

    return around(rows[:, 0], names), around(rows[:, 1] - 1, names + ends.shape[1] // 2)
