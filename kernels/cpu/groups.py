"""Short sequences of a batch, a group at a time: each in one stretch, both ways, and then its posteriors.

What Python and calls of compiled code take at all is paid once a group; for short sequences that is most of the time.
Longer ones are cut into chunks and panels (`chunks.py`, `marginals.py`). The recursion, the normaliser and the
posteriors are the same functions in both.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError
from ..resolve import Sequence
from .directions import Direction, State
from .hidden import Edge, edge_counts
from .meeting import Anchor, across, meet
from .posteriors import Counts, Found, Stretches, Wanted, find
from .threads import spread

Pair = tuple[Direction, Direction]  # forward and backward through any sequence of the model


class Group(NamedTuple):
    """N short sequences of one model, each with a first axis N in its own arrays."""

    x: Sequence  # emissions (N, T, C), scores (N, T + 1, columns), begin and finish (N, C)
    lengths: NDArray  # (N,) int64
    pair: Pair

    def item(self, i: int) -> Sequence:
        """Return one of the sequences."""
        return single(self.x, i, self.lengths[i])


def single(x: Sequence, i: int, n: int) -> Sequence:
    """Return one of several sequences, of n positions."""
    return x._replace(emissions=x.emissions[i, :n], scores=x.scores[i, : n + 1], begin=x.begin[i], finish=x.finish[i])


class Passed(NamedTuple):
    """One way through the sequences of a group, in its own order."""

    start: State  # N of them
    end: State
    offsets: NDArray  # (N,) what the scores of `end` are relative to
    alpha: NDArray  # (N, T, C) at the boundaries behind the first
    h: NDArray  # (N, T, C) at the boundaries before the last


def travel(group: Group, way: int) -> Passed:
    """Return one way through the sequences of a group; behind their ends nothing is alive."""
    x, lengths, direction = group.x, group.lengths, group.pair[way]
    N, T, C = x.emissions.shape
    emissions, scores, phases = x.emissions, x.scores[:, :T], np.full(N, x.origin)
    if way == 1:
        emissions = turned(emissions, lengths)
        scores, phases = turned(x.scores, lengths + 1)[:, :T], -x.origin - lengths
    start = direction.start(N)
    if (x.left, x.right)[way] == "exact":
        start.entry[:] = (x.begin, x.finish)[way]
    end = State(0, 0, *(a.copy() for a in start[2:]))
    alpha, h = (np.full((N, T, C), direction.never, direction.dtype) for _ in range(2))
    emissions, scores = (np.ascontiguousarray(a, dtype=direction.dtype) for a in (emissions, scores))
    bases = direction.advance(emissions, scores, phases, 0, lengths, (*end[2:], alpha, h), direction.alive())
    dead = bases.real <= direction.never / 2
    if dead.any():
        i, forward = int(dead.argmax()), group.pair[0]
        raise InfeasibleError(i, Direction(group.item(i), tables=forward.tables, like=forward).unreached())
    return Passed(start, end, bases, alpha, h)


def turned(rows: NDArray, lengths: NDArray) -> NDArray:
    """Return (N, n, .) rows in the order of the other way; what lies behind `lengths` stays there or is repeated."""
    n = rows.shape[1]
    if lengths.min() == n:
        return np.ascontiguousarray(rows[:, ::-1])
    at = lengths[:, None] - 1 - np.arange(n)
    return rows[np.arange(len(rows))[:, None], np.where(at >= 0, at, n - 1)]


def through(direction: Direction, other: Passed) -> Iterator[NDArray]:
    """Yield (N, C, .) scores of the segments through the end where a direction begins, where that cuts any."""
    if (direction.x.right if direction.reverse else direction.x.left) == "censored":
        if direction.beyond is None:  # the same for all groups
            direction.beyond = across(direction, direction.start())
        for beyond, rows in zip(direction.beyond, (other.end.ring, other.end.folded), strict=True):
            yield rows + other.offsets[:, None, None] + beyond


def at_right(group: Group, forward: Passed) -> Anchor:
    """Return (N,) log partitions from the forward passes and the right end, and (N, C) labels' shares there."""
    ends = forward.alpha[np.arange(len(group.lengths)), group.lengths - 1]
    after = group.x.finish if group.x.right == "exact" else 0.0
    found = meet(ends + after, *through(group.pair[1], forward))
    dead = found.partition.real == -np.inf
    if dead.any():
        i = int(dead.argmax())
        raise InfeasibleError(i, int(group.lengths[i]))
    return found


