"""How well called segments of a signal agree with the true ones: their ends within tolerances, and as a whole.

Onset is a segment's start, offset its last position. Calls and truth are paired one to one within a sequence and a
name, the closest first. What is called outside of a sequence's annotated stretch, from its first true segment to its
last, says nothing: a call counts, with both its ends, when it overlaps that stretch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .metrics import Accuracy

OVERLAP = 0.5  # intersection over union of segments that are the same
SIDES = ("onset", "offset")


class Segment(NamedTuple):
    """A named stretch; 0-based, half-open."""

    start: int
    end: int
    name: str
    start_posterior: float | None = None  # that a segment of this name starts about here
    end_posterior: float | None = None

    @property
    def ends(self) -> tuple[int, int]:
        """Onset and offset."""
        return self.start, self.end - 1


class Errors(NamedTuple):
    """Call minus truth of ends that were paired within the widest tolerance, in positions."""

    mean: float
    deviation: float
    median: float  # of what they are off by, either way


class Level(NamedTuple):
    """Agreement about one name."""

    ends: dict[tuple[str, float], Accuracy]  # by side and tolerance
    interval: Accuracy
    errors: dict[str, Errors]  # by side


class Judged(NamedTuple):
    """Ends that came with a posterior."""

    name: str
    side: str
    posterior: float
    right: bool  # whether truth has such an end near


class Agreement(NamedTuple):
    """Agreement of calls with the truth."""

    names: dict[str, Level]
    judged: list[Judged]
    outside: int  # calls that do not count


Calls = Mapping[str, Sequence[Segment]]


def compare(truth: Calls, calls: Calls, tolerances: Sequence[float], near: float) -> Agreement:
    """Return the agreement about (sequence -> segments); tolerances in positions, `near` for posteriors of ends."""
    names = sorted({s.name for found in truth.values() for s in found})
    counts = {name: _Counts(tolerances) for name in names}
    judged: list[Judged] = []
    outside = 0
    for sequence, true in truth.items():
        if not true:
            continue
        first, last = min(s.start for s in true), max(s.end for s in true)
        inside = [c for c in calls.get(sequence, ()) if c.start < last and c.end > first]
        outside += len(calls.get(sequence, ())) - len(inside)
        for name in names:
            t, c = ([s for s in sorted(found) if s.name == name] for found in (true, inside))
            counts[name].add(t, c)
            judged += judge(t, c, near)
    return Agreement({name: counts[name].level() for name in names}, judged, outside)


def judge(true: Sequence[Segment], called: Sequence[Segment], near: float) -> Iterable[Judged]:
    """Yield every called end that has a posterior, and whether there is a true one near it."""
    for side, which in zip(SIDES, ("start_posterior", "end_posterior"), strict=True):
        at = SIDES.index(side)
        places = np.array([t.ends[at] for t in true])
        for call in called:
            posterior = getattr(call, which)
            if posterior is not None:
                right = bool(len(places) and (np.abs(places - call.ends[at]) <= near).any())
                yield Judged(call.name, side, posterior, right)


class _Counts:
    """What adds up over sequences, about one name."""

    def __init__(self, tolerances: Sequence[float]):
        self.tolerances = tolerances
        self.true = self.called = self.same = 0
        self.right = {(side, tolerance): 0 for side in SIDES for tolerance in tolerances}
        self.errors: dict[str, list[int]] = {side: [] for side in SIDES}

    def add(self, true: Sequence[Segment], called: Sequence[Segment]) -> None:
        self.true += len(true)
        self.called += len(called)
        for at, side in enumerate(SIDES):
            off = np.array([[abs(c.ends[at] - t.ends[at]) for c in called] for t in true], float)
            for tolerance in self.tolerances:
                found = paired(off, tolerance)
                self.right[side, tolerance] += len(found)
                if tolerance == max(self.tolerances):
                    self.errors[side] += [called[j].ends[at] - true[i].ends[at] for i, j in found]
        apart = np.array([[-overlap(t, c) for c in called] for t in true], float)
        self.same += len(paired(apart, -OVERLAP))

    def level(self) -> Level:
        ends = {key: Accuracy(self.true, self.called, right) for key, right in self.right.items()}
        return Level(ends, Accuracy(self.true, self.called, self.same), {
            side: Errors(float(np.mean(x)), float(np.std(x)), float(np.median(np.abs(x)))) if x
            else Errors(np.nan, np.nan, np.nan)
            for side, x in self.errors.items()
        })  # fmt: skip


def overlap(a: Segment, b: Segment) -> float:
    """Return intersection over union."""
    both = min(a.end, b.end) - max(a.start, b.start)
    return max(0, both) / (a.end - a.start + b.end - b.start - max(0, both))


def paired(cost: np.ndarray, most: float) -> list[tuple[int, int]]:
    """Return pairs of row and column of a (N, M) cost of at most so much, the cheapest first, none used twice."""
    if cost.size == 0:
        return []
    rows, columns = np.nonzero(cost <= most)
    order = np.lexsort((columns, rows, cost[rows, columns]))
    used_rows, used_columns, out = set(), set(), []
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            out.append((i, j))
    return out
