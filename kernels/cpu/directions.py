"""One direction of one sequence: what the compiled recursion reads, and states that move along it.

The backward recursion is the forward one on the reversed sequence: boundary `t` becomes `T - t`, transitions and
boundary maps are transposed, the phase runs the other way, the two edges change places. There `alpha` is `f` (all
that follows a start) and `h` is `beta` (all that follows an end). One kernel serves both.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import fixed
from ..compiled import compiled, scratch
from ..edges import Tables, continued, edge_tables, virtual_rows
from ..errors import InfeasibleError
from ..resolve import Sequence
from .events import Alive, advance_rarely, alive_in
from .forward import advance
from .semirings import Model
from .tiles import BLOCK

STRIDE = 2048  # positions between snapshots, at least; a stride costs K * C to pack and unpack
KEPT = 8  # sequences whose cut laws are kept
FEW = 32  # steps over lists of sources, each as dear as this many pairs of a tile
SPARSE = 20  # an arc in the log domain costs as much as this many among all C x C weights


class State(NamedTuple):
    """All that the future needs to know at one boundary; scores are relative to `offset`. Arrays are never changed.

    With a first axis in its arrays: N of them.
    """

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
        self,
        x: Sequence,
        reverse: bool = False,
        tables: Tables | None = None,
        source: Sequence | None = None,
        like: "Direction | None" = None,  # through any sequence of the same model
    ):
        self.x, self.reverse, self.tables = x, reverse, tables
        self.source = source  # max semiring: the sequence before quantisation, for emissions and boundary scores
        self.length = x.emissions.shape[0]
        self.fixed = tables is not None
        self.dtype = np.dtype(np.int64) if self.fixed else np.result_type(x.durations, np.float64)
        self.never = fixed.NEVER if self.fixed else -np.inf
        self.model: Model
        self.weights: NDArray | None
        if like is None:
            self.model, self.weights = _model(x, reverse, tables, self.dtype, self.never)
        elif like.reverse == reverse:
            self.model, self.weights = like.model, like.weights
        else:
            self.model, self.weights = like.model._replace(**_changes(x, reverse, tables, self.dtype)), like.weights
        # what begins before a censored start, by the phase there: sequences of one model have it in common
        self.virtual: dict[int, tuple[NDArray, NDArray]] = like.virtual if like and like.reverse == reverse else {}
        self.cuts: dict[tuple, Tables] = like.cuts if like and like.reverse == reverse else {}
        # what its own beginning is to segments open there, once somebody has asked (see `groups.py`)
        self.beyond: tuple[NDArray, NDArray] | None = None
        self.opened: Alive | None = None  # what is open there itself, likewise
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

    def cut_laws(self, length: int) -> Tables:
        """Return the scores of segments that an end of a sequence so long cuts (see `edges.py`)."""
        x = self.x
        place = x.left, x.right, x.origin % len(x.first), length
        found = self.cuts.get(place)
        if found is None:
            found = edge_tables(x._replace(emissions=np.empty((length, 0))))
            if len(self.cuts) > KEPT:
                self.cuts.clear()
            self.cuts[place] = found
        return found

    def phase(self, t: int) -> int:
        """Return the row of this direction's transitions that serves its boundary t."""
        return t - self.x.origin - self.length if self.reverse else self.x.origin + t

    def start(self, *axes: int) -> State:
        """Return the state at the sequence's own beginning in this direction; `axes`: as many of them."""
        x, state = self.x, self._empty(0, *axes)
        censored = (x.right if self.reverse else x.left) == "censored"
        if self.tables is not None:
            state.first[:] = 0 if censored else self.never
            state.entry[:] = self.never if censored else fixed.integers(x.begin)
            return state
        if not censored:
            state.entry[:] = x.finish if self.reverse else x.begin
            return state
        first, origin = (np.zeros((1, len(x.longest))), 0) if self.reverse else (x.first, x.origin)
        phase = origin % len(first)
        if phase not in self.virtual:
            self.virtual[phase] = virtual_rows(first.astype(self.dtype), x.longest, x.tail, x.period, phase)
        ring, folded = self.virtual[phase]
        state.entry[:] = first[phase]
        state.ring[..., self.ring - len(ring) :] = ring[::-1].T
        state.folded[:] = folded.T
        return self._masked(state)

    def alive(self) -> Alive | None:
        """Return what is open at the sequence's own beginning, where boundaries are rare."""
        if self.opened is None and self.rare:
            start = self.start()
            self.opened = alive_in(self.model, self.weights, start.ring, start.folded, True)
        return self.opened

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
            state.ring[..., c, : self.ring - longest] = self.never
            state.folded[..., c, period:] = self.never
        return state

    def _empty(self, position: int, *axes: int) -> State:
        C = len(self.x.longest)
        rows = int(self.x.period.max())
        full = lambda *shape: np.full((*axes, *shape), self.never, self.dtype)  # noqa: E731
        return State(position, 0, full(C), full(C), full(C, self.ring), full(C, rows), full(C))

    def step(
        self, state: State, stop: int, out: tuple[NDArray, NDArray] | None = None
    ) -> tuple[State, NDArray, NDArray]:
        """Return the state at `stop`, and alpha (from the next boundary on) and h relative to the offset on entry."""
        shape = stop - state.position, len(self.x.longest)
        alpha, h = (scratch(shape, self.dtype), scratch(shape, self.dtype)) if out is None else out
        moved = State(stop, state.offset, *(a.copy() for a in state[2:]))
        a, b = state.position, stop
        arrays = (x[None] for x in (*moved[2:], alpha, h))
        (base,) = self.advance(self.emissions(a, b)[None], self.scores(a, b)[None], [self.phase(a)], a, [b - a], arrays)
        if base.real <= self.never / 2:
            raise InfeasibleError(0, self._dead_end(state, stop))
        return moved._replace(offset=state.offset + base), alpha, h

    def advance(
        self,
        emissions: NDArray,
        scores: NDArray,
        phases: list[int] | NDArray,
        age: int,
        lengths: list[int] | NDArray,
        arrays: Iterable[NDArray],
        alive: Alive | None = None,
    ) -> NDArray:
        """Move the arrays of N states over blocks (N, n, C), in place; return the common scores taken out of them.

        The last two arrays are filled with alpha and h, (N, n, C). `alive` is what is open in all of the states, None:
        there is one.
        """
        bases, done = np.zeros(len(emissions), self.dtype), np.zeros(len(emissions), bool)
        common, arrays = (self.model, self.weights), (*arrays, bases)
        phases, lengths = np.asarray(phases, np.int64), np.asarray(lengths, np.int64)
        if self.rare:
            price = len(self.model.top) * (1 + self.ring / FEW)
            if alive is None:
                _, _, ring, folded, *_ = arrays
                alive = alive_in(*common, ring[0], folded[0], False)
            advance_rarely(*common, alive, emissions, scores, phases, age, lengths, *arrays, price, done)
        # in one call where nothing is done yet
        for i in [slice(i, i + 1) for i in np.flatnonzero(~done)] if done.any() else [slice(None)]:
            advance(*common, emissions[i], scores[i], phases[i], age, lengths[i], *(x[i] for x in arrays))
        return bases

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
    weights, enter, top = None, np.zeros((C, 1), dtype), np.zeros(C)
    if tables is not None:
        table = fixed.integers(table)
        if tables.enter is not None:
            enter = np.ascontiguousarray(fixed.integers(tables.enter).T)
    else:
        top = table.real.max(1)
        top = np.where(top > -np.inf, top, 0.0)
        table = table.astype(dtype)
        weights = np.exp(table - top[:, None])
    alive = x.tail.real > -np.inf
    return Model(
        table=table,
        top=top,
        longest=x.longest,
        period=np.where(alive, x.period, 0),
        tail=np.where(alive, x.tail, 0).astype(dtype),
        enter=enter,
        columns=x.columns,
        never=never,
        floor=never if tables is None else never // 2,
        **_changes(x, reverse, tables, dtype),
    ), weights


