"""Positions that name their scores by row, and runs of one row, passed in blocks of 2, 4, 8, ... positions."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled

DEEPEST = 12  # no block has more than 2 ** so many positions


class Places(NamedTuple):
    """The rows that positions of several sequences name."""

    rows: NDArray[np.int32]  # one sequence after the other
    ends: NDArray[np.int64]  # (B + 1,) of the sequences in it, from 0 on
    runs: NDArray[np.int64]  # (R, levels) of each row: those with room for a block of 2 ** level positions

    def each(self) -> Iterator[NDArray[np.int32]]:
        """Yield the rows of each sequence."""
        return (self.rows[a:b] for a, b in pairwise(self.ends.tolist()))


def places_of(each: Sequence[NDArray[np.int32]]) -> Places:
    """Return the places of sequences of one position or more."""
    rows, ends = np.concatenate(each), np.cumsum([0, *map(len, each)])
    runs = np.zeros((int(rows.max()) + 1, DEEPEST + 1), np.int64)
    for a, b in pairwise(ends.tolist()):
        _runs(rows[a:b], runs)
    levels = int(np.flatnonzero(runs.any(0)).max(initial=0)) + 1
    # a copy: where all rows differ it is kept with them, and a view would keep what it was made of
    return Places(rows, ends, np.cumsum(runs[:, levels - 1 :: -1], 1)[:, ::-1].copy())


@compiled
def _runs(place, counts):
    """Count the runs of each row in (R, levels), by the largest block that fits; a sequence begins with a position."""
    run = 1
    for t in range(2, len(place) + 1):
        if t < len(place) and place[t] == place[t - 1]:
            run += 1
            continue
        level = 0
        while run >> (level + 1) and level + 1 < counts.shape[1]:
            level += 1
        counts[place[t - 1], level] += 1
        run = 1


@compiled
def blocks_of(place, index, blocks):
    """Fill (n, 2) `blocks`, of a row and a matrix (0: one position), and return how many; the first is a position.

    `index` (R, levels) has the matrices of the blocks of rows, and 0 where there are none.
    """
    n, t = 1, 1
    blocks[0, 0], blocks[0, 1] = place[0], 0
    while t < len(place):
        row, end = place[t], t + 1
        while end < len(place) and place[end] == row:
            end += 1
        level = index.shape[1] - 1
        while t < end:
            while level > 0 and (index[row, level] == 0 or end - t < 1 << level):
                level -= 1
            blocks[n, 0], blocks[n, 1] = row, index[row, level]
            n += 1
            t += 1 << level
    return n
