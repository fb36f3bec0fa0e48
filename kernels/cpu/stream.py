"""Viterbi over a stream, block by block: segments come out as soon as nothing that follows can change them.

Everything left of the point where the best paths to all live states meet is final and forgotten, so memory is the
distance to that point, not the length of the stream; nor that of a segment, where all of them lie in the same one.
Scores are those of `viterbi_item`, bit for bit.
"""

from collections.abc import Sequence as Listed
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import fixed
from ..errors import PotentialsError, UndecidedError
from ..potentials import Boundary, Potentials
from ..resolve import Sequence, resolve, sequence
from ..results import Segments
from .coalesce import NONE, meet
from .directions import Direction
from .trace import LOST, Cursor, close_max, walk_max
from .viterbi import max_laws

LOOK = 1 << 13  # undecided positions that are worth a look
CAP = 1 << 26  # undecided positions kept, unless told otherwise


class Open(NamedTuple):
    """The segment in which all that is alive lay at some boundary: however long, its rows need not be kept."""

    label: int
    start: int


class Fed(Direction):
    """A direction that reads the block at hand."""

    def feed(self, position: int, emissions: NDArray, scores: NDArray) -> None:
        self.position, self.block, self.block_scores = position, emissions, scores

    def emissions(self, a: int, b: int) -> NDArray:
        return self.block[a - self.position : b - self.position]

    def scores(self, a: int, b: int) -> NDArray:
        return self.block_scores[a - self.position : b - self.position]


