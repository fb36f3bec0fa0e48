"""What is known about given segments of one sequence: their posteriors, and credible intervals of their boundaries.

One sweep over the panels; a call asks at most those its segment touches, and those its tail's mass comes from. All
scores of a panel are relative to its own partition, so nothing here loses digits with the length of the sequence.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .laws import UNRESOLVED, Side, deal_out, gather, laws, settle_law, survey
from .passes import Passes
from .posteriors import Panel, cover
from .threads import spread

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


class Found(NamedTuple):
    """What one panel adds to calls (by number); the other arrays go with the numbers beside them."""

    touched: NDArray  # calls that cover positions of the panel
    covered: NDArray  # posterior of the concept, summed over those positions
    emission: NDArray  # (., L) sum of emissions over those positions, -inf at a cut
    begun: NDArray  # calls that start in the panel
    start: NDArray
    before: NDArray  # (., L) h at the start less the panel's partition
    ended: NDArray  # calls that end in the panel
    end: NDArray
    behind: NDArray  # (., L) beta at the end
    middle: NDArray  # calls whose middle is in the panel
    interval: NDArray  # (., 4) int64: start low, high, end low, high
    mass: NDArray  # (., 2)


def describe(
    passes: Passes,
    starts: NDArray,
    ends: NDArray,
    labels: NDArray,
    concepts: NDArray | None = None,
    level: float = 0.95,
) -> Described:
    """Return what is known about the segments `[starts, ends)` of `labels`.

    `concepts[c]` (default: c) is the concept of label c; posteriors are summed over the labels of a call's concept.
    The intervals are those of the segment that covers `(start + end - 1) // 2`, given that it is of the concept.
    """
    return _Survey(passes, starts, ends, labels, concepts, level).describe()


def intervals(
    passes: Passes,
    starts: NDArray,
    ends: NDArray,
    labels: NDArray,
    concepts: NDArray | None = None,
    level: float = 0.95,
) -> tuple[NDArray, ...]:
    """Return the intervals' fields of `describe`, from panels that a call's middle is in or its tail reaches alone."""
    return _Survey(passes, starts, ends, labels, concepts, level).intervals()


@lru_cache(8)  # many short sequences have the same
def _concepts(concepts: bytes) -> tuple[NDArray, list[NDArray], NDArray]:
    """Return (C,) the number of each label's concept, the labels of each, and those as a table, -1 behind the last."""
    names, number = np.unique(np.frombuffer(concepts, np.int64), return_inverse=True)
    members = [np.flatnonzero(number == k) for k in range(len(names))]
    table = np.full((len(names), max(map(len, members))), -1)
    for k, labels in enumerate(members):
        table[k, : len(labels)] = labels
    return number, members, table


