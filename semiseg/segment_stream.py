"""From scores that arrive left to right to segments and what is known about them, in memory that does not grow.

The best path comes out of `ViterbiStream` as it becomes final, and says where the stream may be cut into views: between
segments, or inside one that nobody asks about. What is asked about lies within one view, and `Views` knows all of it.
Where cuts are made depends on the path alone: not on how the scores arrive, nor on threads.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernels import Calls, Potentials, Segments, Views, ViterbiStream
from .kernels.cpu.calls import Request, describe
from .kernels.cpu.marginals import Part, Smoother
from .kernels.cpu.posteriors import Wanted

VIEW = 1 << 16  # positions of a view, at most; a cut is looked for in the second half
LOOK = 1 << 13  # positions that the backward pass begins beyond a view
LARGEST = 1 << 20  # positions of a view that has a longer segment to tell about; a longer one yet is told nothing about

Reduce = Callable[[Part], NDArray]  # posteriors of a stretch to (n, tracks)


class Block(NamedTuple):
    """Scores of the next positions, and of the boundaries before each, for each map."""

    emissions: Tensor  # (n, C)
    scores: tuple[Tensor, ...]  # (n, columns) each; of the block that ends the stream: (n + 1, columns)


class Ready(NamedTuple):
    """A view to be looked at: its scores, what lies beyond, and the segments that end in it."""

    first: int
    block: Potentials
    beyond: Potentials | None
    segments: NDArray  # (N, 3) start, end, label
    asked: NDArray  # (N,) bool: those to tell about


class Found(NamedTuple):
    """What is certain about a stretch of the stream."""

    first: int
    last: int
    segments: NDArray  # (N, 3) start, end, label: those that end in it
    asked: NDArray  # (N,) bool
    calls: Calls | None  # of those asked about
    tracks: NDArray | None  # (last - first, tracks)


def rows_of(segments: Segments) -> NDArray:
    """Return segments as (N, 3) start, end, label, on the host."""
    return torch.stack(segments[1:], 1).cpu().numpy()


class _Cutter:
    """Scores kept until they are cut off, and the path over them."""

    def __init__(self, model: Potentials, asked: NDArray, view: int, look: int):
        self.model, self.asked, self.view, self.look = model, asked, view, look
        self.viterbi = ViterbiStream(model)
        self.first = 0  # of what is kept
        self.wanted = view
        self.emissions: list[Tensor] = []
        self.scores: list[list[Tensor]] = [[] for _ in model.boundaries]
        self.path = np.zeros((0, 3), np.int64)

    def push(self, block: Block) -> None:
        n = len(block.emissions)
        self._keep(block)
        self._found(self.viterbi.push(block.emissions, [x[:n] for x in block.scores]))

    def finish(self) -> None:
        self._found(self.viterbi.finish([x[-1][-1] for x in self.scores]))

    def _keep(self, block: Block) -> None:
        self.emissions.append(block.emissions)
        for kept, x in zip(self.scores, block.scores, strict=True):
            kept.append(x)

    def _found(self, segments: Segments) -> None:
        self.path = np.concatenate([self.path, rows_of(segments)])

    def ready(self, over: bool) -> Iterator[Ready]:
        """Yield what can be cut off; `over`: the stream ends with what is kept."""
        read = self.viterbi.position
        known = read if over else self.viterbi.base
        while read - self.first > self.wanted + self.look and known - self.first >= self.wanted:
            at = self._place()
            if at is None:
                self.wanted *= 2
                continue
            self.wanted = self.view
            yield self._off(at, at + self.look)
        if over:
            yield self._off(read, read)

    def _place(self) -> int | None:
        """Return where to cut: in the middle of what is longest and not asked about, or between two segments."""
        low, high = self.first + self.view // 2, self.first + self.wanted
        rows = self.path
        if self.viterbi.open is not None and not self.viterbi.over:
            rows = np.concatenate([rows, [[self.viterbi.open.start, high, self.viterbi.open.label]]])
        a, b = np.maximum(rows[:, 0], low), np.minimum(rows[:, 1], high)
        length = np.where(self.asked[rows[:, 2]], 0, b - a)
        best = int(length.argmax()) if len(length) else 0
        if len(length) and length[best] > 1:
            return int(a[best] + b[best]) // 2
        ends = self.path[(self.path[:, 1] > low) & (self.path[:, 1] <= high), 1]  # not where an open one is cut short
        if len(ends):
            return int(ends.max())
        return high if self.wanted >= LARGEST else None

    def _off(self, at: int, beyond: int) -> Ready:
        """Cut off what lies left of a boundary."""
        self.emissions = [torch.cat(self.emissions)]
        self.scores = [[torch.cat(x)] for x in self.scores]
        first, ended = self.first, self.path[:, 1] <= at
        rows, self.path = self.path[ended], self.path[~ended]
        ready = Ready(
            first, self._between(first, at), self._between(at, beyond) if beyond > at else None,
            rows, self.asked[rows[:, 2]] & (rows[:, 0] >= first),
        )  # fmt: skip
        self.emissions = [self.emissions[0][at - first :].clone()]
        self.scores = [[x[0][at - first :].clone()] for x in self.scores]
        self.first = at
        return ready

    def _between(self, a: int, b: int) -> Potentials:
        maps = zip(self.model.boundaries, self.scores, strict=True)
        return self.model._replace(
            emissions=self.emissions[0][a - self.first : b - self.first],
            boundaries=tuple(m._replace(scores=x[0][a - self.first : b - self.first + 1]) for m, x in maps),
            origin=self.model.origin + a,
        )


def views(
    blocks: Iterator[Block], model: Potentials, asked: NDArray, view: int = VIEW, look: int = LOOK
) -> Iterator[Ready]:
    """Yield a stream's views, left to right; `asked` (C,) are the labels whose segments are to be told about."""
    cutter = _Cutter(model, asked, view, look)
    for block in blocks:
        cutter.push(block)
        yield from cutter.ready(False)
    cutter.finish()
    yield from cutter.ready(True)


def certain(
    ready: Iterator[Ready],
    concepts: Sequence[int] | NDArray,
    reduce: Reduce | None = None,
    wanted: Wanted = Wanted(),  # noqa: B008 - never changed
    level: float = 0.95,
    threads: int | None = None,
) -> Iterator[Found]:
    """Yield what is known about each view once that is certain."""

    def work(smoother: Smoother, at: Ready) -> Found:
        first = at.first
        rows = at.segments[at.asked]
        calls = None
        if len(rows):
            starts, ends = rows[:, 0] - first, rows[:, 1] - first
            found = describe(smoother, Request(starts, ends, rows[:, 2], np.asarray(concepts), level))
            calls = Calls(*(torch.from_numpy(x) for x in found))
            for name in ("start_low", "start_high", "end_low", "end_high"):
                calls = calls._replace(**{name: getattr(calls, name) + first})
        tracks = None
        if reduce is not None:
            tracks = np.concatenate([reduce(part) for part in smoother.parts(wanted)])
        return Found(first, first + smoother.length, at.segments, at.asked, calls, tracks)

    stream = Views(work, threads)
    for at in ready:
        yield from stream.add(at.block, at.beyond, at)
    yield from stream.close()
