"""All chunks of a batch, run at once and made to agree at every seam; the host sees a handful of numbers.

Chunks of all items stand in one table, in order; a way is a direction of travel (0 forward, 1 backward). Forward and
backward passes are runs of one launch.
"""

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..edges import virtual_rows
from ..lasting import constant, lasting, sent
from ..plan import boundaries
from ..resolve import Layout, Leaves, Sequence
from ..seams import ENOUGH, Seam, Settled, Verdict, before, settle
from .advance import Rows, Run, advance_launch
from .meeting import begin, entries, meet, same_up_to_constant, total_variation
from .model import Model
from .pieces import Table, table_of
from .plan import Plan
from .states import States, load, new_pool, scores_dtype, unload
from .tiles import FLOOR, LOG2E, NEVER

Number = TypeVar("Number", int, NDArray)
SLACK = 4 * ENOUGH * LOG2E  # a span of it is at most ENOUGH of total variation


class Batch:
    """One batch on the device: the model and the inputs the kernels read."""

    def __init__(
        self,
        model: Model,
        leaves: Leaves,
        layout: Layout,
        x: Sequence,
        emissions: Tensor,
        scores: Tensor,
        limits: Tensor,
        ends: tuple[Tensor, Tensor],
        forbidden: tuple[bool, bool],
    ):
        self.model, self.leaves, self.layout, self.x = model, leaves, layout, x
        self.limits = limits  # (B,) lengths
        self.ends = ends  # (B, C) scores of segments that begin (end) at exact ends
        self.emissions, self.scores = emissions, scores  # (B, T, C), (B, T + 1, columns), as the kernels take them
        self.forbidden = forbidden[0]  # whether any emission is -inf
        self.sparse = any(forbidden)  # or any boundary score
        self.lengths = [int(n) for n in layout.lengths]
        self.device = emissions.device
        self.dtype = scores_dtype(model)

    def start(self, way: int) -> States:
        """Return the state at the sequences' own ends (entries of exact ends are set by item, see `Chunks`)."""
        s, x = self.model.sizes, self.x
        never = lambda *shape: torch.full((1, *shape), NEVER, dtype=self.dtype, device=self.device)  # noqa: E731
        states = States(never(s.labels), never(s.labels), never(s.longest + s.folds, s.labels), never(s.labels))
        if (x.right if way else x.left) == "exact":
            return states
        if self.model.fixed:
            states.first[:] = 0
            return states
        first, origin = (np.zeros((1, s.labels)), 0) if way else (x.first, x.origin)
        ring, folded = virtual_rows(first, x.longest, x.tail, x.period, origin)
        rows = np.full((s.longest + s.folds, s.labels), -np.inf)
        for c, (K, p) in enumerate(zip(x.longest, self.model.period.tolist(), strict=True)):
            rows[:K, c] = ring[:K, c]
            rows[K : K + p, c] = folded[:p, c][::-1]
        states.entry[:] = self.scale(first[origin % len(first)])
        states.open[:] = self.scale(rows)
        return states

    def scale(self, nats: NDArray) -> Tensor:
        """Return scores in nats as the kernels take them."""
        return sent(np.where(np.isneginf(nats), float(NEVER), nats * LOG2E), self.device)

    def blank(self, n: int) -> States:
        """Return n uninformative states: every label, every age, equally likely."""
        s = self.model.sizes
        zeros = lambda *shape: torch.zeros(n, *shape, dtype=self.dtype, device=self.device)  # noqa: E731
        age = torch.arange(1, s.longest + s.folds + 1, device=self.device)[:, None]
        open_ = zeros(s.longest + s.folds, s.labels)
        open_[:, age > self.model.longest + self.model.period] = NEVER
        return States(zeros(s.labels) + NEVER, zeros(s.labels), open_, zeros(s.labels) + NEVER)


@lasting(64)
def table(lengths: tuple[int, ...], parts: tuple[int, ...], T: int, device: torch.device) -> Table:
    """Return the chunks of items of these lengths in so many parts, with rows of a batch whose items take T + 1."""
    rows = []
    for item, (length, n) in enumerate(zip(lengths, parts, strict=True)):
        rows += [(item, a, b, item * (T + 1) + a) for a, b in pairwise(boundaries(length, n))]
    return table_of(np.array(rows, np.int64), device)


