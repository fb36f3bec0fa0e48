"""What is known about given segments of one sequence: their posteriors, and credible intervals of their boundaries.

One sweep over the panels; a call asks at most those its segment touches, and those its tail's mass comes from. All
scores of a panel are relative to its own partition, so nothing here loses digits with the length of the sequence.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple
from weakref import proxy

import numpy as np
from numpy.typing import NDArray

from .directions import Direction
from .groups import Smoothed
from .laws import UNRESOLVED, Side, deal_out, laws, settle_law
from .passes import Passes
from .posteriors import Panel, Stretches
from .threads import spread
from .told import Given, Opening, Told, room_for, side_of, tell

SIDES = 8  # panels kept for folded rows that are dealt out far from their calls


class Described(NamedTuple):
    """The fields of `results.Calls`, as arrays."""

    start: NDArray  # (N,)
    end: NDArray
    segment: NDArray
    label: NDArray
    start_low: NDArray  # (N,) int64
    start_high: NDArray
    start_mass: NDArray
    end_low: NDArray
    end_high: NDArray
    end_mass: NDArray


class Request(NamedTuple):
    """Segments `[starts, ends)` of `labels` to describe.

    `concepts[c]` (default: c) is the concept of label c; posteriors are summed over the labels of a call's concept.
    The intervals are those of the segment that covers `(start + end - 1) // 2`, given that it is of the concept.
    """

    starts: NDArray  # (N,)
    ends: NDArray
    labels: NDArray
    concepts: NDArray | None = None
    level: float = 0.95


def describe(passes: Passes, request: Request) -> Described:
    """Return what is known about segments of one sequence."""
    return _Survey(passes, request).describe()


def intervals(passes: Passes, request: Request) -> tuple[NDArray, ...]:
    """Return the intervals' fields of `describe`, from panels that a call's middle is in or its tail reaches alone."""
    return _Survey(passes, request).intervals()


def describe_group(smoothed: Smoothed, item: NDArray, request: Request) -> Described:
    """Return what `describe` does of segments of a group's sequences, which are numbered by `item`."""
    s, lengths, forward = smoothed.stretches, smoothed.group.lengths, smoothed.group.pair[0]
    calls = Numbered(forward, lengths, item, request)
    sides = (s.open_left, s.shares), (s.open_right, smoothed.at_right.shares)
    with np.errstate(divide="ignore"):  # what is open across an end covers the position there
        ways = [
            Opening(np.zeros_like(lengths), closed, *opened, np.log(shares)[:, :, None])
            for closed, (opened, shares) in zip(calls.closed, sides, strict=True)
        ]
    edges = np.searchsorted(calls.item, np.arange(len(lengths) + 1))
    told = calls.tell(s, (ways[0], ways[1]), Given(edges, calls.starts, calls.ends, calls.columns))
    assert not told.unfinished.any(), "a sequence in one piece has all there is"
    return calls.described(told, np.zeros(len(item)))


@lru_cache(8)  # many short sequences have the same
def _concepts(concepts: bytes) -> tuple[NDArray, NDArray]:
    """Return (C,) the number of each label's concept, and the labels of each as a table, -1 behind the last."""
    names, number = np.unique(np.frombuffer(concepts, np.int64), return_inverse=True)
    members = [np.flatnonzero(number == k) for k in range(len(names))]
    table = np.full((len(names), max(map(len, members))), -1)
    for k, labels in enumerate(members):
        table[k, : len(labels)] = labels
    return number, table