def _changes(x: Sequence, reverse: bool, tables: Tables | None, dtype: np.dtype) -> dict[str, Any]:
    """Return what of a model depends on the direction: changes of labels."""
    transitions, types = x.transitions, x.types
    P, C, _ = transitions.shape
    if reverse:
        transitions, types = transitions[-np.arange(P) % P].transpose(0, 2, 1), types.transpose(0, 2, 1)
    allowed = np.ascontiguousarray(transitions.real > -np.inf)
    scored = np.ascontiguousarray(types[0]) if len(types) else np.full((C, C), -1)
    arc_start, arc_source, site_start, site_source, site_target = _arcs(allowed, scored, int(x.columns[-1]))
    most = float(transitions.real.max())
    reference = most if most > -np.inf else 0.0
    weights = np.zeros((0, 0, 0), dtype)
    if tables is not None:
        transitions = fixed.integers(transitions)
    else:
        weights = np.ascontiguousarray(np.exp(transitions.astype(dtype) - reference))
    return {
        "transitions": np.ascontiguousarray(transitions, dtype=dtype),
        "transition_weights": weights,
        "transition_ref": reference,
        "arc_start": arc_start,
        "arc_source": arc_source,
        "site_start": site_start,
        "site_source": site_source,
        "site_target": site_target,
        "sparse": bool((arc_start[:, -1] - arc_start[:, 0]).max() * SPARSE < C * C),
        "types": np.ascontiguousarray(types),
    }


@compiled
def _arcs(allowed, scored, columns):
    """Return the lists of arcs of `Model` from (P, source, target), and (source, target) columns of the first map."""
    P, C, _ = allowed.shape
    arc_start, site_start = np.zeros((P, C + 1), np.int64), np.zeros((P, columns + 1), np.int64)
    at = np.zeros(P * columns + 1, np.int64)  # of the next arc of each site
    arcs = sites = 0
    for row in range(P):
        for c in range(C):
            arc_start[row, c] = arcs
            for source in range(C):
                if allowed[row, source, c]:
                    arcs += 1
                    if scored[source, c] >= 0:
                        sites += 1
                        at[row * columns + scored[source, c] + 1] += 1
        arc_start[row, C] = arcs
    at = np.cumsum(at)
    for row in range(P):
        site_start[row] = at[row * columns : (row + 1) * columns + 1]
    arc_source = np.empty(arcs, np.int64)
    site_source, site_target = np.empty(sites, np.int64), np.empty(sites, np.int64)
    arcs = 0
    for row in range(P):
        for c in range(C):
            for source in range(C):
                if allowed[row, source, c]:
                    arc_source[arcs] = source
                    arcs += 1
                    if scored[source, c] >= 0:
                        k = row * columns + scored[source, c]
                        site_source[at[k]], site_target[at[k]] = source, c
                        at[k] += 1
    return arc_start, arc_source, site_start, site_source, site_target
