"""Spans of coordinates summed up in bins, in order and in memory that does not grow."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW = 1 << 16  # bins that are given out at once
AT_ONCE = 1 << 20  # parts of spans in bins that are added up at once


class Spans(NamedTuple):
    """Some spans of one contig; what follows begins no further left than `reached`."""

    starts: NDArray  # (N,) int64
    ends: NDArray  # (N,) int64
    values: NDArray  # (N,) float64
    reached: int


class Binned(NamedTuple):
    """Values of the next bins of a contig; NaN where nothing is known."""

    contig: str
    first: int
    values: NDArray  # (n,) float32


class Window:
    """Sums over the bins at hand."""

    def __init__(self, bin_size: int, first: int, n: int) -> None:
        self.bin_size, self.first, self.n = bin_size, first, n
        self.start, self.end = first * bin_size, (first + n) * bin_size
        self.covered, self.sum = np.zeros(n), np.zeros(n)  # float64 holds whole numbers exactly

    def add(self, spans: Spans) -> Spans:
        """Add what lies in the bins; return what reaches further."""
        starts, ends, values, reached = spans
        mine = starts < self.end
        self._add(starts[mine] - self.start, np.minimum(ends[mine], self.end) - self.start, values[mine])
        beyond = ends > self.end
        return Spans(np.maximum(starts[beyond], self.end), ends[beyond], values[beyond], reached)

    def _add(self, starts: NDArray, ends: NDArray, values: NDArray) -> None:
        size = self.bin_size
        counts = (ends - 1) // size - starts // size + 1
        total = np.cumsum(counts)
        inner = np.searchsorted(total, np.arange(AT_ONCE, total[-1] if len(total) else 0, AT_ONCE), "right")
        for a, b in pairwise([0, *inner.tolist(), len(starts)]):
            n = counts[a:b]
            place = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)  # of a part among those of its span
            rows = np.repeat(starts[a:b] // size, n) + place
            low, high = (np.repeat(x[a:b], n) for x in (starts, ends))
            overlap = (np.minimum(high, (rows + 1) * size) - np.maximum(low, rows * size)).astype(float)
            self.covered += np.bincount(rows, overlap, self.n)
            self.sum += np.bincount(rows, overlap * np.repeat(values[a:b], n), self.n)


def binned(contig: str, spans: Iterator[Spans], length: int, bin_size: int, is_coverage: bool) -> Iterator[Binned]:
    """Yield the mean over what is covered of every bin, NaN where nothing is; or the coverage, 0 where nothing is."""
    bins = -(-length // bin_size)

    def window(first: int) -> Window:
        return Window(bin_size, first, min(WINDOW, bins - first))

    def done(at: Window) -> Binned:
        with np.errstate(invalid="ignore"):
            wide = np.minimum(bin_size, length - (at.first + np.arange(at.n)) * bin_size)
            values = at.sum / (wide if is_coverage else at.covered)
        return Binned(contig, at.first, values.astype(np.float32))

    at = window(0)
    waiting: list[Spans] = []
    for some in spans:
        rest = at.add(some)
        waiting += [rest] if len(rest.starts) else []
        while some.reached >= at.end and at.first + at.n < bins:
            yield done(at)
            at = window(at.first + at.n)
            waiting = [rest for rest in map(at.add, waiting) if len(rest.starts)]
    while at.n:
        yield done(at)
        at = window(at.first + at.n)
        waiting = [rest for rest in map(at.add, waiting) if len(rest.starts)]
