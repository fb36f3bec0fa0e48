"""One direction of one sequence: what the compiled recursion reads, and states that move along it.

The backward recursion is the forward one on the reversed sequence: boundary `t` becomes `T - t`, transitions and
boundary maps are transposed, the phase runs the other way, the two edges change places. There `alpha` is `f` (all
that follows a start) and `h` is `beta` (all that follows an end). One kernel serves both.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import fixed
from ..compiled import scratch
from ..edges import Tables, continued, virtual_rows
from ..errors import InfeasibleError
from ..resolve import Sequence
from .events import advance_rarely
from .forward import advance
from .semirings import Model
from .tiles import BLOCK

STRIDE = 2048  # positions between snapshots, at least; a stride costs K * C to pack and unpack
FEW = 32  # steps over lists of sources, each as dear as this many pairs of a tile
SPARSE = 20  # an arc in the log domain costs as much as this many among all C x C weights


class State(NamedTuple):
    """All that the future needs to know at one boundary; scores are relative to `offset`. Arrays are never changed."""

    position: int  # boundaries since the start of the stream, in the direction of travel
    offset: float | complex | int
    alpha: NDArray  # (C,) a segment of c ends here
    entry: NDArray  # (C,) a segment of c may begin here without a predecessor: the start of a sequence
    ring: NDArray  # (C, R) open segments by their start, the latest last
    folded: NDArray  # (C, p) older ones, in rows of the tail's period
    first: NDArray  # (C,) a first segment cut by a censored start (max semiring)


class Direction:
    """A sequence read one way, in the log semiring, or in the max semiring when it comes with fixed-point tables."""

    def __init__(
        self, x: Sequence, reverse: bool = False, tables: Tables | None = None, source: Sequence | None = None
    ):
        self.x, self.reverse, self.tables = x, reverse, tables
        self.source = source  # max semiring: the sequence before quantisation, for emissions and boundary scores
        self.length = x.emissions.shape[0]
        self.fixed = tables is not None
        self.dtype = np.dtype(np.int64) if self.fixed else np.result_type(x.durations, np.float64)
        self.never = fixed.NEVER if self.fixed else -np.inf
        self.model, self.weights = _model(x, reverse, tables, self.dtype, self.never)
        self.ring = -(-int(x.longest.max()) // BLOCK) * BLOCK
        # every change of labels needs a boundary that its first map allows: these may be few
        self.rare = self.dtype.kind != "c" and 0 < len(self.model.arc_source) == len(self.model.site_source)
        self.stride = max(STRIDE, -(-2 * self.ring // BLOCK) * BLOCK)

    def emissions(self, a: int, b: int) -> NDArray:
        """Return emissions between own boundaries a and b, in the order of travel."""
        if self.source is not None:
            return fixed.quantised_emissions(self.source, a, b)
        rows = self.x.emissions[self.length - b : self.length - a][::-1] if self.reverse else self.x.emissions[a:b]
        return np.ascontiguousarray(rows, dtype=self.dtype)

    def scores(self, a: int, b: int) -> NDArray:
        """Return boundary scores at own boundaries a..b-1."""
        if self.source is not None:
            return fixed.integers(fixed.units(self.source.scores[a:b].astype(np.float64)))
        T = self.length
        rows = self.x.scores[T - b + 1 : T - a + 1][::-1] if self.reverse else self.x.scores[a:b]
        return np.ascontiguousarray(rows, dtype=self.dtype)

    def phase(self, t: int) -> int:
        """Return the row of this direction's transitions that serves its boundary t."""
        return t if self.reverse else self.x.origin + t

    def start(self) -> State:
        """Return the state at the sequence's own beginning in this direction."""
        x, state = self.x, self._empty(0)
        censored = (x.right if self.reverse else x.left) == "censored"
        if self.tables is not None:
            state.first[:] = 0 if censored else self.never
            state.entry[:] = self.never if censored else fixed.integers(x.begin)
            return state
        if not censored:
            state.entry[:] = x.finish if self.reverse else x.begin
            return state
        first, origin = (np.zeros((1, len(x.longest))), 0) if self.reverse else (x.first, x.origin)
        ring, folded = virtual_rows(first.astype(self.dtype), x.longest, x.tail, x.period, origin)
        state.entry[:] = first[origin % len(first)]
        state.ring[:, self.ring - len(ring) :] = ring[::-1].T
        state.folded[:] = folded.T
        return self._masked(state)

    def blank(self, position: int) -> State:
        """Return the uninformative state warm-ups start from: every label, every age, equally likely."""
        state = self._empty(position)
        state.entry[:] = 0
        state.ring[:] = 0
        state.folded[:] = 0
        return self._masked(state)

    def _masked(self, state: State) -> State:
        """Return a state whose rows beyond each label's window and period are forbidden."""
        for c, (longest, period) in enumerate(zip(self.model.longest, self.model.period, strict=True)):
            state.ring[c, : self.ring - longest] = self.never
            state.folded[c, period:] = self.never
        return state

    def _empty(self, position: int) -> State:
        C = len(self.x.longest)
        rows = int(self.x.period.max())
        full = lambda *shape: np.full(shape, self.never, self.dtype)  # noqa: E731
        return State(position, 0, full(C), full(C), full(C, self.ring), full(C, rows), full(C))

    def step(
        self, state: State, stop: int, out: tuple[NDArray, NDArray] | None = None
    ) -> tuple[State, NDArray, NDArray]:
        """Return the state at `stop`, and alpha (from the next boundary on) and h relative to the offset on entry."""
        shape = stop - state.position, len(self.x.longest)
        alpha, h = (scratch(shape, self.dtype), scratch(shape, self.dtype)) if out is None else out
        moved = State(stop, state.offset, *(a.copy() for a in state[2:]))
        a, b = state.position, stop
        block = (
            self.model, self.weights, self.emissions(a, b), self.scores(a, b), self.phase(a), a, *moved[2:], alpha, h,
        )  # fmt: skip
        done = False
        if self.rare:
            done, base = advance_rarely(*block, (b - a) * len(self.model.top) * (1 + self.ring / FEW))
        if not done:
            base = advance(*block)
        if base.real <= self.never / 2:
            raise InfeasibleError(0, self._dead_end(state, stop))
        return moved._replace(offset=state.offset + base), alpha, h

    def travel(self, state: State) -> State:
        """Return the state at the end of the sequence."""
        while state.position < self.length:
            state, _, _ = self.step(state, min(self.length, state.position + self.stride))
        return state

    def unreached(self, state: State | None = None) -> int:
        """Return the first boundary that no state reaches from a state, the start by default; none: the last one."""
        try:
            self.travel(self.start() if state is None else state)
        except InfeasibleError as error:
            return error.position
        return self.length

    def _dead_end(self, state: State, stop: int) -> int:
        """Return the first boundary that no state reaches, when there is none at `stop`."""
        low, high = state.position, stop
        while high - low > 1:
            middle = (low + high) // 2
            try:
                self.step(state, middle)
                low = middle
            except InfeasibleError:
                high = middle
        return high