class _Survey:
    """All calls of one sequence, numbered by their start."""

    def __init__(self, passes: Passes, starts, ends, labels, concepts, level: float):
        self.passes, self.level = passes, level
        self.order = np.argsort(starts, kind="stable")
        self.starts, self.ends = np.asarray(starts, np.int64)[self.order], np.asarray(ends, np.int64)[self.order]
        self.labels = np.asarray(labels, np.int64)[self.order]
        self.middles = (self.starts + self.ends - 1) // 2
        concepts = np.arange(len(passes.x.longest)) if concepts is None else np.asarray(concepts, np.int64)
        self.concept, self.members, table = _concepts(concepts.tobytes())
        self.columns = table[self.concept[self.labels]]  # (N, L)
        matters = np.zeros(len(table), bool)
        matters[self.concept[self.labels]] = True
        self.asked = np.flatnonzero(matters[self.concept])  # labels whose sources matter
        self.reached = np.maximum.accumulate(self.ends)  # in order, so that calls are found by bisection
        self.panels = passes.panels()
        self.closed = [passes.closed(way) for way in (0, 1)]
        self.lead = int((passes.forward.model.longest + passes.forward.model.period).max())
        self.walk: Callable = lru_cache(SIDES)(self._walk)

    def describe(self) -> Described:
        N, L = self.columns.shape
        out = Described(*(np.zeros(N) for _ in range(4)), *(np.zeros(N, t) for t in (int, int, float) * 2))
        emission, before, behind = np.zeros((N, L)), np.zeros((N, L)), np.zeros((N, L))
        backward = np.zeros(N)  # offset of backward scores at the end, less that at the start
        constants = self.passes.constants()
        pool = self.passes.pool
        busy = [k for k, (_, u, v) in enumerate(self.panels) if self._near(u, v).size]
        width = 2 * pool._max_workers
        for i in range(0, len(busy), width):
            for k, found in zip(busy[i : i + width], spread(pool, self._panel, busy[i : i + width]), strict=False):
                out.label[found.touched] += found.covered
                emission[found.touched] += found.emission
                out.start[found.begun], before[found.begun] = found.start, found.before
                out.end[found.ended], behind[found.ended] = found.end, found.behind
                backward[found.begun] -= constants[self.panels[k][0]]
                backward[found.ended] += constants[self.panels[k][0]]
                bounds = out.start_low, out.start_high, out.end_low, out.end_high
                for field, values in zip(bounds, found.interval.T, strict=True):
                    field[found.middle] = values
                out.start_mass[found.middle], out.end_mass[found.middle] = found.mass.T
        out.label[:] /= self.ends - self.starts
        out.segment[:] = self._segments(before, emission, behind + backward[:, None])
        back = np.argsort(self.order)
        return Described(*(field[back] for field in out))

    def intervals(self) -> tuple[NDArray, ...]:
        """Return the fields of `Described` that are known where a call's middle is."""
        interval, mass = np.zeros((len(self.starts), 4), int), np.zeros((len(self.starts), 2))
        for k, (_, u, v) in enumerate(self.panels):
            if ((self.middles >= u) & (self.middles < v)).any():
                found = self._panel(k)
                interval[found.middle], mass[found.middle] = found.interval, found.mass
        columns = *interval[:, :2].T, mass[:, 0], *interval[:, 2:].T, mass[:, 1]
        back = np.argsort(self.order)
        return tuple(column[back] for column in columns)

    def _near(self, u: int, v: int) -> NDArray:
        """Return the calls that cover a position of [u, v)."""
        low, high = np.searchsorted(self.reached, u, "right"), np.searchsorted(self.starts, v)
        return low + np.flatnonzero(self.ends[low:high] > u)

    def _summed(self, rows: NDArray, calls: NDArray) -> NDArray:
        """Return the sum over each call's concept of its row of (., C) values."""
        return self._chosen(rows, calls, 0.0).sum(1)

    def _chosen(self, rows: NDArray, calls: NDArray, absent: float) -> NDArray:
        """Return (., L): the columns of each call's concept."""
        columns = self.columns[calls]
        return np.where(columns >= 0, rows[np.arange(len(rows))[:, None], columns], absent)

    def _panel(self, k: int) -> Found:
        """Return what one panel knows of its calls."""
        passes, (chunk, u, v) = self.passes, self.panels[k]
        p = passes.panel(chunk, u, v)
        x = passes.forward.emissions(u, v)
        calls = self._near(u, v)
        a, b, m = (
            np.maximum(self.starts[calls], u) - u, np.minimum(self.ends[calls], v) - u, self.middles[calls] + 1 - u,
        )  # fmt: skip
        inside = (0 < m) & (m <= v - u)
        where, rows = np.unique(np.concatenate([a, b, m[inside] - 1, m[inside]]), return_inverse=True)
        a, b, at, right = np.split(rows, np.cumsum([len(calls), len(calls), inside.sum()]))
        covered, position = (np.empty((len(where), x.shape[1])) for _ in range(2))
        cover(p.h, p.f, p.alpha, p.beta, p.partition, p.shares, x, where, covered, position)
        side = self._side(0, k, p, x, where)
        emission = np.where(side.low[b] > where[a][:, None], -np.inf, side.S[b] - side.S[a])
        begun = calls[(self.starts[calls] >= u)]
        ended = calls[(self.ends[calls] <= v)]
        middle = calls[inside]
        s, t = self.starts[begun] - u, self.ends[ended] - u
        begins = self._summed(np.exp(p.h[s] + p.f[s] - p.partition), begun)
        finishes = self._summed(np.exp(p.alpha[t] + p.beta[t] - p.partition), ended)
        if self.closed[0]:  # a first segment may have begun before
            begins[self.starts[begun] == 0] = 0
        if self.closed[1]:
            finishes[self.ends[ended] == passes.length] = 0
        sides = side._replace(S=side.S[right], low=side.low[right]), self._side(1, k, p, x, v - u - where[right])
        interval, mass = self._intervals(k, sides, self._summed(position[at], middle), middle)
        return Found(
            calls, self._summed(covered[b] - covered[a], calls), self._chosen(emission, calls, -np.inf),
            begun, begins, self._before(p, begun),
            ended, finishes, self._behind(p, ended),
            middle, interval, mass,
        )  # fmt: skip

    def _before(self, p: Panel, calls: NDArray) -> NDArray:
        """Return (., L): what comes before each call, the panel's partition taken off."""
        s = self.starts[calls] - p.u
        rows = p.h[s]
        if self.closed[0]:  # the virtual starts' weights are in the survival sums
            rows[self.starts[calls] == 0] = 0
        return self._chosen(rows - p.partition, calls, -np.inf)

    def _behind(self, p: Panel, calls: NDArray) -> NDArray:
        """Return (., L): what comes behind each call."""
        rows = p.beta[self.ends[calls] - p.u]
        if self.closed[1]:
            rows[self.ends[calls] == self.passes.length] = 0
        return self._chosen(rows, calls, -np.inf)

    def _segments(self, before: NDArray, emission: NDArray, behind: NDArray) -> NDArray:
        """Return the posterior of exactly each segment, summed over its concept."""
        x, T = self.passes.x, self.passes.length
        tables = self.passes.forward.cut_laws()
        table = self.columns
        c, k = np.maximum(table, 0), (self.ends - self.starts)[:, None]
        steps = np.maximum(-(-(k - x.longest[c]) // x.period[c]), 0)
        rows = np.minimum(k - steps * x.period[c], x.longest[c])
        beyond = np.where(steps > 0, np.maximum(steps, 1) * x.tail[c], 0.0)
        first, last = (self.starts == 0)[:, None], (self.ends == T)[:, None]
        length = x.durations[rows, c]
        if tables.enter is not None and self.closed[0]:
            length = np.where(first, tables.enter[rows, c], length)
        if tables.leave is not None and self.closed[1]:
            length = np.where(last, tables.leave[rows, c], length)
        length = length + beyond
        if all(self.closed):
            length = np.where(first & last, tables.both[c], length)
        return np.where(table >= 0, np.exp(before + emission + length + behind), 0.0).sum(1)

    def _intervals(self, k: int, sides: tuple[Side, Side], inside: NDArray, calls: NDArray) -> tuple[NDArray, NDArray]:
        """Return the bounds (., 4) and masses (., 2) of the intervals of calls whose middle is in the panel."""
        interval, mass = np.zeros((len(calls), 4), int), np.zeros((len(calls), 2))
        for concept in np.unique(self.concept[self.labels[calls]]):
            own = np.flatnonzero(self.concept[self.labels[calls]] == concept)
            interval[own], mass[own] = self._concept(k, sides, own, self.members[concept], calls[own], inside[own])
        return interval, mass

    def _concept(self, k: int, sides, rows: NDArray, labels: NDArray, calls: NDArray, inside: NDArray):
        """Return bounds and masses for the calls of one concept, which have some rows of both sides."""
        forward, (_, u, v) = self.passes.forward, self.panels[k]
        m, n = self.middles[calls], v - u
        low, high = np.zeros((len(calls), 2), int), np.zeros((len(calls), 2), int)
        mass, final = np.zeros((len(calls), 2)), np.zeros((len(calls), 2), bool)
        common = forward.model, forward.weights, labels, *sides
        survey(*common, rows, m + 1 - u, n, self.lead, inside, self.level, low, high, mass, final)
        for i in np.flatnonzero(~final.all(1)):
            law = [np.empty(n + self.lead + 1) for _ in range(2)]
            rest = [np.zeros((len(labels), max(1, int(forward.model.period.max())))) for _ in range(2)]
            reach = laws(*common, rows[i], m[i] + 1 - u, n, self.lead, inside[i], law[0], rest[0], law[1], rest[1])
            for way in np.flatnonzero(~final[i]).tolist():
                end = m[i] + 1 if way == 0 else self.passes.length - m[i]
                low[i, way], high[i, way], mass[i, way] = self._far(
                    way, k, labels, sides[way].begin, end, law[way][: reach[way]], rest[way]
                )
        interval = np.stack([m - high[:, 0], m - low[:, 0], m + 1 + low[:, 1], m + 1 + high[:, 1]], 1)
        none = high[:, 0] < 0  # nothing of the concept covers the middle
        interval[none] = np.stack([self.starts[calls]] * 2 + [self.ends[calls]] * 2, 1)[none]
        return interval, mass

    def _side(self, way: int, k: int, p: Panel, emissions: NDArray, where: NDArray) -> Side:
        """Return the sources of a panel in one direction, and what is known of them at the boundaries `where`."""
        model, n, C = self.passes.forward.model, p.v - p.u, emissions.shape[1]
        state = (p.before, p.behind)[way]
        order = np.argsort(where, kind="stable")
        columns = self.lead + n
        near = len(where) > 0 and bool(where.min() <= self.lead)  # else the sources before the panel are too old
        crossing = self.passes.crossing(way, self.panels[k][0], p) if near else np.zeros_like(state.ring)
        side = Side(
            begin=p.u if way == 0 else self.passes.length - p.v, closed=self.closed[way],
            at=np.empty((C, columns), np.int64), g=np.empty((C, columns)), bound=np.empty((C, columns)),
            older=np.empty((C, columns)), alive=np.empty(C, np.int64), folded=state.folded + state.offset,
            S=np.empty((len(where), C)), low=np.empty((len(where), C), np.int64),
        )  # fmt: skip
        h, other = (p.h, p.f) if way == 0 else (p.beta, p.alpha)
        gather(
            way, model, self.asked, state.ring + state.offset, side.folded, crossing, h, other, p.partition,
            emissions, where[order], *side[2:7], *side[8:],
        )  # fmt: skip
        back = np.argsort(order)
        return side._replace(S=side.S[back], low=side.low[back])

    def _walk(self, way: int, k: int) -> Side:
        """Return one side of another panel, with what is known at its far end."""
        p = self.passes.panel(*self.panels[k])
        return self._side(way, k, p, self.passes.forward.emissions(p.u, p.v), np.array([p.v - p.u]))

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
            *found, final = settle_law(model, labels, end - begin, law, reach, rest, self.level, way == 0)
            if final:
                return found

    def _oldest(self, labels: NDArray, begin: int, end: int, law: NDArray, rest: NDArray, way: int):
        """Return an interval of a law whose folded rows count as if they were their latest sources."""
        model, reach = self.passes.forward.model, len(law)
        law = np.concatenate([law, np.zeros(max(0, end - begin + self.lead + 1 - reach))])
        for i, c in enumerate(labels):
            for row in np.flatnonzero(rest[i]):
                law[end - 1 - begin + model.longest[c] + model.period[c] - row] += rest[i, row]
        return settle_law(model, labels, end - begin, law, len(law), np.zeros_like(rest), self.level, way == 0)[:3]
