"""All posteriors of a batch: settle both directions, then combine them, group by group where memory is short."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cpu.batch import Options
from ..cpu.directions import Direction, State
from ..cpu.hidden import Edge, edge_counts, edge_rows
from ..cpu.posteriors import Counts
from ..resolve import Layout, Leaves
from ..results import Report
from . import changes as changes_
from . import durations as durations_
from . import posteriors
from .advance import Rows
from .chunks import Chunks
from .inputs import infeasible, law_and_grammar, log_batch, plan_for
from .meeting import joined, log_sum
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
    chunks: Tensor  # (n, 4) on the host: item of the views below, first and last boundary, row of the first
    emissions: Tensor
    scores: Tensor
    outputs: Outputs
    items: NDArray  # of the batch, those of the views


class Smoother:
    """Settled passes of a batch, ready to give posteriors."""

    def __init__(self, leaves: Leaves, layout: Layout, options: Options, memory: int | None):
        self.leaves, self.layout = leaves, layout
        x = law_and_grammar(leaves, layout)
        self.plan = plan_for(x, layout, leaves.emissions.device, 2, options, memory)
        self.batch = log_batch(leaves, layout, x, self.plan.warps)
        self.chunks = Chunks(self.batch, self.plan, 2)
        self.chunks.settle()
        self._anchor()
        self.chunks.ahead = None  # as large as all states

    def _anchor(self) -> None:
        """Work out the normaliser of every chunk at both its ends, the labels' shares there, and the partitions."""
        c, device = self.chunks, self.batch.device
        if c.closed:
            through = joined(c.starts.entry, c.ends.alpha.roll(c.count, 0))[:, None]
            z = log_sum(through, (1, 2))
            self.left, self.right = z[: c.count], z[c.count :]
            self.shares = (through[: c.count, 0] - self.left[:, None]).exp2()
            self.open_right = torch.zeros_like(self.shares)
            self.normaliser, self.log_partition = self.right, self.right / LOG2E
            return
        size = 8 * self.batch.model.law.shape[1] * (c.starts.open.shape[1] + 1)
        step = max(1, PIECE // size)
        found: list[list[Tensor]] = [[], [], [], []]
        for way in (0, 1):
            for i in range(0, c.count, step):
                chunk = np.arange(i, min(c.count, i + step))
                place = torch.from_numpy(way * c.count + chunk).to(device)
                x = c.through(np.full(len(chunk), way), chunk, c.starts.at(place))
                z = log_sum(x, (1, 2))
                share = (x - z[:, None, None]).exp2()
                found[2 * way].append(z)
                found[2 * way + 1].append(share.sum(1) if way == 0 else share[:, 1:].sum(1))
        self.left, self.shares, self.right, self.open_right = (torch.cat(f) for f in found)
        ends = torch.from_numpy(np.flatnonzero(c.outer[1])).to(device)
        self.normaliser = self.right[ends]
        self.log_partition = (self.normaliser + c.constants(0)[ends]) / LOG2E

    def check(self) -> None:
        """Raise where an item has no segmentation; last of all, since it waits for the device."""
        alive = (self.normaliser > FLOOR).tolist()
        if not all(alive):
            raise infeasible(self.leaves, self.layout, alive.index(False))

    def finishing(self, last: Tensor) -> Tensor:
        """Return (n, C) posteriors of the labels that close items at exact ends."""
        c = self.chunks
        behind = c.starts.at(c.count + last)
        x = joined(c.ends.alpha[last], behind.entry)
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
            yield Group(
                slice(0, c.count), c.rows, torch.from_numpy(c.table()), batch.emissions, batch.scores, outputs,
                np.arange(len(batch.lengths)),
            )  # fmt: skip
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
                    slice(int(chunk[0]), int(chunk[-1]) + 1), rows, torch.from_numpy(table),
                    batch.emissions[item : item + 1, a:b], batch.scores[item : item + 1, a : b + 1],
                    outputs.part(item, a, b), np.array([item]),
                )  # fmt: skip

    def combine(self, outputs: Outputs, changes: bool, durations: bool) -> tuple[Tensor, Tensor, Tensor, float]:
        """Fill the outputs; return expected transitions (B, P, C, C), durations, tail steps and the closing error."""
        c, batch, x = self.chunks, self.batch, self.batch.x
        B, C = len(batch.lengths), len(x.longest)
        P, K = len(x.transitions), int(x.longest.max())
        wide: dict[str, Any] = {"dtype": torch.float64, "device": batch.device}
        transitions, closing = torch.zeros(B, P, C, C, **wide), torch.zeros((), **wide)
        counts, steps = torch.zeros(B, len(x.durations), C, **wide), torch.zeros(B, C, **wide)
        forbidden = batch.forbidden
        m = batch.model
        if changes or outputs.kinds is not None:
            arcs = changes_.arcs(*m.arcs, batch.scores.shape[-1], batch.device)
        if durations:
            period = np.where(x.tail > -np.inf, x.period, 0)
            lists = durations_.lists(x.longest, period, batch.device)
            table = durations_.continued(m.law[: K + 1], m.tail, lists)
        for group in self.groups(outputs):
            forward, backward = group.rows
            at, out = group.which, group.outputs
            rows = (forward.h, forward.alpha, backward.alpha, backward.h)
            z = self.left[at], self.right[at]
            if any(o is not None for o in out[:3]):
                error = posteriors.rows(
                    *rows, group.chunks, *z, start=out.start, end=out.end, position=out.position,
                    shares=self.shares[at], open_right=self.open_right[at],
                    emissions=group.emissions if forbidden else None,
                )  # fmt: skip
                if error is not None:
                    closing = torch.maximum(closing, error.max())
            items = torch.from_numpy(group.items).to(batch.device)
            if changes or out.kinds is not None:
                found = changes_.changes(
                    forward.alpha, backward.alpha, group.chunks, *z, c.starts.alpha[at], group.scores, arcs,
                    batch.layout.origin, kinds=out.kinds, transitions=changes,
                )  # fmt: skip
                if found is not None:
                    transitions[items] += found
            if durations:
                opened = c.starts.open
                if c.closed:
                    opened = opened.new_full((len(opened), K + m.sizes.folds, C), NEVER)
                behind = slice(c.count + at.start, c.count + at.stop)
                found, more = durations_.durations(
                    forward.h, backward.h, group.emissions, group.chunks, *z, opened[at], opened[behind],
                    lists, table, m.tail, forbidden=forbidden,
                )  # fmt: skip
                counts[items, : K + 1] += found
                steps[items] += more
        if durations:
            self._hidden(counts, steps)
        return transitions, counts, steps, float(closing)

    def _hidden(self, counts: Tensor, steps: Tensor) -> None:
        """Add the durations hidden beyond censored ends."""
        if "censored" in (self.batch.x.left, self.batch.x.right):
            self.check()
        for way, edge in enumerate((self.batch.x.left, self.batch.x.right)):
            for item in range(len(counts)) if edge == "censored" else ():
                found: Counts = edge_counts(self.edge(item, way), way)
                counts[item, : len(found.durations)] += torch.from_numpy(found.durations).to(counts.device)
                steps[item] += torch.from_numpy(found.tail_steps).to(counts.device)

    def edge_rows(self, item: int) -> tuple[NDArray, NDArray, NDArray]:
        """Return the posteriors of what stands at the left end of an item (see `cpu/hidden.py`)."""
        return edge_rows(self.edge(item, 0))

    def edge(self, item: int, way: int) -> Edge:
        """Return both directions at one end of an item, on the host."""
        c = self.chunks
        mine = np.flatnonzero(c.item == item)
        chunk = int(mine[0] if way == 0 else mine[-1])
        x = law_and_grammar(self.leaves, self.layout, item, self.batch.lengths[item])
        directions = Direction(x), Direction(x, reverse=True)
        here, there = c.place(way, chunk), c.place(1 - way, chunk)
        z = (self.left if way == 0 else self.right)[chunk]
        return Edge(
            directions[way],
            directions[1 - way],
            host_state(directions[way], c.starts.at(torch.tensor([here], device=z.device)), 0),
            host_state(
                directions[1 - way], c.ends.at(torch.tensor([there], device=z.device)), self.batch.lengths[item]
            ),
            float(z) / LOG2E,
        )

    def report(self, closing: float) -> Report:
        s = self.chunks.settled
        return Report(self.chunks.count, s.rounds, s.repaired, s.gap, s.certificate, closing)


def host_state(direction: Direction, states: States, position: int) -> State:
    """Return one state as the CPU's recursion has it, in nats."""
    alpha, entry, open_, _ = (torch.where(x[0] > FLOOR, x[0] / LOG2E, -torch.inf).cpu().numpy() for x in states)
    C = len(alpha)
    ring = np.full((C, direction.ring), -np.inf)
    folded = np.full((C, int(direction.x.period.max())), -np.inf)
    for c, (K, p) in enumerate(zip(direction.model.longest, direction.model.period, strict=True)):
        ring[c, direction.ring - K :] = open_[:K, c][::-1]
        folded[c, :p] = open_[K : K + p, c][::-1]
    return State(position, 0.0, alpha, entry, ring, folded, np.full(C, NEVER, float))
