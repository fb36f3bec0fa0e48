"""All posteriors of a batch: settle both directions, then combine them, group by group where memory is short."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cpu.batch import Asked, Options
from ..cpu.directions import Direction, State
from ..cpu.hidden import Edge, edge_counts, edge_rows
from ..cpu.threads import pool
from ..edges import edge_tables, virtual_phases
from ..lasting import sent
from ..results import Report
from . import changes as changes_
from . import durations as durations_
from . import posteriors
from .advance import Rows
from .calls import Scores, Survey
from .chunks import Batch, Chunks
from .inputs import Given, infeasible, law_and_grammar
from .meeting import log_sum
from .pieces import Table, table_of
from .states import States
from .tiles import FLOOR, LOG2E, NEVER

PIECE = 1 << 26  # bytes of what goes through boundaries looked at together


class Outputs(NamedTuple):
    """Posteriors of all boundaries and positions, for each plain label; None where not wanted."""

    start: Tensor | None  # (B, T + 1, C)
    end: Tensor | None  # (B, T + 1, C)
    position: Tensor | None  # (B, T, C)
    kinds: Tensor | None  # (B, T + 1, columns)

    def part(self, item: int, a: int, b: int) -> "Outputs":
        """Return boundaries a..b of an item as outputs of a batch of one."""
        return Outputs(*(None if x is None else x[item : item + 1, a : b + (x is not self.position)] for x in self))


class Group(NamedTuple):
    """Chunks whose scores are in memory together, and what belongs to them."""

    which: slice
    rows: tuple[Rows, Rows]
    chunks: Table  # items and rows are those of the views below
    emissions: Tensor
    scores: Tensor
    outputs: Outputs
    item: int | None  # of the batch, the only one of the views; None: all


class Sums(NamedTuple):
    """What is summed over all positions, float64; None where it is not wanted."""

    transitions: Tensor | None = None  # (B, P, C, C) expected changes of label
    durations: Tensor | None = None  # (B, K + 1, C)
    tail_steps: Tensor | None = None  # (B, C)
    closing: Tensor | None = None  # (chunks, C) errors with which positions close

    def plus(self, item: int | None, items: int, more: "Sums") -> "Sums":
        """Return these sums and those of one item, or of all (None) where there are none yet."""
        if item is None:
            return more

        def added(total: Tensor | None, x: Tensor | None) -> Tensor | None:
            if x is not None:
                total = x.new_zeros(items, *x.shape[1:]) if total is None else total
                total[item] += x[0]
            return total

        errors = [x for x in (self.closing, more.closing) if x is not None]
        return Sums(
            added(self.transitions, more.transitions),
            added(self.durations, more.durations),
            added(self.tail_steps, more.tail_steps),
            torch.cat(errors) if errors else None,
        )


class Smoother:
    """Settled passes of a batch, ready to give posteriors."""

    def __init__(self, given: Given, options: Options, calls: bool = False):
        self.small, self.plan, self.batch = given
        self.layout = self.batch.layout
        self.pool = pool(options.threads)
        self.chunks = Chunks(self.batch, self.plan, 2)
        self.chunks.settle()
        self._anchor()
        # what puts each chunk's scores on its item's common scale; backwards for calls only
        self.constants = [self.chunks.constants(way) for way in range(1 + calls)]
        last = self.chunks.at_ends(1)
        self.alive = self.normaliser > FLOOR
        self.log_partition = (self.normaliser + self.constants[0][last]) / LOG2E
        self.chunks.ahead = None  # as large as all states

    def _anchor(self) -> None:
        """Work out the normaliser of every chunk at both its ends, the labels' shares there, and the partitions."""
        c, device = self.chunks, self.batch.device
        self.finished = None
        if c.closed:
            through = c.starts.entry + c.ends.alpha.roll(c.count, 0)
            z = log_sum(through, 1)
            share = (through - z[:, None]).exp2()
            self.left, self.right = z.split(c.count)
            self.shares, self.finished = share.split(c.count)
            self.open_right = torch.zeros_like(self.shares)
            self.normaliser = self.right
            return
        size = 8 * self.batch.model.law.shape[1] * (c.starts.open.shape[1] + 1)
        step = max(1, PIECE // size)
        found: list[list[Tensor]] = [[], [], [], []]
        for way in (0, 1):
            for i in range(0, c.count, step):
                chunk = np.arange(i, min(c.count, i + step))
                place = sent(way * c.count + chunk, device)
                x = c.through(np.full(len(chunk), way), chunk, c.starts.at(place))
                z = log_sum(x, (1, 2))
                share = (x - z[:, None, None]).exp2()
                found[2 * way].append(z)
                found[2 * way + 1].append(share.sum(1) if way == 0 else share[:, 1:].sum(1))
        self.left, self.shares, self.right, self.open_right = (torch.cat(f) for f in found)
        self.normaliser = self.right[c.at_ends(1)]

    def check(self) -> None:
        """Raise where an item has no segmentation; last of all, since it waits for the device."""
        check(self.batch, self.alive)

    def beginning(self) -> Tensor:
        """Return (B, C) posteriors of the labels that begin items at exact ends."""
        return self.shares[self.chunks.at_ends(0)]

    def finishing(self) -> Tensor:
        """Return (B, C) posteriors of the labels that close items at exact ends."""
        if self.finished is not None:
            return self.finished
        c, last = self.chunks, self.chunks.at_ends(1)
        x = c.ends.alpha[: c.count][last] + c.starts.entry[c.count :][last]
        return (x - log_sum(x, 1)[:, None]).exp2()

    def outputs(self, wanted: dict[str, bool], dtype: torch.dtype) -> Outputs:
        """Return room for what is wanted."""
        B, T, C = self.batch.emissions.shape
        rows = {"start": T + 1, "end": T + 1, "position": T}
        zeros = lambda n, c: torch.zeros(B, n, c, dtype=dtype, device=self.batch.device)  # noqa: E731
        out = [zeros(n, C) if wanted.get(name) else None for name, n in rows.items()]
        kinds = zeros(T + 1, self.batch.scores.shape[-1]) if wanted.get("kinds") else None
        return Outputs._make([*out, kinds])

    def groups(self, outputs: Outputs) -> Iterator[Group]:
        """Yield all chunks with their scores: at once where they were kept, else computed again, some at a time."""
        c, batch = self.chunks, self.batch
        if c.rows is not None:
            yield Group(slice(0, c.count), c.rows, c.table, batch.emissions, batch.scores, outputs, None)
            return
        at_once = -(-c.count // self.plan.waves)
        for item in range(len(batch.lengths)):
            mine = np.flatnonzero(c.item == item)
            for i in range(0, len(mine), at_once):
                chunk = mine[i : i + at_once]
                a, b = int(c.left[chunk[0]]), int(c.right[chunk[-1]])
                rows = c.room(b - a + 1)
                c.again(chunk, rows, a)
                table = np.stack([0 * chunk, c.left[chunk], c.right[chunk], c.left[chunk] - a], 1)
                yield Group(
                    slice(int(chunk[0]), int(chunk[-1]) + 1), rows, table_of(table, batch.device),
                    batch.emissions[item : item + 1, a:b], batch.scores[item : item + 1, a : b + 1],
                    outputs.part(item, a, b), item,
                )  # fmt: skip

    def survey(self, asked: Asked) -> Survey:
        """Return a survey of given segments."""
        c, lengths = self.chunks, self.batch.lengths
        of_length = {n: edge_tables(law_and_grammar(self.small, self.layout, 0, n)) for n in set(lengths)}
        edges = [of_length[n] for n in lengths]
        return Survey(asked, self.batch.model, c.table.host, lengths, edges, self.constants[0], self.batch.forbidden)

    def combine(self, outputs: Outputs, changes: bool, durations: bool, calls: Survey | None = None) -> Sums:
        """Fill the outputs, tell about calls, and return what is summed over all positions."""
        c, batch, x, m = self.chunks, self.batch, self.batch.x, self.batch.model
        B = len(batch.lengths)
        sums = Sums()
        if changes or outputs.kinds is not None:
            arcs = changes_.arcs(*m.arcs, m.change, batch.scores.shape[-1])
        if durations:
            lists = durations_.lists(x.longest, np.where(x.tail > -np.inf, x.period, 0), batch.device)
        for group in self.groups(outputs):
            forward, backward = group.rows
            at, out = group.which, group.outputs
            rows = (forward.h, forward.alpha, backward.alpha, backward.h)
            z = self.left[at], self.right[at]
            position = out.position
            if calls is not None and position is None:
                position = torch.empty_like(group.emissions, dtype=torch.float32)
            closing = transitions = counts = steps = None
            if any(o is not None for o in (out.start, out.end, position)):
                closing = posteriors.rows(
                    *rows, group.chunks, *z, start=out.start, end=out.end, position=position,
                    shares=self.shares[at], open_right=self.open_right[at],
                    emissions=group.emissions if batch.forbidden else None,
                )  # fmt: skip
            if changes or out.kinds is not None:
                transitions = changes_.changes(
                    forward.alpha, backward.alpha, group.chunks, *z, c.starts.alpha[at], group.scores, arcs,
                    batch.layout.origin, kinds=out.kinds, transitions=changes,
                )  # fmt: skip
            opened = c.starts.open
            open_ = None if c.closed else (opened[at], opened[c.count + at.start : c.count + at.stop])
            if calls is not None and position is not None:
                calls.add(at, Scores(group.chunks, *rows, *z, open_, group.emissions, position))
            if durations:
                counts, steps = durations_.durations(
                    forward.h, backward.h, group.emissions, group.chunks, *z, open_, lists, m.law, m.tail,
                    forbidden=batch.forbidden,
                )  # fmt: skip
            sums = sums.plus(group.item, B, Sums(transitions, counts, steps, closing))
        return self._complete(sums) if durations else sums

    def _complete(self, sums: Sums) -> Sums:
        """Return sums with rows for durations beyond every label's longest, and what censored ends hide."""
        assert sums.durations is not None
        assert sums.tail_steps is not None
        counts, steps = sums.durations, sums.tail_steps
        if missing := len(self.batch.x.durations) - counts.shape[1]:
            counts = torch.nn.functional.pad(counts, (0, 0, 0, missing))
        for way, edge in enumerate((self.batch.x.left, self.batch.x.right)):
            if edge == "censored":
                found = list(self.pool.map(partial(edge_counts, way=way), self.edges(way)))
                hidden = np.stack([x.durations for x in found])
                counts[:, : hidden.shape[1]] += sent(hidden, counts.device)
                steps += sent(np.stack([x.tail_steps for x in found]), counts.device)
        return sums._replace(durations=counts, tail_steps=steps)

    def first(self) -> Tensor:
        """Return (B, P, C) gradients of the weights of virtual starts at a censored left edge."""
        x, out = self.batch.x, []
        for edge in self.edges(0):
            entry, ring, folded = edge_rows(edge)
            own = virtual_phases(ring, folded, x.first, x.longest, x.tail, x.period, x.origin)
            own[x.origin % len(own)] += entry
            out.append(own)
        return sent(np.stack(out), self.batch.device)

    def edges(self, way: int) -> Iterator[Edge]:
        """Yield both directions at one end of every item, on the host; states come there in one piece."""
        self.check()
        c = self.chunks
        chunks = np.flatnonzero(c.outer[way])  # one an item, in order
        at = [sent(c.place(w, chunks), self.batch.device) for w in (way, 1 - way)]
        starts, ends = in_nats(c.starts.at(at[0])), in_nats(c.ends.at(at[1]))
        z = (self.left, self.right)[way].cpu().numpy()[chunks] / LOG2E
        for item, length in enumerate(self.batch.lengths):
            x = law_and_grammar(self.small, self.layout, item, length)
            directions = Direction(x), Direction(x, reverse=True)
            here, there = directions[way], directions[1 - way]
            start, end = ([x[item] for x in fields] for fields in (starts, ends))
            yield Edge(here, there, host_state(here, start, 0), host_state(there, end, length), float(z[item]))

    def report(self, closing: Tensor | None) -> Report:
        s = self.chunks.settled
        error = 0.0 if closing is None else float(closing.abs().max())
        return Report(self.chunks.count, s.rounds, s.repaired, s.gap, s.certificate, error)


def check(batch: Batch, alive: Tensor) -> None:
    """Raise where an item of a batch has no segmentation: then it is not `alive`."""
    every = alive.tolist()
    if not all(every):
        raise infeasible(batch.leaves, batch.layout, every.index(False))


def in_nats(states: States) -> list[NDArray]:
    """Return the fields of states on the host, in nats."""
    return [torch.where(x > FLOOR, x / LOG2E, -torch.inf).cpu().numpy() for x in states]


def host_state(direction: Direction, fields: list[NDArray], position: int) -> State:
    """Return one state that is `in_nats` as the CPU's recursion has it."""
    alpha, entry, open_, _ = fields
    if len(open_) == 0:  # one piece between exact ends: there nothing is open
        open_ = np.full((direction.ring + int(direction.x.period.max()), len(alpha)), -np.inf)
    C = len(alpha)
    ring = np.full((C, direction.ring), -np.inf)
    folded = np.full((C, int(direction.x.period.max())), -np.inf)
    for c, (K, p) in enumerate(zip(direction.model.longest, direction.model.period, strict=True)):
        ring[c, direction.ring - K :] = open_[:K, c][::-1]
        folded[c, :p] = open_[K : K + p, c][::-1]
    return State(position, 0.0, alpha, entry, ring, folded, np.full(C, NEVER, float))
