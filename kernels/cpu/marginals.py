"""All posteriors of one sequence: settle both directions, then combine them panel by panel."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InfeasibleError
from ..plan import Plan
from ..resolve import Sequence
from ..results import Report
from .chunks import Chunks
from .directions import Direction, State
from .hidden import Edge, edge_counts, edge_rows
from .meeting import anchor
from .passes import Passes
from .posteriors import Counts, Found, Panel, Wanted, find
from .threads import spread


class Part(NamedTuple):
    """Posteriors of one panel [u, v)."""

    u: int
    v: int
    start: NDArray  # (n, C) at u..v-1
    end: NDArray  # (n, C) at u+1..v
    position: NDArray  # (n, C)
    kinds: NDArray | None  # (n, types) at u..v-1
    counts: Counts | None
    shares: NDArray  # (C,) of position u
    closing: NDArray  # (C,) running posterior of position v, but for what starts there

    def inside(self, x: Sequence) -> Found:
        """Return the posteriors as one of several, without those of what begins (ends) beyond a censored end."""
        if self.u == 0 and x.left == "censored":
            self.start[0] = 0
        if self.v == len(x.emissions) and x.right == "censored":
            self.end[-1] = 0
        kinds = None if self.kinds is None else self.kinds[None]
        return Found(self.start[None], self.end[None], self.position[None], kinds, None)


def final_partition(chunks: Chunks, backward: Direction):
    """Return log Z from a settled forward pass and the right edge."""
    x = chunks.last()
    right = backward.start() if len(chunks.starts) < 2 or chunks.starts[1] is None else chunks.starts[1]
    z = anchor(chunks.directions[0], x, backward, right._replace(position=0)).partition
    if z.real == -np.inf:
        raise InfeasibleError(0, backward.length)
    return z + x.offset + right.offset + chunks.constants(0)[-1]


class Smoother(Passes):
    """Settled passes of one sequence, ready to give posteriors panel by panel."""

    chunks: Chunks

    def __init__(
        self,
        x: Sequence,
        plan: Plan,
        pool: ThreadPoolExecutor,
        left: State | None = None,
        right: State | None = None,
        *,
        like: tuple[Direction, Direction] | tuple[None, None] = (None, None),
    ):
        self.x, self.plan, self.pool = x, plan, pool
        self.forward = Direction(x, like=like[0])
        self.backward = Direction(x, reverse=True, like=like[1] or self.forward)
        self.chunks = Chunks([self.forward, self.backward], plan, pool, left, right)
        self.settled = self.chunks.settle()
        self.length = self.forward.length
        # at once: both passes can be alive everywhere and still not meet
        self.partition = final_partition(self.chunks, self.backward)

    def log_partition(self):
        """Return log Z."""
        return self.partition

    def panel(self, chunk: int, u: int, v: int) -> Panel:
        """Return the scores of one stretch and the normaliser at its left boundary."""
        before, behind = self.chunks.state(0, chunk, u), self.chunks.state(1, chunk, v)
        first, second = self.chunks.values(0, chunk, u, v), self.chunks.values(1, chunk, u, v)
        near = self.chunks.state(1, chunk, u)
        z = anchor(self.forward, before, self.backward, near)
        return Panel(
            u, v, before, behind,
            alpha=np.concatenate([(before.alpha + before.offset)[None], first.alpha]),
            h=first.h,
            f=np.ascontiguousarray(second.alpha[::-1]),
            beta=np.ascontiguousarray(second.h[::-1]),
            partition=z.partition + before.offset + near.offset,
            shares=z.shares,
        )  # fmt: skip

    def parts(self, wanted: Wanted) -> Iterator[Part]:
        """Yield the posteriors of all panels in order; a few panels are in flight at a time."""
        panels = self.panels()
        if len(panels) == 1:  # then its labels share the threads
            yield self.part(self.panel(*panels[0]), wanted, self.pool)
            return
        width = 2 * self.pool._max_workers
        for i in range(0, len(panels), width):
            yield from spread(self.pool, lambda where: self.part(self.panel(*where), wanted), panels[i : i + width])

    def part(self, p: Panel, wanted: Wanted, pool: ThreadPoolExecutor | None = None) -> Part:
        """Return the posteriors of one panel; `pool`: threads that are free to help."""
        found = find(self.forward, p.alone(self.forward, wanted.changes), wanted, pool)
        start, end, position = found.start[0], found.end[0], found.position[0]
        counts = None if found.counts is None else Counts(*(x[0] for x in found.counts))
        kinds = None if found.kinds is None else found.kinds[0]
        return Part(p.u, p.v, start, end, position, kinds, counts, p.shares, position[-1] - end[-1])

    def _edge(self, way: int) -> Edge:
        """Return the states of both directions at one end of the sequence, and their partition."""
        chunk, t = (0, 0) if way == 0 else (self.plan.chunks - 1, self.length)
        x, y = self.chunks.state(way, chunk, t), self.chunks.state(1 - way, chunk, t)
        here, there = (self.forward, self.backward) if way == 0 else (self.backward, self.forward)
        partition = anchor(here, x._replace(position=0), there, y).partition
        return Edge(here, there, x._replace(offset=0), y._replace(offset=0), partition)

    def edge_rows(self, way: int) -> tuple[NDArray, NDArray, NDArray]:
        """Return the posteriors of what stands at one end: what starts there (C,), its ring (K, C), its folded rows."""
        return edge_rows(self._edge(way))

    def edge_counts(self, way: int) -> Counts:
        """Return the expected durations hidden beyond a censored end: what the panels inside do not see."""
        return edge_counts(self._edge(way), way)

    def report(self, closing: float) -> Report:
        s = self.settled
        return Report(self.plan.chunks, s.rounds, s.repaired, s.gap, s.certificate, closing)
