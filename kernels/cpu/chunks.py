"""Both directions of one sequence, cut into chunks that run at once and are then made to agree."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import scratch
from ..errors import InfeasibleError
from ..plan import Plan, boundaries
from ..seams import ENOUGH, GAP, Seam, Settled, Verdict, before, settle
from .directions import Direction, State
from .meeting import ahead, same_up_to_constant, span, total_variation
from .threads import spread


class Values(NamedTuple):
    """Scores of every boundary of a stretch, in the offsets of the chunk it belongs to."""

    alpha: NDArray  # (n, C) at the boundaries behind the first
    h: NDArray  # (n, C) at the boundaries before the last


class Run:
    """One chunk in one direction: the states at its marks and, where kept, the scores in between."""

    def __init__(self, start: State, rows: Values | None = None):
        self.start = start.position
        self.states = {start.position: start}
        self.rows = rows  # of the boundaries from the start on; filled as far as `end`
        self.end = start

    def between(self, a: int, b: int) -> Values:
        """Return the scores between two boundaries, as views."""
        assert self.rows is not None
        return Values(*(x[a - self.start : b - self.start] for x in self.rows))

    def join(self, old: "Run", mark: int, amount: float | complex | int) -> None:
        """Move every score by a constant, and go on as `old` does from a mark where it then stands too."""
        for t, state in self.states.items():
            self.states[t] = state._replace(offset=state.offset + amount)
        self.states.update({t: later for t, later in old.states.items() if t >= mark})
        if self.rows is not None:
            for mine in self.between(self.start, mark):
                mine += amount
            rest = mark, old.end.position
            for mine, theirs in zip(self.between(*rest), old.between(*rest), strict=True):
                mine[:] = theirs
        self.end = old.end


def travel(direction: Direction, run: Run, marks: list[int], old: Run | None = None) -> int:
    """Extend a run over its marks, joining `old` where their states agree; return the positions computed."""
    begun = run.end.position
    for mark in marks:
        state = run.end
        while state.position < mark:
            stop, offset = min(mark, state.position + direction.stride), state.offset
            out = None if run.rows is None else run.between(state.position, stop)
            state, *scores = direction.step(state, stop, out)
            if out is not None and offset != 0:
                for x in scores:
                    x += offset
        run.states[mark] = run.end = state
        met = old.states.get(mark) if old is not None else None
        if met is not None and old is not None and old.end.position >= marks[-1]:
            agree, constant = _agree(direction, state, met)
            if agree:
                run.join(old, mark, met.offset + constant - state.offset)
                return mark - begun
    return run.end.position - begun


def _agree(direction: Direction, new: State, old: State) -> tuple[bool, float | int]:
    """Return whether two states are one up to a constant, and what to add to `new` to make it `old`."""
    if direction.fixed:
        return same_up_to_constant(new, old, direction.never)
    gap, mean = span(new, old)
    return gap <= GAP, -mean


class Chunks:
    """All runs of one sequence; `settle` makes them one."""

    def __init__(self, directions: list[Direction], plan: Plan, pool: ThreadPoolExecutor, left=None, right=None):
        self.directions, self.plan, self.pool = directions, plan, pool
        T = directions[0].length
        self.edges = boundaries(T, plan.chunks)
        self.marks = []  # absolute marks of every chunk, forward order, both ends included
        for a, b in zip(self.edges, self.edges[1:], strict=False):
            self.marks.append([*range(a, b, plan.mark), b])
        self.starts = (left, right)
        self.runs: dict[Seam, Run] = {}
        self.settled = Settled(0, 0, 0.0, 0.0)

    def own_marks(self, seam: Seam) -> list[int]:
        """Return a chunk's marks in its direction's own coordinates, in the order of travel."""
        way, i = seam
        T = self.directions[way].length
        return self.marks[i] if way == 0 else [T - t for t in reversed(self.marks[i])]

    def first(self, way: int) -> Seam:
        return (way, 0 if way == 0 else self.plan.chunks - 1)

    def _run(self, seam: Seam, start: State | None = None) -> tuple[Run, int]:
        direction, marks = self.directions[seam[0]], self.own_marks(seam)
        if start is None:
            start = self.starts[seam[0]] if seam == self.first(seam[0]) else None
            if start is None and seam == self.first(seam[0]):
                start = direction.start()
            if start is None:
                early = marks[0] - self.plan.warm_up
                known = early <= 0 and self.starts[seam[0]] is None  # then the warm-up is the sequential run
                warm = Run(direction.start() if known else direction.blank(max(0, early)))
                travel(direction, warm, [marks[0]] if warm.end.position < marks[0] else [])
                start = warm.end
        run = Run(start._replace(offset=0), self._room(direction, marks[-1] - marks[0]) if self.plan.keep else None)
        positions = travel(direction, run, marks[1:], self.runs.get(seam))
        return run, positions

    def settle(self) -> Settled:
        """Run every chunk, then repair until all seams agree.

        An error names the first boundary that no state reaches, whatever the chunks are: chunks that know nothing of
        their left live on where there is no way.
        """
        try:
            return self._settle()
        except InfeasibleError:
            raise InfeasibleError(0, self.directions[0].unreached(self.starts[0])) from None

    def _settle(self) -> Settled:
        everything = [(way, i) for way in range(len(self.directions)) for i in range(self.plan.chunks)]
        for seam, (run, _) in zip(everything, spread(self.pool, self._run, everything), strict=True):
            self.runs[seam] = run
        inner = [s for s in everything if s != self.first(s[0])]
        self.settled = settle(inner, lambda seams: spread(self.pool, self._compare, seams), self._repair)
        return self.settled

    def _states(self, seam: Seam) -> tuple[State, State]:
        """Return the neighbour's end state and the state this chunk started from."""
        run = self.runs[seam]
        return self.runs[before(seam)].end, run.states[min(run.states)]

    def _compare(self, seam: Seam) -> Verdict:
        there, here = self._states(seam)
        if self.directions[seam[0]].fixed:
            return Verdict(same_up_to_constant(there, here, self.directions[seam[0]].never)[0], 0.0, 0.0)
        gap, _ = span(there, here)
        if gap <= GAP:
            return Verdict(True, gap, gap / 4)
        if len(self.directions) == 1:
            return Verdict(False, gap, 1.0)
        tv, _ = total_variation(there, here, self._beyond(seam))
        return Verdict(tv <= ENOUGH, gap if np.isfinite(gap) else 0.0, tv)

    def _beyond(self, seam: Seam):
        """Return what the other direction has to say about the boundary at which this chunk starts."""
        way, i = seam
        other = (1 - way, i)
        return ahead(self.directions[1 - way], self.runs[other].end)

    def _repair(self, lists: list[list[Seam]], failed: set[Seam]) -> Iterator[tuple[int, set[Seam]]]:
        for runs, positions in list(spread(self.pool, lambda seams: self._scan(seams, failed), lists)):
            moved = {seam for seam, run in runs.items() if run.end is not self.runs[seam].end}
            self.runs.update(runs)
            yield positions, {seen for seam in moved for seen in self._touched(seam)}

    def _scan(self, seams: list[Seam], failed: set[Seam]) -> tuple[dict[Seam, Run], int]:
        """Return new runs of neighbouring chunks, each from the last one's end; those that may stay are left out."""
        runs: dict[Seam, Run] = {}
        positions = 0
        for seam in seams:
            there, here = self._states(seam)
            left = runs.get(before(seam))
            if left is not None and _agree(self.directions[seam[0]], left.end, here)[0]:
                continue
            if left is None and seam not in failed:
                continue
            runs[seam], computed = self._run(seam, there if left is None else left.end)
            positions += computed
        return runs, positions

    def _touched(self, seam: Seam) -> set[Seam]:
        """Return the seams that see the end state of this chunk."""
        way, i = seam
        step = 1 if way == 0 else -1
        return {(way, i + step), (1 - way, i)}

    def constants(self, way: int) -> list[float | int | complex]:
        """Return what must be added to each chunk's scores to put all of one direction on one scale."""
        chain = range(self.plan.chunks) if way == 0 else range(self.plan.chunks - 1, -1, -1)
        out: list = [0] * self.plan.chunks
        total = self.starts[way].offset if self.starts[way] is not None else 0
        for i in chain:
            seam = (way, i)
            if seam != self.first(way):
                there, here = self._states(seam)
                total = total + there.offset - here.offset + self._ratio(seam, there, here)
            out[i] = total
        return out

    def _ratio(self, seam: Seam, there: State, here: State):
        direction = self.directions[seam[0]]
        if there is here:
            return 0
        agree, constant = _agree(direction, there, here)
        if agree:
            return -constant
        return total_variation(there, here, self._beyond(seam))[1]

    def panels(self) -> Iterator[tuple[int, int, int]]:
        """Yield (chunk, first boundary, last boundary) of stretches that begin and end at known states, in order."""
        for i, marks in enumerate(self.marks):
            every = max(1, self.plan.panel // self.plan.mark)
            stops = [*marks[:-1][::every], marks[-1]]
            yield from ((i, u, v) for u, v in pairwise(stops))

    def state(self, way: int, chunk: int, t: int) -> State:
        """Return the state of one direction at a mark (forward coordinates)."""
        return self.runs[way, chunk].states[t if way == 0 else self.directions[way].length - t]

    def last(self) -> State:
        """Return the forward state at the end of the sequence."""
        return self.runs[0, self.plan.chunks - 1].end

    def values(self, way: int, chunk: int, u: int, v: int) -> Values:
        """Return the scores between two marks, in own order, computed again where they were not kept."""
        direction, run = self.directions[way], self.runs[way, chunk]
        T = direction.length
        a, b = (u, v) if way == 0 else (T - v, T - u)
        if self.plan.keep:
            return run.between(a, b)
        again = Run(run.states[a], self._room(direction, b - a))
        travel(direction, again, [b])
        return again.between(a, b)

    def _room(self, direction: Direction, n: int) -> Values:
        """Return memory for the scores of n boundaries."""
        shape = n, len(direction.x.longest)
        return Values(scratch(shape, direction.dtype), scratch(shape, direction.dtype))
