"""How far the posteriors of called exons can be believed."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.98, 1.0)  # of the bins; an edge belongs to the bin above it, 1 to the last one
CURVE = 200  # most points of a precision-recall curve


class Bin(NamedTuple):
    """The called exons whose posterior lies between two edges."""

    low: float
    high: float
    exons: int
    posterior: float  # mean
    right: float  # share


class CurvePoint(NamedTuple):
    """Accuracy of the exons that are called with at least this posterior."""

    posterior: float
    precision: float
    recall: float


class Reliability(NamedTuple):
    """Posteriors of the called exons that have one, against whether the exon is right."""

    exons: int
    ece: float  # mean over the exons of |mean posterior - share right| of their bin
    brier: float
    bins: tuple[Bin, ...]  # those that hold an exon
    curve: tuple[CurvePoint, ...]  # falling posteriors


def measure(belief: NDArray, right: NDArray, true: int) -> Reliability:
    """Reliability of (N,) posteriors of exons that are right or not, where `true` exons could be found; N >= 1."""
    which = np.digitize(belief, EDGES[1:-1])
    bins = tuple(
        Bin(low, high, int(inside.sum()), float(belief[inside].mean()), float(right[inside].mean()))
        for i, (low, high) in enumerate(pairwise(EDGES))
        if (inside := which == i).any()
    )
    return Reliability(
        exons=len(belief),
        ece=sum(row.exons * abs(row.posterior - row.right) for row in bins) / len(belief),
        brier=float(((belief - right) ** 2).mean()),
        bins=bins,
        curve=tuple(trace_curve(belief, right, true)),
    )


def trace_curve(belief: NDArray, right: NDArray, true: int) -> Iterator[CurvePoint]:
    """Precision and recall at falling posteriors: all of them, or some that are evenly spaced in rank."""
    order = np.argsort(-belief)
    hits = np.cumsum(right[order])
    last = np.flatnonzero(np.diff(belief[order], append=-1))  # of the exons with the same posterior
    for i in last[np.unique(np.linspace(0, len(last) - 1, CURVE).round().astype(int))].tolist():
        found = int(hits[i])
        yield CurvePoint(float(belief[order[i]]), found / (i + 1), found / true if true else 0.0)