class ViterbiStream:
    """Segments of a stream; `score` (nats) is known once `finish` has been called.

    `model` gives everything but the emissions and boundary scores, of which only the number of columns and the dtype
    count here. A block of n emissions comes with the boundary scores at its n left boundaries, those of the right end
    of the stream with `finish`.
    """

    def __init__(self, model: Potentials, cap: int = CAP):
        C = model.emissions.shape[-1]
        p = model._replace(
            emissions=torch.zeros(1, C, dtype=model.emissions.dtype),
            boundaries=tuple(
                Boundary(torch.zeros(2, b.scores.shape[-1], dtype=b.scores.dtype), b.types) for b in model.boundaries
            ),
            lengths=None,
        )
        self.x: Sequence = sequence(*resolve(p), 0)
        self.xq, self.tables = fixed.quantised(self.x)
        self.direction = Fed(self.xq, tables=self.tables)
        self.laws = max_laws(self.direction)
        self.cap = cap
        self.score: float | None = None
        self.over = False
        self.widths = [b.scores.shape[-1] for b in model.boundaries]
        self.state = self.direction.start()
        self.fine = np.zeros(C, np.int64)
        self.sums, self.uncut = np.zeros(C, np.int64), np.ones(C, bool)
        self.bound, self.highest = 0.0, 0.0  # of emissions summed, and of boundary scores, for the range check
        self.base = 0  # rows are kept from here on; what lies left of it is decided, or in the one open segment
        self.open: Open | None = None  # which reaches over `base`
        none, columns = np.zeros((0, C), np.int64), np.zeros((0, sum(self.widths)), np.int64)
        # alpha, h, emissions and boundary scores from `base` on, with offsets
        self.held: list[tuple[NDArray, ...]] = [(self.state.alpha[None], none, none, columns)]
        self.wait = self._patience()

    @property
    def position(self) -> int:
        """Return how many positions have been read."""
        return self.state.position

    def push(self, emissions: Tensor, scores: Listed[Tensor] = ()) -> Segments:
        """Read a block (n, C) and its boundary scores, (n, columns) for each map; return what is final by now."""
        rows, columns = self._checked(emissions, scores)
        found = []
        for a in range(0, len(rows), self.direction.stride):
            piece = slice(a, a + self.direction.stride)
            self._advance(rows[piece], columns[piece])
            if self.position - self.base >= self.wait:
                found.append(self._decide())
        return _segments(found)

    def finish(self, scores: Listed[Tensor] = ()) -> Segments:
        """Return the rest; at an exact right end, `scores` are those of the last boundary, (columns,) for each map."""
        x, T = self.x, self.position
        self._still_open()
        self.over = True
        if T == 0:
            raise PotentialsError("stream: expected at least one position, got none")
        finish, both = x.finish, None
        if x.right == "exact":
            finish = finish + self._known(self._boundary_row(scores, T), x.types[:, :, :1])
        else:
            # the tables read no emissions but their number
            whole = x._replace(emissions=np.broadcast_to(x.emissions[:1], (T, len(finish))))
            both = fixed.integers(fixed.quantised(whole)[1].both)
            self.laws.whole[1, :, 0] = both
            alive = (both > fixed.NEVER) & self.uncut
            both = np.where(alive, both + self.sums - self.state.offset, fixed.NEVER)
        closing = fixed.integers(fixed.units(finish))
        cursor = close_max(self.state, self.laws, closing, both, T)
        score = cursor.target + int(self.state.offset.real) + (int(closing[cursor.label]) if both is None else 0)
        self.score = score * fixed.UNIT
        return _segments([self._walk(cursor._replace(target=cursor.target + int(self.state.offset.real)))])

    def _still_open(self) -> None:
        if self.over:
            raise PotentialsError("stream: expected no more calls after finish()")

    def _checked(self, emissions: Tensor, scores: Listed[Tensor]) -> tuple[NDArray, NDArray]:
        self._still_open()
        for x in (emissions, *scores):
            if not isinstance(x, Tensor):
                raise PotentialsError(f"stream: expected torch tensors, got {type(x).__name__}")
        C, n = len(self.x.longest), len(emissions)
        if emissions.ndim != 2 or emissions.shape[1] != C:
            raise PotentialsError(f"emissions: expected a block of shape (n, {C}), got {tuple(emissions.shape)}")
        if len(scores) != len(self.widths):
            raise PotentialsError(f"scores: expected one tensor for each of {len(self.widths)} maps, got {len(scores)}")
        for m, (s, width) in enumerate(zip(scores, self.widths, strict=True)):
            if tuple(s.shape) != (n, width):
                raise PotentialsError(f"scores[{m}]: expected shape {(n, width)}, got {tuple(s.shape)}")
        rows = _array(emissions)
        columns = np.concatenate([_array(s) for s in scores], 1) if scores else np.zeros((n, 0))
        for name, values in (("emissions", rows), ("scores", columns)):
            if not values.max(initial=-np.inf) < np.inf:  # NaN wins
                bad = np.isnan(values) | (values == np.inf)
                t, c = np.argwhere(bad)[0]
                where = f"position {self.position + t}, column {c}"
                raise PotentialsError(f"{name}: expected finite values or -inf, got {values[t, c]} at {where}")
        return rows, columns

    def _boundary_row(self, scores: Listed[Tensor], T: int) -> NDArray:
        if not self.widths:
            return np.zeros(0)
        if [tuple(s.shape) for s in scores] != [(w,) for w in self.widths]:
            got = [tuple(s.shape) for s in scores]
            wanted = [(w,) for w in self.widths]
            raise PotentialsError(f"scores: expected those of boundary {T}, shapes {wanted}, got {got}")
        return np.concatenate([_array(s).astype(np.float64) for s in scores])

    def _known(self, row: NDArray, known: NDArray) -> NDArray:
        """Return (C,) scores of a sequence's end: those maps whose type is fixed by the label inside."""
        out = np.zeros(len(self.x.longest))
        for types, side in zip(self.x.types, known, strict=True):
            if (types == side).all():
                out = out + np.where(side >= 0, row[np.maximum(side, 0)], 0.0).ravel()
        return out

    def _advance(self, rows: NDArray, columns: NDArray) -> None:
        """Move the state over some rows and keep their scores."""
        t, state = self.position, self.state
        if t == 0 and self.x.left == "exact":
            begin = self.x.begin + self._known(columns[0], self.x.types[:, :1, :])
            state = state._replace(entry=fixed.integers(fixed.units(begin)))
        e, integers = np.empty(rows.shape, np.int64), np.empty(columns.shape, np.int64)
        self.bound += fixed.round_rows(rows, fixed.slopes(self.x), self.x.origin + t, self.fine, 0, e)
        self.highest = max(self.highest, fixed.round_scores(columns, integers))
        fixed.check_range(self.x, self.xq, self.tables, self.bound, self.highest, t + len(rows))
        fixed.tally(e, self.sums, self.uncut)
        self.direction.feed(t, e, integers)
        self.state, alpha, h = self.direction.step(state, t + len(rows))
        alpha += state.offset
        h += state.offset
        self.held.append((alpha, h, e, integers))

    def _gathered(self) -> tuple[NDArray, ...]:
        """Return all that is kept as one stretch."""
        if len(self.held) > 1:
            self.held = [tuple(np.concatenate(parts) for parts in zip(*self.held, strict=True))]
        return self.held[0]

    def _patience(self) -> int:
        """Return at how many undecided positions to look again: their number doubles, so looking stays cheap."""
        return min(max(2 * (self.position - self.base), 4 * self.direction.ring, LOOK), self.cap + 1)

    def _decide(self) -> NDArray:
        """Return the segments that have become final, and forget them."""
        alpha, h, e, scores = self._gathered()
        s, phase = self.state, self.x.origin + self.base
        live = [np.where(a > fixed.NEVER // 2, a + s.offset, fixed.NEVER) for a in (s.ring, s.folded, s.first)]
        root = NONE if self.open is None else self.open.label
        split = max(0, len(h) - 2 * self.direction.ring)
        row, label, crossing = meet(
            self.direction.model, self.laws, self.base, alpha, h, e, scores, phase, *live, root, split
        )
        if row == LOST:
            raise AssertionError(f"stream: live states at {self.position} contradict the scores kept")
        found = np.zeros((0, 3), np.int64)
        if row > 0:
            end = self.base + row
            found = self._walk(Cursor(label, end, end, 0, int(alpha[row, label]), 0))
            self.open = None
        if crossing >= 0 and split > row:
            self.open = self.open or Open(crossing, self.base + row)
            row = split
        if row > 0:
            self.held = [(alpha[row:].copy(), h[row:].copy(), e[row:].copy(), scores[row:].copy())]
            self.base += row
        if self.position - self.base > self.cap:
            raise UndecidedError(
                f"stream: at {self.position}, nothing right of position {self.base} is decided; the cap is {self.cap}",
                self.base,
            )
        self.wait = self._patience()
        return found

    def _walk(self, cursor: Cursor) -> NDArray:
        """Return (N, 3) segments from what is decided to the cursor, left to right."""
        alpha, h, e, scores = self._gathered()
        out, where = np.empty((len(h), 3), np.int64), np.array(cursor, np.int64)
        model, phase = self.direction.model, self.x.origin + self.base
        n = walk_max(model, self.laws, self.base, alpha, h, e, scores, phase, where, out)
        label, end, at = where[:3].tolist()
        if n == LOST or at != self.base or (label != self.open.label if self.open else end != at):
            raise AssertionError(f"stream: traceback lost near position {self.base}")
        first = [] if self.open is None else [(self.open.start, end, label)]
        return np.concatenate([np.array(first, np.int64).reshape(-1, 3), out[:n][::-1]])


def _array(x: Tensor) -> NDArray:
    x = x.detach().cpu()
    return np.ascontiguousarray((x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).numpy())


def _segments(tables: list[NDArray]) -> Segments:
    table = torch.from_numpy(np.concatenate([np.zeros((0, 3), np.int64), *tables]))
    return Segments(torch.zeros(len(table), dtype=torch.int64), table[:, 0], table[:, 1], table[:, 2])
