"""What lies hidden beyond a censored end: posteriors of the segments that began (end) there, and their durations."""

from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import scratch
from .directions import Direction, State
from .meeting import reach_back
from .posteriors import Counts, count_durations, weight


class Edge(NamedTuple):
    """Both directions at one end of a sequence, in one scale each."""

    here: Direction  # the one that begins there
    there: Direction  # the one that ends there
    start: State  # of the one that begins there
    end: State
    partition: float | complex  # of the two


def edge_rows(edge: Edge) -> tuple[NDArray, NDArray, NDArray]:
    """Return the posteriors of what stands at one end: what starts there (C,), its ring (K, C), its folded rows."""
    x, y, z = edge.start, edge.end, edge.partition
    ring, folded = scratch(y.ring.shape, y.ring.dtype), scratch(y.folded.shape, y.folded.dtype)
    reach_back(edge.there.model, edge.there.weights, y.ring, y.folded, ring, folded)
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
            model, forward.weights, (0, C), flat, left.ring, left.folded, starts, right.ring, right.folded, ends,
            edge.partition, out.durations, out.tail_steps,
        )  # fmt: skip
        return out

    if way == 0:
        out = count(cycle)
        return Counts(out.transitions, out.durations / (1 - decay), out.tail_steps / (1 - decay))
    reach = int(sequence.longest.max()) + cycle
    near, far = count(reach), count(reach + cycle)
    steps = near.tail_steps + (far.tail_steps - near.tail_steps) / (1 - decay)
    return Counts(far.transitions, far.durations, steps)
