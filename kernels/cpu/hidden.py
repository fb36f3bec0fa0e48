"""What lies hidden beyond a censored end: posteriors of the segments that began (end) there, and their durations."""

from math import lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .directions import Direction, State
from .meeting import across, weight
from .posteriors import Counts, count_durations


class Edge(NamedTuple):
    """Both directions at one end of a sequence, in one scale each."""

    here: Direction  # the one that begins there
    there: Direction  # the one that ends there
    start: State  # of the one that begins there
    end: State
    partition: Any  # of the two, one number


def edge_rows(edge: Edge) -> tuple[NDArray, NDArray, NDArray]:
    """Return the posteriors of what stands at one end: what starts there (C,), its ring (K, C), its folded rows."""
    x, y, z = edge.start, edge.end, edge.partition
    ring, folded = across(edge.there, y)
    ring = weight(x.ring + ring, z)[:, ::-1][:, : int(edge.here.x.longest.max())].T
    return weight(x.entry + y.alpha, z), ring, weight(x.folded + folded, z).T


def edge_counts(edge: Edge, way: int) -> Counts:
    """Return the expected durations hidden beyond a censored end: what the panels inside do not see.

    Beyond the end nothing depends on the input, so the counts repeat with the periods, each time times the tail:
    one panel of virtual positions and a geometric factor give the rest.
    """
    forward, sequence = (edge.there if way else edge.here), edge.here.x
    model = forward.model
    C, P = len(model.top), len(sequence.transitions)
    tails = sequence.tail.real > -np.inf
    cycle = lcm(P, *(int(p) for p in sequence.period[tails]))
    decay = np.where(tails, np.exp(np.where(tails, sequence.tail, 0) * cycle / sequence.period), 0)

    def count(n: int) -> Counts:
        out = Counts.zeros(forward)
        flat = np.zeros((n, C), forward.dtype)
        if way == 0:
            left, right = edge.start, edge.end
            starts = sequence.first[(sequence.origin - n + np.arange(n)) % P].astype(flat.dtype)
            ends = flat - np.inf
        else:
            left, right = edge.end, edge.start
            starts, ends = flat - np.inf, flat
        count_durations(
            model, forward.weights, (0, C), np.array([n]),
            *(x[None] for x in (flat, left.ring, left.folded, starts, right.ring, right.folded, ends)),
            np.array([edge.partition], flat.dtype), out.durations[None], out.tail_steps[None],
        )  # fmt: skip
        return out

    if way == 0:
        out = count(cycle)
        return Counts(out.transitions, out.durations / (1 - decay), out.tail_steps / (1 - decay))
    reach = int(sequence.longest.max()) + cycle
    near, far = count(reach), count(reach + cycle)
    steps = near.tail_steps + (far.tail_steps - near.tail_steps) / (1 - decay)
    return Counts(far.transitions, far.durations, steps)
