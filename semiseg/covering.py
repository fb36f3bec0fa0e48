"""How well called change points agree with true ones: Covering (Arbelaez 2010), and F1 of points that are near enough.

A change point is the first position of a segment. What is called nowhere is scored too: then a series is one segment.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError

TOLERANCE = 0.01  # of a series


class Changes(NamedTuple):
    """Change points of a series, and its length where that is known."""

    points: tuple[int, ...]
    length: int | None = None


class Agreement(NamedTuple):
    """About one series; all scores are 0 where nothing was said about it."""

    name: str
    length: int
    true: int
    called: int
    covering: float
    f1: float  # 1 if there is no change point and none is called
    f1_tcpd: float  # with the start of the series as one more on both sides, as TCPDBench counts


class Scores(NamedTuple):
    """About all series."""

    series: list[Agreement]
    missing: tuple[str, ...]

    def mean(self, score: str) -> float:
        """Return the mean of a score."""
        return float(np.mean([getattr(x, score) for x in self.series]))

    def median(self, score: str) -> float:
        """Return the median of a score."""
        return float(np.median([getattr(x, score) for x in self.series]))


def score(truth: Mapping[str, Changes], calls: Mapping[str, Changes], tolerance: float = TOLERANCE) -> Scores:
    """Return how calls agree with the truth; the length of a series is the truth's, or else that of the calls."""
    out, missing = [], []
    for name, true in sorted(truth.items()):
        called = calls.get(name)
        length = true.length or (called.length if called else None)
        if called is None:
            missing.append(name)
            out.append(Agreement(name, length or 0, len(true.points), 0, 0.0, 0.0, 0.0))
            continue
        if length is None:
            raise SemisegError(f"{name}: how long is it? Give the folder of the series with --dir, or calls as BED")
        t, c = inside(true.points, length), inside(called.points, length)
        near = tolerance * length
        figures = covering(t, c, length), f1(t, c, near), f1([0, *t], [0, *c], near)
        out.append(Agreement(name, length, len(t), len(c), *figures))
    if not out:
        raise SemisegError("the truth is about no series")
    return Scores(out, tuple(missing))


def inside(points: Sequence[int], length: int) -> list[int]:
    """Return the points that divide a series, in order."""
    return sorted({p for p in points if 0 < p < length})


def covering(true: Sequence[int], called: Sequence[int], length: int) -> float:
    """Return the mean over positions of how well a called segment overlaps the true one there: over their union."""
    t, c = edges(true, length), edges(called, length)
    both = np.minimum(t[1:, None], c[1:]) - np.maximum(t[:-1, None], c[:-1])
    sizes = np.diff(t)
    overlap = both.clip(0) / (sizes[:, None] + np.diff(c) - both.clip(0))
    return float((overlap.max(1) * sizes).sum() / length)


def edges(points: Sequence[int], length: int) -> NDArray:
    """Return where segments begin, and the end."""
    return np.array([0, *points, length])


def f1(true: Sequence[int], called: Sequence[int], near: float) -> float:
    """Return F1 of points in order, matched one to one within a distance."""
    if not true:
        return float(not called)
    i = j = right = 0
    while i < len(true) and j < len(called):
        if abs(true[i] - called[j]) <= near:
            right, i, j = right + 1, i + 1, j + 1
        elif true[i] < called[j]:
            i += 1
        else:
            j += 1
    return 2 * right / (len(true) + len(called))
