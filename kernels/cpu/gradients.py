"""log Z of sequences with its gradient for every leaf, in real or complex numbers.

In complex numbers this is a derivative of the gradient: with scores `x + i eps v` the imaginary parts are `eps` times
the Hessian's product with `v`, free of cancellation however small `eps` is. That is the expectation semiring's pass
without a second recursion.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..edges import virtual_phases
from ..plan import Plan
from ..resolve import Sequence
from .groups import Group, Pair, smooth
from .hidden import edge_rows
from .marginals import Part, Smoother
from .posteriors import Counts, Wanted


class Derivatives(NamedTuple):
    """log Z of N sequences, and its derivatives as `resolve.Gradients` has them; nothing behind their ends."""

    log_partition: NDArray  # (N,)
    emissions: NDArray
    durations: NDArray
    tail: NDArray
    transitions: NDArray
    scores: NDArray
    first: NDArray
    begin: NDArray
    finish: NDArray


def combine(smoother: Smoother, wanted: Wanted, each: Callable[[Part], None]) -> tuple[Counts, float]:
    """Hand every part to `each`; return the summed counts and the largest closing error between anchors."""
    counts, closing = Counts.zeros(smoother.forward), 0.0
    expected = None
    for part in smoother.parts(wanted):
        if expected is not None:
            closing = max(closing, float(np.abs(expected + part.start[0] - part.shares).max()))
        expected = part.closing
        if part.counts is not None:
            counts = counts.plus(part.counts)
        each(part)
    for way, censored in enumerate((smoother.x.left == "censored", smoother.x.right == "censored")):
        if censored and wanted.durations:
            counts = counts.plus(smoother.edge_counts(way))
    return counts, closing


def gradients_of(x: Sequence, plan: Plan, pool: ThreadPoolExecutor, wanted: Wanted, pair: Pair) -> Derivatives:
    """Return log Z of one sequence and its derivatives (zeros where not wanted), as those of a group of one."""
    smoother = Smoother(x, plan, pool, like=pair)
    T, C = x.emissions.shape
    dtype = smoother.forward.dtype
    emissions, scores = np.zeros((T, C), dtype), np.zeros((T + 1, x.scores.shape[1]), dtype)
    begin, finish = np.zeros(C, dtype), np.zeros(C, dtype)

    def keep(part: Part) -> None:
        emissions[part.u : part.v] = part.position
        if part.kinds is not None:
            scores[part.u : part.v] = part.kinds
        if part.u == 0 and x.left == "exact":
            begin[:] = part.start[0]
        if part.v == T and x.right == "exact":
            finish[:] = part.end[-1]

    counts, _ = combine(smoother, wanted, keep)
    first = virtual_starts(x, smoother.edge_rows(0)) if x.left == "censored" else np.zeros(x.first.shape, dtype)
    found = emissions, counts.durations, counts.tail_steps, counts.transitions, scores, first, begin, finish
    return Derivatives(np.array([smoother.log_partition()]), *(a[None] for a in found))


def gradients_of_group(group: Group, pool: ThreadPoolExecutor | None, wanted: Wanted) -> Derivatives:
    """Return log Z of short sequences and their derivatives (zeros where not wanted)."""
    x, n, C = group.x, group.lengths, group.x.emissions.shape[2]
    smoothed = smooth(group, pool)
    found, items = smoothed.find(wanted, pool), range(len(n))
    dtype = found.start.dtype
    counts = smoothed.counted(found, wanted)
    scores, first = np.zeros(x.scores.shape, dtype), np.zeros((len(n), *x.first.shape), dtype)
    begin, finish = np.zeros((len(n), C), dtype), np.zeros((len(n), C), dtype)
    if found.kinds is not None:
        scores[:, :-1] = found.kinds
    if x.left == "exact":
        begin[:] = found.start[:, 0]
    if x.right == "exact":
        finish[:] = found.end[items, n - 1]
    for i in items if x.left == "censored" else ():
        first[i] = virtual_starts(x, edge_rows(smoothed.edge(i, 0)))
    return Derivatives(
        smoothed.at_right.partition, found.position, counts.durations, counts.tail_steps, counts.transitions,
        scores, first, begin, finish,
    )  # fmt: skip


def virtual_starts(x: Sequence, rows: tuple[NDArray, NDArray, NDArray]) -> NDArray:
    """Return (P, C) the derivative for the weights of virtual starts from the posteriors at a censored left end."""
    entry, ring, folded = rows
    first = virtual_phases(ring, folded, x.first, x.longest, x.tail, x.period, x.origin)
    first[x.origin % len(first)] += entry
    return first