class Smoothed(NamedTuple):
    """Both ways through the sequences of a group, ready to give posteriors."""

    group: Group
    passed: tuple[Passed, Passed]
    stretches: Stretches
    at_right: Anchor

    def find(self, wanted: Wanted, pool: ThreadPoolExecutor | None = None) -> Found:
        """Return the posteriors of all sequences; `pool`: threads that are free to help."""
        return find(self.group.pair[0], self.stretches, wanted, pool)

    def inside(self, found: Found) -> Found:
        """Return the posteriors without those of what begins (ends) beyond a censored end."""
        x, lengths = self.group.x, self.group.lengths
        if x.left == "censored":
            found.start[:, 0] = 0
        if x.right == "censored":
            found.end[np.arange(len(lengths)), lengths - 1] = 0
        return found

    def counted(self, found: Found, wanted: Wanted) -> Counts:
        """Return the counts of all sequences, those of what is hidden beyond censored ends included."""
        counts, N = found.counts, len(self.group.lengths)
        if counts is None:
            return Counts.zeros(self.group.pair[0], N)
        for way, edge in enumerate((self.group.x.left, self.group.x.right)):
            for i in range(N) if wanted.durations and edge == "censored" else ():
                for total, hidden in zip(counts, edge_counts(self.edge(i, way), way), strict=True):
                    total[i] += hidden
        return counts

    def edge(self, i: int, way: int) -> Edge:
        """Return the states of both ways at one end of a sequence, and their partition."""
        here, there = self.group.pair if way == 0 else self.group.pair[::-1]
        start, end = (State(0, 0, *(a[i] for a in s[2:])) for s in (self.passed[way].start, self.passed[1 - way].end))
        partition = (self.stretches, self.at_right)[way].partition[i] - self.passed[1 - way].offsets[i]
        return Edge(here, there, start, end, partition)


def smooth(group: Group, pool: ThreadPoolExecutor | None = None) -> Smoothed:
    """Return both ways through a group; `pool`: threads that are free to help."""
    pair, lengths, T = group.pair, group.lengths, group.x.emissions.shape[1]
    emissions, scores = (np.ascontiguousarray(a, pair[0].dtype) for a in (group.x.emissions, group.x.scores))
    x = group.x._replace(emissions=emissions, scores=scores)
    group = group._replace(x=x)
    one, two = spread(pool, lambda way: travel(group, way), (0, 1))
    right = at_right(group, one)
    f, beta = (turned(rows, lengths) for rows in (two.alpha, two.h))
    left = meet(one.h[:, 0] + f[:, 0], *through(pair[0], two))
    if lengths.min() < T:
        emissions = np.where((np.arange(T) < lengths[:, None])[..., None], emissions, -np.inf)
    stretches = Stretches(
        lengths=lengths,
        phases=np.full(len(lengths), x.origin),
        emissions=emissions,
        scores=np.ascontiguousarray(scores[:, :-1]),
        open_left=(one.start.ring, one.start.folded),
        open_right=(two.start.ring, two.start.folded),
        alpha=np.concatenate([one.start.alpha[:, None], one.alpha], axis=1),
        h=one.h,
        f=f,
        beta=beta,
        partition=left.partition,
        shares=left.shares,
    )
    return Smoothed(group, (one, two), stretches, right)
