"""Signals in units of their own spread, so that gains and units of recordings do not matter.

A block's centre is its median, its spread its standard deviation; a recording has the medians of those of its blocks,
which bursts of noise do not move, nor how often something large happens. Long recordings are looked at here and there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SECONDS = 2.0  # of a block
BLOCKS = 64  # of a recording that are looked at, at most


class Scale(NamedTuple):
    """How a signal is seen."""

    centre: float
    spread: float  # 0: it is constant, or nothing is known

    def apply(self, x: NDArray) -> NDArray:
        """Return the signal in units of its spread."""
        return (x - np.float32(self.centre)) / np.float32(self.spread)


def scale_of(read: Callable[[int, int], NDArray], length: int, rate: float) -> Scale:
    """Return the scale of (length,) samples, NaN where nothing is known, that `read` gives."""
    block = max(2, round(SECONDS * rate))
    starts = np.arange(0, max(1, length - block // 2), block)
    if len(starts) > BLOCKS:
        starts = starts[np.linspace(0, len(starts) - 1, BLOCKS).round().astype(int)]
    found = []
    for start in starts:
        x = read(int(start), min(int(start) + block, length)).astype(np.float64)
        x = x[~np.isnan(x)]
        if len(x) >= 2:
            found.append((np.median(x), x.std()))
    if not found:
        return Scale(0.0, 0.0)
    centre, spread = np.median(np.array(found), axis=0)
    if spread == 0:  # most of it is flat: what moves says how large it is
        spread = max(s for _, s in found)
    return Scale(float(centre), float(spread))