class Chunks:
    """The chunks of a batch, where each begins and ends in both ways, and what lies ahead of it."""

    def __init__(self, batch: Batch, plan: Plan, ways: int):
        self.batch, self.plan, self.ways = batch, plan, ways
        T = batch.emissions.shape[1]
        self.table = table(tuple(batch.lengths), plan.parts, T, batch.device)
        self.item, self.left, self.right, row = self.table.host.T
        self.count = len(row)
        length = np.array(batch.lengths)[self.item]
        # whether a chunk begins where its item does, by way
        self.outer = np.stack([self.left == 0, self.right == length])
        # nothing is open where chunks begin and end: sequences in one piece, between exact ends
        self.closed = bool(self.outer.all()) and (batch.layout.left, batch.layout.right) == ("exact", "exact")
        self.emission_row, self.boundary_row = self.item * T, row - self.left
        self.rows: tuple[Rows, Rows] | None = None
        if plan.waves == 1:
            self.rows = self.room(len(batch.lengths) * (T + 1))
        self.settled = Settled(0, 0, 0.0, 0.0)

    def at_ends(self, way: int) -> Tensor | slice:
        """Return which chunks begin where items do."""
        if self.closed:
            return slice(None)
        return sent(np.flatnonzero(self.outer[way]), self.batch.device)

    def room(self, n: int) -> tuple[Rows, Rows]:
        """Return rows for n boundaries."""
        C, dtype, device = self.batch.model.sizes.labels, self.batch.dtype, self.batch.device
        empty = partial(torch.empty, n, C, dtype=dtype, device=device)
        pairs = [Rows(empty(), empty()) for _ in range(self.ways)]
        return pairs[0], pairs[-1]  # with one way, nothing goes to the second

    def runs(self, way: NDArray, chunk: NDArray, begin: NDArray, length: NDArray, out: NDArray | None) -> Tensor:
        """Return runs of these ways from forward boundaries `begin` on; `out`: rows of those boundaries, None: none."""
        step = np.where(way == 0, 1, -1)
        x = self.batch.layout
        phase = np.where(way == 0, x.origin + begin, -begin - x.origin)
        phase %= self.batch.model.sizes.phases
        zero = np.zeros_like(begin)
        columns = Run(
            emission_row=self.emission_row[chunk] + begin - way,
            boundary_row=self.boundary_row[chunk] + begin,
            out_row=zero if out is None else out,
            step=step,
            way=way,
            phase=phase,
            end=length,
            keep=zero + (out is not None),
            age=begin,
        )
        return (constant if self.closed else sent)(np.stack(columns, 1), self.batch.device)

    def run(
        self,
        way: NDArray,
        chunk: NDArray,
        begin: NDArray,
        length: NDArray,
        starts: States,
        rows: tuple[Rows, Rows] | None,
        at: NDArray | None = None,
    ) -> States:
        """Return the states after runs from `starts`, as many at once as the plan allows.

        Scores go to `rows`, where those of boundary `begin` stand at `at` (as boundaries of the batch by default).
        """
        batch, width = self.batch, self.plan.runs
        ends = []
        for i in range(0, len(way), width):
            part = slice(i, i + width)
            n = len(way[part])
            pool = new_pool(batch.model, n)
            load(batch.model, pool, starts if n == len(way) else starts.at(part))
            out = None
            if rows is not None:
                out = self.boundary_row[chunk[part]] + begin[part] if at is None else at[part]
            runs = self.runs(way[part], chunk[part], begin[part], length[part], out)
            kept = self.room(1) if rows is None else rows
            advance_launch(batch.model, pool, runs, batch.emissions, batch.scores, kept, self.plan.warps, batch.sparse)
            if self.closed:  # what is open there does not matter
                ends.append(States(pool.alpha, pool.entry, pool.alpha.new_empty(n, 0, pool.alpha.shape[1]), pool.first))
                continue
            stand = sent(np.stack([length[part], begin[part] + length[part]]), batch.device)
            ends.append(unload(batch.model, pool, stand[0], stand[1]))
        return ends[0] if len(ends) == 1 else States(*(torch.cat(x) for x in zip(*ends, strict=True)))

    def again(self, chunk: NDArray, rows: tuple[Rows, Rows], first: int) -> None:
        """Fill rows, from boundary `first` of an item on, with the scores of some of its chunks."""
        way, chunk = np.repeat([0, 1], len(chunk)), np.tile(chunk, 2)
        starts = self.starts.at(sent(way * self.count + chunk, self.batch.device))
        begin = self._edges(way, chunk)
        self.run(way, chunk, begin, self.right[chunk] - self.left[chunk], starts, rows, begin - first)

    def own_start(self, way: NDArray, chunk: NDArray) -> States:
        """Return the states at the ends of the items of some chunks."""
        parts = [self.batch.start(w) for w in range(self.ways)]
        index = sent(way, self.batch.device)
        states = States(*(torch.cat(x)[index] for x in zip(*parts, strict=True)))
        x, item = self.batch.layout, sent(self.item[chunk], self.batch.device)
        for w, (edge, given) in enumerate(zip((x.left, x.right), self.batch.ends, strict=True)):
            if edge == "exact" and w < self.ways:
                states.entry[index == w] = given[item[index == w]]
        return states

    def settle(self) -> None:
        """Run every chunk, then repair until all seams agree."""
        way = np.repeat(np.arange(self.ways), self.count)
        chunk = np.tile(np.arange(self.count), self.ways)
        self.starts = self._warmed(way, chunk)
        self.ends = self._advance(way, chunk, self.starts)
        self.ahead = self._ahead(chunk, way) if self.ways == 2 and not self.closed else None
        inner = [(w, i) for w in range(self.ways) for i in np.flatnonzero(~self.outer[w]).tolist()]
        self.settled = settle(inner, self._compare, self._repair)

    def _edges(self, way: NDArray, chunk: NDArray) -> NDArray:
        """Return where chunks begin, in their ways."""
        return np.where(way == 0, self.left[chunk], self.right[chunk])

    def _leg(self, way: NDArray, chunk: NDArray, leg: int) -> tuple[NDArray, NDArray]:
        """Return where a leg of chunks begins, and its length."""
        left, right = self.left[chunk], self.right[chunk]
        if self.plan.legs == 1:
            return self._edges(way, chunk), right - left
        mark = lambda n: left + (right - left) * n // self.plan.legs  # noqa: E731
        first = np.where(way == 0, mark(leg), mark(self.plan.legs - leg))
        last = np.where(way == 0, mark(leg + 1), mark(self.plan.legs - leg - 1))
        return first, np.abs(last - first)

    def _advance(self, way: NDArray, chunk: NDArray, starts: States) -> States:
        """Return where all chunks end; scores are kept where the plan says so, and the states behind each leg."""
        self.marks: list[States] = []
        for leg in range(self.plan.legs):
            begin, length = self._leg(way, chunk, leg)
            self.marks.append(self.run(way, chunk, begin, length, self.marks[-1] if leg else starts, self.rows))
        return self.marks[-1]

    def _redo(self, seams: list[Seam], starts: States) -> tuple[NDArray, list[Seam]]:
        """Run chunks again until they meet what they computed before; return positions, and whose ends moved."""
        way, chunk = np.array(seams).T
        place = self._index(seams)
        positions, going = np.zeros(len(seams), np.int64), np.arange(len(seams))
        now = starts
        self.starts.put(place, starts)
        for leg in range(self.plan.legs):
            w, i = way[going], chunk[going]
            begin, length = self._leg(w, i, leg)
            now = self.run(w, i, begin, length, now, self.rows)
            positions[going] += length
            index = place[sent(going, place.device)]
            met, amount = same_up_to_constant(self.marks[leg].at(index), now, 0 if self.batch.model.fixed else SLACK)
            self.marks[leg].put(index, now)
            agree = met.cpu().numpy() & (leg + 1 < self.plan.legs)
            if agree.any():
                at = sent(agree, index.device)
                self._join(w[agree], i[agree], leg, index[at], amount[at])
                going = going[~agree]
                now = now.at(~at)
            if len(going) == 0:
                break
        return positions, [seams[k] for k in going]

    def _join(self, way: NDArray, chunk: NDArray, leg: int, index: Tensor, amount: Tensor) -> None:
        """Put what was computed again of some chunks, up to a leg's end, on the scale of what comes behind."""
        for states in (self.starts, *self.marks[: leg + 1]):
            states.put(index, states.at(index).shifted(amount))
        if self.rows is None:
            return
        begin, length = self._leg(way, chunk, leg)
        first, stop = self._edges(way, chunk), np.where(way == 0, begin + length, begin - length)
        for w in range(self.ways):
            mine = way == w
            low = (self.boundary_row[chunk] + np.minimum(first, stop))[mine]
            n = np.abs(stop - first)[mine]
            if len(n) == 0:
                continue
            row = np.repeat(low - np.concatenate([[0], np.cumsum(n)[:-1]]), n) + np.arange(n.sum())
            at = sent(row, self.batch.device)
            more = amount[sent(np.repeat(np.flatnonzero(mine), n), self.batch.device)][:, None]
            # forward, h belongs to the first boundary of a step and alpha to the second; backward the other way round
            for x, shift in ((self.rows[w].h, w), (self.rows[w].alpha, 1 - w)):
                part = x[at + shift]
                x[at + shift] = torch.where(part > FLOOR, part + more, NEVER)

    def _warmed(self, way: NDArray, chunk: NDArray) -> States:
        """Return the states chunks begin with: true ones at the ends of items, elsewhere what a warm-up reaches."""
        if self.closed:
            return self._closed_starts()
        starts = self.own_start(way, chunk)
        inner = np.flatnonzero(~self.outer[way, chunk])
        if len(inner) == 0:
            return starts
        w, i = way[inner], chunk[inner]
        edge, length = self._edges(w, i), np.array(self.batch.lengths)[self.item[i]]
        room = np.where(w == 0, edge, length - edge)
        ahead = np.minimum(room, self.plan.warm_up)
        known = room <= self.plan.warm_up  # then the warm-up is the sequential run
        begin = edge - np.where(w == 0, ahead, -ahead)
        index = sent(inner, self.batch.device)
        blank, true = self.batch.blank(len(inner)), starts.at(index)
        pick = sent(known, self.batch.device)
        first = States(
            *(torch.where(pick.view(-1, *[1] * (t.ndim - 1)), t, b) for t, b in zip(true, blank, strict=True))
        )
        warm = normalised(self.run(w, i, begin, ahead, first, None))
        starts.put(index, warm)
        return starts

    def _closed_starts(self) -> States:
        """Return the states of sequences in one piece, between exact ends: nothing but how segments may start."""
        C = self.batch.model.sizes.labels
        entry = torch.cat(self.batch.ends[: self.ways])
        never = torch.full_like(entry, NEVER)
        return States(never, entry, entry.new_empty(len(entry), 0, C), never)

    def place(self, way: int, chunk: Number) -> Number:
        """Return where a chunk's states stand in `starts` and `ends`."""
        return way * self.count + chunk

    def _index(self, seams: Iterable[Seam]) -> Tensor:
        return sent(np.array([self.place(*s) for s in seams], np.int64), self.batch.device)

    def _ahead(self, chunk: NDArray, way: NDArray) -> Tensor:
        """Return (n, A, C) what lies ahead of open segments where chunks begin in their ways."""
        across = sent((1 - way) * self.count + chunk, self.batch.device)
        return meet(self.batch.model, self.ends.open[across])

    def through(self, way: NDArray, chunk: NDArray, states: States) -> Tensor:
        """Return (n, 1 + A, C) everything that goes through where chunks begin, when it stands like `states` there."""
        batch = self.batch
        edge = self._edges(way, chunk)
        x = batch.layout
        phase = np.where(way == 0, x.origin + edge, -edge - x.origin) % batch.model.sizes.phases
        row = sent(self.boundary_row[chunk] + edge, batch.device)
        scores = batch.scores.flatten(0, 1)[row]
        h = states.entry.clone()
        for w in range(self.ways):
            mine = sent(way == w, batch.device)
            if (way == w).any():
                rows = sent(phase[way == w], batch.device)
                h[mine] = torch.maximum(h[mine], begin(batch.model, w, states.alpha[mine], rows, scores[mine]))
        across = sent((1 - way) * self.count + chunk, batch.device)
        assert self.ahead is not None
        mine = sent(way * self.count + chunk, batch.device)
        return entries(h, states.open, self.ends.alpha[across], self.ahead[mine])

    def _at_seams(self, seams: list[Seam]) -> tuple[States, States]:
        """Return what the neighbours end with, and what the chunks began with."""
        return self.ends.at(self._index(map(before, seams))), self.starts.at(self._index(seams))

    def _compare(self, seams: list[Seam]) -> list[Verdict]:
        there, here = self._at_seams(seams)
        if self.batch.model.fixed:
            agree, _ = same_up_to_constant(there, here)
            return [Verdict(ok, 0.0, 0.0) for ok in agree.tolist()]
        way, chunk = np.array(seams).T
        distance, _ = total_variation(self.through(way, chunk, there), self.through(way, chunk, here))
        return [Verdict(d <= ENOUGH, 0.0, d) for d in distance.tolist()]

    def _repair(self, lists: list[list[Seam]], failed: set[Seam]) -> Iterable[tuple[int, set[Seam]]]:
        """Run failed chunks again from their neighbours' ends; the n-th of all lists at once."""
        positions = [0] * len(lists)
        seen: list[set[Seam]] = [set() for _ in lists]
        moved: set[Seam] = set()
        for n in range(max(map(len, lists))):
            again = []
            for k, seams in enumerate(lists):
                if n < len(seams) and (seams[n] in failed or before(seams[n]) in moved):
                    again.append((k, seams[n]))
            if not again:
                continue
            seams = [seam for _, seam in again]
            starts = normalised(self.ends.at(self._index(map(before, seams))))
            computed, changed = self._redo(seams, starts)
            for (k, _), n_ in zip(again, computed, strict=True):
                positions[k] += int(n_)
            if self.ahead is not None and changed:
                across = self._index((1 - w, i) for w, i in changed)
                self.ahead[across] = meet(self.batch.model, self.ends.at(self._index(changed)).open)
            for k, (w, i) in again:
                if (w, i) in changed:
                    moved.add((w, i))
                    seen[k] |= {(w, i + (1 if w == 0 else -1)), (1 - w, i)}
        return list(zip(positions, seen, strict=True))

    def constants(self, way: int) -> Tensor:
        """Return (chunks,) what must be added to each chunk's scores to put all of an item on one scale."""
        order = np.arange(self.count) if way == 0 else np.arange(self.count)[::-1].copy()
        inner = order[~self.outer[way, order]]
        if len(inner) == 0:  # every chunk is an item
            return torch.zeros(self.count, dtype=self.batch.dtype, device=self.batch.device)
        step = torch.zeros(self.count, dtype=self.batch.dtype, device=self.batch.device)
        ways = np.full(len(inner), way)
        seams = [(way, int(i)) for i in inner]
        there, here = self._at_seams(seams)
        if self.batch.model.fixed:
            _, d = same_up_to_constant(there, here)
        else:
            _, d = total_variation(self.through(ways, inner, there), self.through(ways, inner, here))
        step[sent(inner, self.batch.device)] = d
        run = step if way == 0 else step.flip(0)
        total = run.cumsum(0)
        # sums begin anew with every item
        first = np.flatnonzero(self.outer[way] if way == 0 else self.outer[way][::-1])
        owner = sent(np.searchsorted(first, np.arange(self.count), side="right") - 1, self.batch.device)
        total = total - total[sent(first, self.batch.device)][owner]
        return total if way == 0 else total.flip(0)


def normalised(states: States) -> States:
    """Return states whose largest score is 0."""
    top = torch.maximum(states.alpha.amax(1), states.open.amax((1, 2)))
    top = torch.maximum(top, torch.maximum(states.first.amax(1), states.entry.amax(1)))
    return states.shifted(-torch.where(top > FLOOR, top, 0))