class Numbered:
    """Segments to describe, of N sequences of one model, numbered by sequence and start."""

    def __init__(self, forward: Direction, lengths: NDArray, item: NDArray, request: Request):
        starts, ends, labels, concepts, self.level = request
        self.forward, self.lengths = forward, lengths
        self.order = np.lexsort((starts, item))
        self.item, self.starts, self.ends, self.labels = (
            np.asarray(x, np.int64)[self.order] for x in (item, starts, ends, labels)
        )
        concepts = np.arange(len(forward.x.longest)) if concepts is None else np.asarray(concepts, np.int64)
        number, table = _concepts(concepts.tobytes())
        concept = number[self.labels]
        self.columns = table[concept]  # (N, L)
        self.asked = np.flatnonzero(np.isin(number, concept))  # labels whose sources matter
        self.closed = [edge == "censored" for edge in (forward.x.left, forward.x.right)]

    def tell(self, s: Stretches, ways: tuple[Opening, Opening], given: Given) -> Told:
        """Return what stretches know about calls."""
        told = Told.nothing(*given.labels.shape)
        tell(
            self.forward.model, self.forward.weights, self.level, s.lengths, s.emissions, *ways,
            s.alpha, s.h, s.f, s.beta, s.partition, s.shares, given, told,
        )  # fmt: skip
        return told

    def described(self, told: Told, backward: NDArray) -> Described:
        """Return what is known, in the order given; `backward`: offsets of backward scores at ends less at starts."""
        segment = self._segments(told.before, told.emission, told.behind + backward[:, None])
        label = told.covered / (self.ends - self.starts)
        return Described(
            *(x[np.argsort(self.order)] for x in (told.start, told.end, segment, label, *columns_of(told)))
        )

    def _segments(self, before: NDArray, emission: NDArray, behind: NDArray) -> NDArray:
        """Return the posterior of exactly each segment, summed over its concept."""
        x, T = self.forward.x, self.lengths[self.item]
        tables = self.forward.cut_laws(1)
        c, k = np.maximum(self.columns, 0), (self.ends - self.starts)[:, None]
        steps = np.maximum(-(-(k - x.longest[c]) // x.period[c]), 0)
        rows = np.minimum(k - steps * x.period[c], x.longest[c])
        beyond = np.where(steps > 0, np.maximum(steps, 1) * x.tail[c], 0.0)
        first, last = self.starts == 0, self.ends == T
        length = x.durations[rows, c]
        if tables.enter is not None and self.closed[0]:
            length = np.where(first[:, None], tables.enter[rows, c], length)
        if tables.leave is not None and self.closed[1]:
            length = np.where(last[:, None], tables.leave[rows, c], length)
        length = length + beyond
        whole = first & last & all(self.closed)
        for n in np.unique(T[whole]).tolist():
            own = whole & (n == T)
            length[own] = self.forward.cut_laws(n).both[c[own]]
        return np.exp(before + emission + length + behind).sum(1)


def columns_of(told: Told) -> tuple[NDArray, ...]:
    """Return the fields of `Described` that say where boundaries are."""
    return *told.interval[:, :2].T, told.mass[:, 0], *told.interval[:, 2:].T, told.mass[:, 1]


class _Survey:
    """All calls of one sequence, panel by panel."""

    def __init__(self, passes: Passes, request: Request):
        self.passes = passes
        item = np.zeros(len(request.starts), np.int64)
        self.calls = Numbered(passes.forward, np.array([passes.length]), item, request)
        self.calls.closed = [passes.closed(way) for way in (0, 1)]
        self.starts, self.ends = self.calls.starts, self.calls.ends
        self.reached = np.maximum.accumulate(self.ends)  # in order, so that calls are found by bisection
        self.panels = passes.panels()
        self.lead = int((passes.forward.model.longest + passes.forward.model.period).max())
        # of a proxy: in a cycle, it would keep the passes until a collector comes by
        self.walk: Callable = lru_cache(SIDES)(partial(_Survey._walk, proxy(self)))

    def describe(self) -> Described:
        """Return what is known about all calls."""
        chunks, lefts, _ = np.array(self.panels).T
        constants = np.array(self.passes.constants())[chunks]
        begun, ended = np.searchsorted(lefts, self.starts, "right") - 1, np.searchsorted(lefts, self.ends) - 1
        busy = [k for k, (_, u, v) in enumerate(self.panels) if self._near(u, v).size]
        return self.calls.described(self._told(busy), constants[ended] - constants[begun])

    def intervals(self) -> tuple[NDArray, ...]:
        """Return the fields of `Described` that are known where a call's middle is."""
        middles = (self.starts + self.ends - 1) // 2
        told = self._told([k for k, (_, u, v) in enumerate(self.panels) if ((middles >= u) & (middles < v)).any()])
        return tuple(x[np.argsort(self.calls.order)] for x in columns_of(told))

    def _told(self, panels: list[int]) -> Told:
        """Return what some panels know of their calls; a few panels are in flight at a time."""
        total, pool = Told.nothing(*self.calls.columns.shape), self.passes.pool
        width = 2 * pool._max_workers
        for i in range(0, len(panels), width):
            for near, told in spread(pool, self._panel, panels[i : i + width]):
                for sums, x in zip(total, told, strict=True):
                    sums[near] += x
        return total

    def _near(self, u: int, v: int) -> NDArray:
        """Return the calls that cover a position of [u, v)."""
        low, high = np.searchsorted(self.reached, u, "right"), np.searchsorted(self.starts, v)
        return low + np.flatnonzero(self.ends[low:high] > u)

    def _panel(self, k: int) -> tuple[NDArray, Told]:
        """Return the calls that touch a panel, and what it knows of them."""
        chunk, u, v = self.panels[k]
        p, near = self.passes.panel(chunk, u, v), self._near(u, v)
        s = p.alone(self.passes.forward)
        start, end = self.starts[near] - u, self.ends[near] - u
        middle = (start + end - 1) // 2
        inside = (middle >= 0) & (middle < v - u)
        beyond = (v - u - 1 - middle[inside]).min(initial=v - u)
        ways = self._opening(0, k, p, s, max(0, int(start.min()))), self._opening(1, k, p, s, beyond)
        told = self.calls.tell(s, ways, Given(np.array([0, len(near)]), start, end, self.calls.columns[near]))
        told.interval[inside] += u
        for i, way in np.argwhere(told.unfinished).tolist():
            self._finish(k, p, s, ways, near, told, i, way)
        return near, told

    def _opening(self, way: int, k: int, p: Panel, s: Stretches, first: int) -> Opening:
        """Return what stands where a panel begins in one direction; `first`: the first boundary asked about."""
        near = first <= self.lead  # else the sources before the panel are too old
        crossing = self.passes.crossing(way, self.panels[k][0], p) if near else np.zeros((len(p.shares), 1))
        begin = np.array([p.u if way == 0 else self.passes.length - p.v])
        return Opening(begin, self.calls.closed[way], *(s.open_left, s.open_right)[way], crossing[None])

    def _side(self, way: int, p: Panel, s: Stretches, opening: Opening, where: int) -> Side:
        """Return one side of a panel, and what is known at a boundary of its own."""
        h, other = (p.h, p.f) if way == 0 else (p.beta, p.alpha[1:])
        forward = self.passes.forward
        return side_of(
            way, forward.model, self.calls.asked, opening, 0, h, other, p.partition, s.emissions[0], np.array([where]),
            room_for(forward.model, p.v - p.u),
        )  # fmt: skip

    def _finish(self, k: int, p: Panel, s: Stretches, ways, near: NDArray, told: Told, i: int, way: int) -> None:
        """Work out an interval whose law reaches through the tail into panels further back."""
        forward, n = self.passes.forward, p.v - p.u
        a, b = self.starts[near[i]], self.ends[near[i]]
        m, labels = (a + b - 1) // 2, self.calls.columns[near[i]]
        labels = labels[labels >= 0]
        at = m + 1 - p.u
        sides = [self._side(w, p, s, ways[w], where) for w, where in ((0, at), (1, n - at))]
        law = [np.empty(n + self.lead + 1) for _ in range(2)]
        rest = [np.zeros((len(labels), max(1, int(forward.model.period.max())))) for _ in range(2)]
        reach = laws(
            forward.model, forward.weights, labels, *sides, (0, 0), at, n, told.inside[i],
            law[0], rest[0], law[1], rest[1],
        )  # fmt: skip
        end = m + 1 if way == 0 else self.passes.length - m
        low, high, told.mass[i, way] = self._far(
            way, k, labels, sides[way].begin, end, law[way][: reach[way]], rest[way]
        )
        told.interval[i, 2 * way : 2 * way + 2] = (m - high, m - low) if way == 0 else (m + 1 + low, m + 1 + high)

    def _walk(self, way: int, k: int) -> Side:
        """Return one side of another panel, with what is known at its far end."""
        p = self.passes.panel(*self.panels[k])
        s = p.alone(self.passes.forward)
        return self._side(way, p, s, self._opening(way, k, p, s, p.v - p.u), p.v - p.u)

    def _far(self, way: int, k: int, labels: NDArray, begin: int, end: int, law: NDArray, rest: NDArray):
        """Return an interval whose law reaches through the tail into panels further back."""
        model = self.passes.forward.model
        while True:
            k += 2 * way - 1
            if not 0 <= k < len(self.panels):  # a stream whose earlier blocks are gone: nothing older than the rows
                return self._oldest(labels, begin, end, law, rest, way)
            side = self.walk(way, k)
            old, rest = rest, np.zeros_like(rest)
            reach = len(law)
            law = np.concatenate([law, np.empty(end - side.begin + self.lead + 1 - reach)])
            for i, c in enumerate(labels):
                K, p = int(model.longest[c]), int(model.period[c])
                least = UNRESOLVED / (max(1, p) * len(labels))
                for row in np.flatnonzero(old[i]):
                    reach = deal_out(
                        side.at[c, : side.alive[c]], side.g[c], side.older[c], side.folded[c], side.low[0, c],
                        side.begin, side.closed, K, p, model.tail[c], begin - side.begin - K - p + row, old[i, row],
                        least, end, law, reach, rest[i],
                    )  # fmt: skip
            law, begin = law[:reach], side.begin
            *found, final = settle_law(model, labels, end - begin, law, reach, rest, self.calls.level, way == 0)
            if final:
                return found

    def _oldest(self, labels: NDArray, begin: int, end: int, law: NDArray, rest: NDArray, way: int):
        """Return an interval of a law whose folded rows count as if they were their latest sources."""
        model, reach = self.passes.forward.model, len(law)
        law = np.concatenate([law, np.zeros(max(0, end - begin + self.lead + 1 - reach))])
        none, level = np.zeros_like(rest), self.calls.level
        for i, c in enumerate(labels):
            for row in np.flatnonzero(rest[i]):
                law[end - 1 - begin + model.longest[c] + model.period[c] - row] += rest[i, row]
        return settle_law(model, labels, end - begin, law, len(law), none, level, way == 0)[:3]
