"""Tables of values, one row a position: equal rows, and what columns hold."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled

MULTIPLIER = 0x9E3779B97F4A7C15  # odd, its bits far from any pattern
ROOM = 4  # places of a hash table for each row in it, at least


class Distinct(NamedTuple):
    """Rows of which all others are copies."""

    chosen: NDArray[np.int64]  # (R,) the first of each kind
    place: NDArray[np.int32]  # (n,) of every row among them


def distinct(values: NDArray, most: int) -> Distinct | None:
    """Return the rows of (n, D) float64 that differ in any bit; None where there are more than `most`.

    Their order is that of hashes of what they hold, not of where they are.
    """
    bits = np.ascontiguousarray(values).view(np.uint64)
    chosen, keys, place = np.empty(most, np.int64), np.empty(most, np.uint64), np.empty(len(bits), np.int32)
    table = np.full(1 << (ROOM * max(1, most) - 1).bit_length(), -1, np.int32)
    n = _distinct(bits, table, chosen, keys, place)
    if n < 0:
        return None
    order = np.argsort(keys[:n], kind="stable")
    rank = np.empty(n, np.int32)
    rank[order] = np.arange(n, dtype=np.int32)
    return Distinct(chosen[order], rank[place])


@compiled
def _distinct(bits, table, chosen, keys, place):
    """Fill `chosen`, the `keys` of these rows and `place`; return how many there are, -1 if there is no room."""
    n, mask = 0, np.uint64(len(table) - 1)
    for i in range(len(bits)):
        key = np.uint64(0)
        for x in bits[i]:
            key = (key ^ (x ^ (x >> np.uint64(29)))) * np.uint64(MULTIPLIER)
            key ^= key >> np.uint64(32)
        at = key & mask
        while table[at] >= 0 and not _equal(bits[chosen[table[at]]], bits[i]):
            at = (at + np.uint64(1)) & mask
        if table[at] < 0:
            if n == len(chosen):
                return -1
            chosen[n], keys[n], table[at] = i, key, n
            n += 1
        place[i] = table[at]
    return n


@compiled(inline=True)
def _equal(one, other):
    same = True
    for i in range(len(one)):
        same &= one[i] == other[i]
    return same


class Columns(NamedTuple):
    """What (D,) columns hold where they are not NaN."""

    known: NDArray[np.int64]  # values
    mean: NDArray  # 0 where there is none
    spread: NDArray  # sum of squares around the mean
    least: NDArray
    most: NDArray
    whole: NDArray[np.bool_]  # all are integers


def columns(values: NDArray) -> Columns:
    """Return what the columns of (n, D) hold."""
    D = values.shape[1]
    found = Columns(
        np.zeros(D, np.int64), np.zeros(D), np.zeros(D), np.full(D, np.inf), np.full(D, -np.inf), np.ones(D, bool)
    )
    _columns(values, *found)
    return found


@compiled
def _columns(values, known, mean, spread, least, most, whole):
    n, D = values.shape
    for i in range(n):
        for d in range(D):
            x = values[i, d]
            if not np.isnan(x):
                known[d] += 1
                mean[d] += x
                least[d] = min(least[d], x)
                most[d] = max(most[d], x)
                whole[d] &= x == np.rint(x)
    for d in range(D):
        mean[d] /= max(1, known[d])
    for i in range(n):
        for d in range(D):
            x = values[i, d]
            if not np.isnan(x):
                spread[d] += (x - mean[d]) ** 2