def _model(
    x: Sequence, reverse: bool, tables: Tables | None, dtype: np.dtype, never: float
) -> tuple[Model, NDArray | None]:
    """Return the constants of one direction, and the duration weights of the log semiring."""
    C = len(x.longest)
    lengths = 2 * (int(x.longest.max()) + int(x.period.max()) + BLOCK)  # twice: seams meet ring to ring
    table = np.ascontiguousarray(continued(x.durations, x.longest, x.tail, x.period, lengths).T)
    transitions, types, P = x.transitions, x.types, len(x.transitions)
    if reverse:
        phases = (x.origin + x.emissions.shape[0] - np.arange(P)) % P
        transitions, types = transitions[phases].transpose(0, 2, 1), types.transpose(0, 2, 1)
    allowed = transitions.real.transpose(0, 2, 1) > -np.inf  # (P, target, source)
    stops = np.cumsum(allowed.sum(2)).reshape(P, C)
    scored = np.where(allowed, types[0].T if len(types) else -1, -1)  # (P, target, source) column of the first map
    row, target, source = np.nonzero(scored >= 0)
    site = row * x.columns[-1] + scored[row, target, source]
    order = site.argsort(kind="stable")
    finite = transitions.real[transitions.real > -np.inf]
    transition_ref = float(finite.max()) if finite.size else 0.0
    weights, enter = None, np.zeros((C, 1), dtype)
    top = np.zeros(C)
    if tables is not None:
        table, transitions = fixed.integers(table), fixed.integers(transitions)
        if tables.enter is not None:
            enter = np.ascontiguousarray(fixed.integers(tables.enter).T)
        transition_weights = np.zeros((0, 0, 0), dtype)
    else:
        top = np.where(table.real.max(1) > -np.inf, table.real.max(1), 0.0)
        table = table.astype(dtype)
        weights = np.exp(table - top[:, None])
        transition_weights = np.exp(transitions.astype(dtype) - transition_ref)
    return Model(
        table=table,
        top=top,
        longest=x.longest,
        period=np.where(x.tail.real > -np.inf, x.period, 0),
        tail=np.where(x.tail.real > -np.inf, x.tail, 0).astype(dtype),
        transitions=np.ascontiguousarray(transitions, dtype=dtype),
        transition_weights=np.ascontiguousarray(transition_weights, dtype=dtype),
        transition_ref=transition_ref,
        arc_start=np.concatenate([stops[:, :1] - allowed[:, 0].sum(1, keepdims=True), stops], axis=1),
        arc_source=allowed.nonzero()[2],
        site_start=np.searchsorted(site[order], np.arange(P)[:, None] * x.columns[-1] + np.arange(x.columns[-1] + 1)),
        site_source=source[order],
        site_target=target[order],
        sparse=bool(allowed.sum((1, 2)).max() * SPARSE < C * C),
        types=np.ascontiguousarray(types),
        columns=x.columns,
        enter=enter,
        never=never,
        floor=never if tables is None else never // 2,
    ), weights
