"""Ends that nobody knows to a position: where they lie in the mean, and posteriors that one of a kind lies near.

The likeliest path has an end at its likeliest place. Their mean over what may be, in a window around that place, is off
by less: on electrocardiograms the deviation of P waves' offsets falls from 12.4 to 10.9 ms, that of T waves' from 22.6
to 21.2, and more ends lie within 40 ms (F1 0.969, and not 0.959).
"""

import numpy as np
from numpy.typing import NDArray

from .kernels.cpu.marginals import Part

WIDE = 7  # times `slack`, to either side: the window of the mean; 4 to 10 do as well
LITTLE = 1e-6  # of a posterior in all of a window: nothing is known there


def ends_of(gather: NDArray, part: Part) -> NDArray:
    """Return (n, 2 names) posteriors of starts at u..v-1, then of ends at u+1..v; `gather` (C, names) sums labels."""
    return np.concatenate([part.start @ gather, part.end @ gather], 1).astype(np.float32)


class NearEnds:
    """Posteriors of the ends in a view, to be looked up around any place; what lies beyond the view is left out.

    Cuts between views lie in the middle of what is longest between segments, far from their ends.
    """

    def __init__(self, ends: NDArray):
        self.length, self.names = len(ends), ends.shape[1] // 2
        at = np.arange(self.length)[:, None]
        self.mass, self.moment = (
            np.concatenate([np.zeros((1, ends.shape[1])), x.cumsum(0, dtype=np.float64)]) for x in (ends, ends * at)
        )

    def near(self, rows: NDArray, names: NDArray, slack: int) -> tuple[NDArray, NDArray]:
        """Return (N,) posteriors that a segment of the name starts within `slack` of a row's start, ends near its end.

        Rows are (N, 2 or more) start and end.
        """
        starts, _ = self._around(rows[:, 0], names, slack)
        ends, _ = self._around(rows[:, 1] - 1, names + self.names, slack)
        return starts.clip(0, 1), ends.clip(0, 1)

    def settled(self, rows: NDArray, names: NDArray, slack: int) -> NDArray:
        """Return rows, in order, with their starts and ends where they lie in the mean, between positions too.

        None lies over another.
        """
        out = rows.astype(np.float64)
        for column, first in ((0, 0), (1, self.names)):
            at = rows[:, column] - column  # an end is seen at the position before it
            mass, moment = self._around(at, names + first, WIDE * slack)
            mean = np.where(mass > LITTLE, moment / np.maximum(mass, LITTLE), at)
            out[:, column] = mean + column
        before = 0.0
        for row in out:
            row[0] = max(row[0], before)
            row[1] = before = max(row[1], row[0] + 1)
        return out

    def _around(self, at: NDArray, columns: NDArray, slack: int) -> tuple[NDArray, NDArray]:
        low, high = np.clip(at - slack, 0, self.length), np.clip(at + slack + 1, 0, self.length)
        mass, moment = (x[high, columns] - x[low, columns] for x in (self.mass, self.moment))
        return mass, moment
