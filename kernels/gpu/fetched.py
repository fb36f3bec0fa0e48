"""One item's settled passes, fetched chunk by chunk, for what walks on the CPU: calls and samples.

Stands where `cpu/chunks.py` and `cpu/marginals.py` do: a chunk is a panel, and its scores come from the device.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cpu.chunks import Values
from ..cpu.directions import Direction, State
from ..cpu.passes import Passes
from ..cpu.posteriors import Panel
from ..resolve import Sequence
from .advance import Rows
from .smoother import Smoother, host_state, in_nats
from .tiles import FLOOR, LOG2E


class Kept(NamedTuple):
    """What `cpu/trace.py` asks of a plan."""

    chunks: int
    keep: bool = True  # a fetch is no computation: one chunk ahead is enough


class FetchedChunks:
    """The chunks of one item."""

    def __init__(self, smoother: Smoother, x: Sequence, item: int):
        self.smoother = smoother
        self.directions = Direction(x), Direction(x, reverse=True)
        self.starts = (None, None)  # the item's own ends, as they are
        self.mine = np.flatnonzero(smoother.chunks.item == item)
        self.plan = Kept(len(self.mine))

    def panels(self) -> Iterator[tuple[int, int, int]]:
        """Yield (chunk, first boundary, last boundary), in order."""
        c = self.smoother.chunks
        for i, chunk in enumerate(self.mine):
            yield i, int(c.left[chunk]), int(c.right[chunk])

    def constants(self, way: int) -> list[float]:
        """Return what must be added to each chunk's scores to put all of one direction on one scale."""
        return (self.smoother.constants[way].cpu().numpy()[self.mine] / LOG2E).tolist()

    def state(self, way: int, chunk: int, t: int) -> State:
        """Return the state of one direction at an end of a chunk (forward coordinates)."""
        c, at = self.smoother.chunks, int(self.mine[chunk])
        begins = t == (c.left, c.right)[way][at]
        place = c.place(way, at)
        direction = self.directions[way]
        position = t if way == 0 else direction.length - t
        return host_state(direction, in_nats((c.starts if begins else c.ends).at(place)), position)

    def last(self) -> State:
        """Return the forward state at the end of the item."""
        return self.state(0, len(self.mine) - 1, self.directions[0].length)

    def values(self, way: int, chunk: int, u: int, v: int) -> Values:
        """Return the scores of a chunk, in own order."""
        return in_own_order(way, *self.rows(chunk))

    def rows(self, chunk: int) -> tuple[tuple[Rows, Rows], int, int]:
        """Return rows with a chunk's scores, computed again where they were not kept, its first row and its length."""
        c, at = self.smoother.chunks, int(self.mine[chunk])
        n = int(c.right[at] - c.left[at])
        if c.rows is not None:
            return c.rows, int(c.boundary_row[at] + c.left[at]), n
        rows = c.room(n + 1)
        c.again(np.array([at]), rows, int(c.left[at]))
        return rows, 0, n


def in_own_order(way: int, rows: tuple[Rows, Rows], u: int, n: int) -> Values:
    """Return one direction's scores of n positions from row u on, fetched."""
    here, there = slice(u, u + n), slice(u + 1, u + n + 1)
    if way == 0:
        return Values(nats(rows[0].alpha[there]), nats(rows[0].h[here]))
    return Values(nats(rows[1].alpha[here])[::-1], nats(rows[1].h[there])[::-1])


class Fetched(Passes):
    """Settled passes of one item, ready to give panels."""

    chunks: FetchedChunks

    def __init__(self, smoother: Smoother, x: Sequence, item: int, pool: ThreadPoolExecutor):
        self.smoother, self.x, self.pool = smoother, x, pool
        self.chunks = FetchedChunks(smoother, x, item)
        self.forward, self.backward = self.chunks.directions
        self.length = self.forward.length

    def panel(self, chunk: int, u: int, v: int) -> Panel:
        """Return the scores of one chunk and the normaliser at its left boundary."""
        at = int(self.chunks.mine[chunk])
        before, behind = self.chunks.state(0, chunk, u), self.chunks.state(1, chunk, v)
        rows = self.chunks.rows(chunk)
        first, second = in_own_order(0, *rows), in_own_order(1, *rows)
        return Panel(
            u, v, before, behind,
            alpha=np.concatenate([before.alpha[None], first.alpha]),
            h=first.h,
            f=second.alpha[::-1],
            beta=second.h[::-1],
            partition=float(self.smoother.left[at]) / LOG2E,
            shares=self.smoother.shares[at].cpu().numpy(),
        )  # fmt: skip


def nats(x: Tensor) -> NDArray:
    """Return scores on the host."""
    return torch.where(x > FLOOR, x / LOG2E, -torch.inf).cpu().numpy()
