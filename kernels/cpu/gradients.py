"""log Z of one sequence with its gradient for every leaf, in real or complex numbers.

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
from .marginals import Part, Smoother, Wanted
from .posteriors import Counts


class Gradients(NamedTuple):
    """The derivative of log Z for each leaf of one sequence (see `resolve.Leaves`)."""

    emissions: NDArray  # (T, C) position posteriors
    durations: NDArray  # (K + 1, C) expected durations, hidden lengths of cut segments included
    tail: NDArray  # (C,) expected periods spent in the tail
    transitions: NDArray  # (P, C, C) expected label changes
    scores: NDArray  # (T + 1, n) boundary posteriors by type
    first: NDArray  # (P, C)
    begin: NDArray  # (C,)
    finish: NDArray  # (C,)


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


def partition_and_gradients(
    x: Sequence, plan: Plan, pool: ThreadPoolExecutor, wanted: Wanted
) -> tuple[complex | float, Gradients]:
    """Return log Z and its gradient (zeros where not wanted)."""
    smoother = Smoother(x, plan, pool)
    T, C = x.emissions.shape
    dtype = smoother.forward.dtype
    emissions, scores = np.zeros((T, C), dtype), np.zeros((T + 1, x.scores.shape[1]), dtype)
    begin, finish, first = np.zeros(C, dtype), np.zeros(C, dtype), np.zeros(x.first.shape, dtype)

    def keep(part: Part) -> None:
        emissions[part.u : part.v] = part.position
        if part.kinds is not None:
            scores[part.u : part.v] = part.kinds
        if part.u == 0 and x.left == "exact":
            begin[:] = part.start[0]
        if part.v == T and x.right == "exact":
            finish[:] = part.end[-1]

    counts, _ = combine(smoother, wanted, keep)
    if x.left == "censored":
        entry, ring, folded = smoother.edge_rows(0)
        first += virtual_phases(ring, folded, x.first, x.longest, x.tail, x.period, x.origin)
        first[x.origin % len(x.first)] += entry
    gradients = Gradients(
        emissions, counts.durations, counts.tail_steps, counts.transitions, scores, first, begin, finish
    )
    return smoother.log_partition(), gradients
