"""The best segmentation of one sequence, in fixed point: the same for every chunk, thread and device."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import fixed
from ..plan import Plan
from ..resolve import Sequence
from ..seams import Settled
from .chunks import Chunks
from .directions import Direction, State
from .threads import spread
from .trace import LOST, Laws, close_max, laws, stretches, walk_max

PIECE = 16 * fixed.GRID  # positions at a time where only sums are wanted


class Path(NamedTuple):
    """Score in fixed-point units (times `fixed.UNIT`: nats), and the segments from left to right."""

    score: int
    starts: NDArray  # (N,) int64
    ends: NDArray
    labels: NDArray
    settled: Settled


def max_laws(direction: Direction) -> Laws:
    """Return the laws of a direction in fixed point."""
    tables = direction.tables
    assert tables is not None
    columns = len(direction.x.durations)
    enter, leave = (None if t is None else fixed.integers(t).T for t in tables[:2])
    return laws(direction.model.table[:, :columns], enter, leave, fixed.integers(tables.both), direction.model)


class Forward(NamedTuple):
    """Settled forward scores of one sequence, and what stands at its right end relative to `offset`."""

    direction: Direction
    chunks: Chunks
    laws: Laws
    constants: list[int]  # what puts each chunk's scores on one scale
    finish: NDArray  # (C,)
    both: NDArray | None  # (C,) one segment over everything; None at an exact right end

    @property
    def state(self) -> State:
        """The state at the right end, in the scores of the last chunk."""
        return self.chunks.last()

    @property
    def offset(self) -> int:
        """What the state's scores are relative to, in those of the last chunk."""
        return int(self.state.offset.real)


def in_fixed_point(x: Sequence, pool: ThreadPoolExecutor, like: Direction | None = None) -> Direction:
    """Return the forward direction of one sequence in fixed point; `like`: that of any sequence of the same model."""
    # boundary scores are rounded where they are read: no copy of them all
    xq, tables = fixed.quantised(x._replace(scores=x.scores[:0]))
    bounds = [_largest(rows, pool) for rows in (x.emissions, x.scores)]
    total, highest = sum(total for total, _ in bounds[0]), max(top for _, top in bounds[1])
    fixed.check_range(x, xq, tables, total, highest, len(x.emissions))
    return Direction(xq, tables=tables, source=x, like=like)


def forward(x: Sequence, plan: Plan, pool: ThreadPoolExecutor, like: Direction | None = None) -> Forward:
    """Return the settled forward scores of one sequence in fixed point."""
    direction = in_fixed_point(x, pool, like)
    xq, tables = direction.x, direction.tables
    assert tables is not None
    chunks = Chunks([direction], plan, pool)
    chunks.settle()
    constants = [int(constant.real) for constant in chunks.constants(0)]
    found = Forward(direction, chunks, max_laws(direction), constants, fixed.integers(xq.finish), None)
    if x.right == "exact":
        return found
    both = fixed.integers(tables.both)
    if (both > fixed.NEVER).any():
        both = _both(both, x, pool) - found.offset - constants[-1]
    return found._replace(both=both)


def viterbi_item(x: Sequence, plan: Plan, pool: ThreadPoolExecutor, like: Direction | None = None) -> Path:
    """Return the best segmentation of one sequence and its score, ties read from the right (see `naive_viterbi`)."""
    found = forward(x, plan, pool, like)
    direction, chunks, law, constants, finish, both = found
    cursor = np.array(close_max(found.state, law, finish, both, x.emissions.shape[0]), np.int64)
    score = int(cursor[4]) + found.offset + constants[-1] + (int(finish[cursor[0]]) if both is None else 0)
    cursor[4] += found.offset

    segments = []
    chunk = plan.chunks - 1
    for i, part in stretches(chunks, pool):
        cursor[4] += constants[chunk] - constants[i]
        chunk = i
        out = np.empty((len(part.h), 3), np.int64)
        rows = walk_max(direction.model, law, *part, cursor, out)
        if rows == LOST:
            raise AssertionError(f"traceback lost near position {part.u}: forward scores contradict each other")
        segments.append(out[:rows].copy())
        if cursor[1] == 0:
            break
    starts, ends, labels = np.ascontiguousarray(np.concatenate(segments)[::-1].T)
    return Path(score, starts, ends, labels, chunks.settled)


def _pieces(T: int) -> list[tuple[int, int]]:
    return [(a, min(T, a + PIECE)) for a in range(0, T, PIECE)]


def _largest(rows: NDArray, pool: ThreadPoolExecutor) -> list[tuple[float, float]]:
    """Return, piece by piece, the sum over rows and the maximum of a row's largest finite absolute value."""
    return list(spread(pool, lambda piece: fixed.largest_scores(rows[slice(*piece)]), _pieces(len(rows))))


def _both(both: NDArray, x: Sequence, pool: ThreadPoolExecutor) -> NDArray:
    """Return each label's score of one segment over the whole sequence, NEVER where a cut forbids it."""

    def add(piece: tuple[int, int]) -> tuple[NDArray, NDArray]:
        e = fixed.quantised_emissions(x, *piece)
        return e.sum(0), e.min(0) > fixed.NEVER

    sums, alive = zip(*spread(pool, add, _pieces(len(x.emissions))), strict=True)
    return np.where(np.all(alive, axis=0) & (both > fixed.NEVER), both + np.sum(sums, axis=0), fixed.NEVER)
