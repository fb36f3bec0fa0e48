"""Credible intervals of the boundaries of segments that cover given positions, from their laws (`laws.py`).

Laws are looked at in windows twice as wide until nothing further out can change an interval; what reaches through a
tail beyond the chunks in memory is left unfinished. Sides take turns in all rows: starts, ends.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..cpu.laws import UNRESOLVED
from .laws import folds_kernel, near_kernel, rest_kernel, tail_kernel
from .model import Model, Sizes
from .pieces import Table, cdiv, power_of_2
from .sides import Sides
from .tiles import FLOOR, NEVER

LIKELY = 1e-3  # posterior of a concept from which on its pairs need no reference; as positions, it is good to 1e-5
SURE = 1e-6  # what an interval must lack before it is ruled out: float32 weights are behind its sum
NEAR, ACROSS, BLOCK = 32, 32, 256  # tiles
ENTRIES = 1 << 23  # of laws that are looked at together


class Window(NamedTuple):
    """Chunks that are in memory together."""

    chunks: Table
    sides: Sides
    bases: Tensor  # (n, C) what puts the starts of all chunks of an item on one scale; of ends it is taken off
    cuts: Tensor  # (n, C) row of the last cut before each chunk
    spans: Tensor  # (n, 2) first and last chunk of the same item
    owner: Tensor  # (rows,) int32 chunk that begins at a row, or before it
    shift: int  # key of a boundary less its row


class Middles(NamedTuple):
    """Covered positions."""

    places: Tensor  # (m, 3) chunk, its boundary right of the position, concept
    inside: Tensor  # (m,) posterior of the concept there
    longest: Tensor  # (m, M) of the concept's labels, 0 where there is none
    closed: Tensor  # (m, 2) distance of an end at which everything further away counts too; far off: none


class Intervals(NamedTuple):
    """Distances from the covered position, of starts and ends."""

    first: Tensor  # (m, 2)
    last: Tensor  # (m, 2)
    mass: Tensor  # (m, 2)
    none: Tensor  # (m,) nothing of the concept covers the position
    unfinished: Tensor  # (m,)


def window(s: Sizes) -> int:
    """Return the width of the window that is looked at first: all explicit durations, and folded rows."""
    return cdiv(s.longest + s.folds, NEAR) * NEAR


def intervals(model: Model, members: Tensor, x: Middles, v: Window, level: float, forbidden: bool) -> Intervals:
    """Return the shortest intervals that hold `level`; `members` (concepts, M): their labels, -1 behind the last."""
    law = _Laws(model, members, x, v, forbidden)
    n, device = len(x.places), x.places.device
    zeros = partial(torch.zeros, 2 * n, device=device)
    whole, wide, flag = (zeros(dtype=kind) for kind in (torch.int64, torch.float64, torch.bool))
    out = Intervals(whole, whole.clone(), wide, law.none, flag)
    rows, width = torch.arange(2 * n, device=device), window(model.sizes)
    while len(rows):
        going = []
        for part in rows.split(max(1, ENTRIES // width)):
            masses, rest = law.look(part, width)
            open_ = rest > UNRESOLVED
            known = torch.where(open_, law.resolved(part, width), width).amin(1)
            *found, final = shortest(masses, known, open_.any(1), level, part % 2 == 0)
            for field, values in zip(out, found, strict=False):
                field[part] = values
            going.append(part[~final])
        rows = torch.cat(going)
        beyond = law.limit[rows] < width
        out.unfinished[rows[beyond]] = True
        rows, width = rows[~beyond], 2 * width
    first, last, mass, none, unfinished = out
    return Intervals(first.view(n, 2), last.view(n, 2), mass.view(n, 2), none, unfinished.view(n, 2).any(1))


class _Laws:
    """Laws of both boundaries, by distance, as far as anybody looks."""

    def __init__(self, model: Model, members: Tensor, x: Middles, v: Window, forbidden: bool):
        self.model, self.members, self.x, self.v = model, members, x, v
        s, device = v.sides, x.places.device
        n, self.most = len(x.places), members.shape[1]
        self.width = window(model.sizes)
        self.shape = {"C": model.sizes.labels, "A": s.left.shape[2], "FORBIDDEN": forbidden}
        self.folds = power_of_2(max(1, model.sizes.folds))
        self.by_label, self.tops = model.law.T.contiguous(), model.law.amax(0)
        self.wide: dict[str, Any] = {"dtype": torch.float64, "device": device}
        self.longest = x.longest.repeat_interleave(2, 0)  # (2m, M)
        self.edge, self.limit = x.closed.flatten(), self._limit().flatten()  # (2m,)
        # log2 of folded rows, without the scores of the sources in them, and with
        self.factor, mass = torch.full((2, n, 2, self.most, self.folds), float(NEVER), **self.wide)
        if model.sizes.folds:
            folds_kernel[(n, 2, self.most)](
                x.places, members, model.longest, model.period, self.by_label, v.chunks.there, *s[:8], s.low,
                self.factor, mass, s.g.shape[1], self.by_label.shape[1], self.most,
                P=self.folds, BLOCK_I=64, **self.shape,
            )  # fmt: skip
        reference = torch.zeros(n, **self.wide)
        unlikely = (x.inside < LIKELY).nonzero()[:, 0]
        if len(unlikely):
            best = self._near(x.places[unlikely], reference[unlikely], True).amax((1, 2))
            best = torch.maximum(best, mass[unlikely].amax((1, 2, 3)))
            reference[unlikely] = torch.where(best > FLOOR, best, 0)
        near = self._near(x.places, reference, False).view(2 * n, self.width)
        rest = (mass - reference.view(-1, 1, 1, 1)).exp2().sum(3).view(2 * n, self.most)
        total = near.sum(1) + rest.sum(1)
        self.none = (total == 0).view(n, 2).any(1)
        total = torch.where(total > 0, total, 1)
        self.norm = reference.repeat_interleave(2) + total.log2()
        self.rest = rest / total[:, None]  # shares of what folded rows hold
        self.near = self._closed(near / total[:, None])

    def _limit(self) -> Tensor:
        """Return (m, 2) past-last distances whose scores are in memory, up to where everything further away counts."""
        chunk, at, _ = self.x.places.T
        first, last = self.v.spans[chunk].T
        _, a, b, row = self.v.chunks.there.T
        here = row[chunk] + at
        ends = torch.stack([here - row[first], row[last] + (b - a)[last] - here + 1], 1)
        return torch.minimum(ends, self.x.closed)

    def _near(self, places: Tensor, reference: Tensor, largest: bool) -> Tensor:
        """Return (m, 2, W) sums over pairs whose near side is explicit, or log2 of the largest pairs."""
        m, s = self.model, self.v.sides
        out = torch.empty(len(places), 2, self.width, **self.wide)
        near_kernel[(len(places), 2, self.width // NEAR)](
            places, reference, self.members, self.tops, m.longest, m.period, self.by_label, self.v.chunks.there, *s[:8],
            s.low, out, s.g.shape[1], self.by_label.shape[1], self.most, self.width,
            BLOCK_J=NEAR, BLOCK_I=ACROSS, MAX=largest, **self.shape,
        )  # fmt: skip
        return out

    def _closed(self, near: Tensor) -> Tensor:
        """Return laws in which everything at or beyond a closed end counts as one."""
        beyond = torch.arange(self.width, device=near.device) > self.edge[:, None]
        lumped = torch.where(beyond, near, 0).sum(1)
        near = torch.where(beyond, 0, near)
        near[torch.arange(len(near), device=near.device), self.edge.clamp(max=self.width - 1)] += lumped
        return near

    def resolved(self, rows: Tensor, width: int) -> Tensor:
        """Return (n, M) past-last distances known of each label in a window."""
        return torch.maximum(self.longest[rows], self.limit[rows].clamp(max=width)[:, None])

    def look(self, rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return some of the laws (n, width), and what lies beyond of every label (n, M)."""
        m, v, s, n = self.model, self.v, self.v.sides, len(rows)
        rest = torch.zeros(n, self.most, **self.wide)
        if not m.sizes.folds:  # then the first window is the last
            return self.near[rows], rest
        given = (
            rows, self.x.places, self.members, m.longest, m.period, m.tail, self.limit, self.factor, self.norm,
            self.rest, v.chunks.there, v.spans, v.bases, v.cuts, v.owner,
        )  # fmt: skip
        sizes = s.g.shape[1], self.most, width
        rest_kernel[(n, self.most)](
            *given, s.V, s.Q, s.V_left, s.Q_right, s.low, rest, *sizes, P=self.folds, **self.shape
        )
        masses = torch.empty(n, width, **self.wide)
        tail_kernel[(n, cdiv(width, BLOCK))](
            *given, s.g, s.G, s.left, s.right, s.low, self.near, masses, *sizes, self.width,
            P=self.folds, BLOCK=BLOCK, **self.shape,
        )  # fmt: skip
        # what lies at a closed end and beyond: all of a tail where the end lies nearer than it begins, in memory or not
        edge = self.edge[rows][:, None]
        closing = (edge < width) & ((edge == self.limit[rows][:, None]) | (edge <= self.longest[rows]))
        at = edge[:, 0].clamp(max=width - 1)
        masses[torch.arange(n, device=rows.device), at] += torch.where(closing, rest, 0).sum(1)
        return masses, torch.where(closing, 0, rest)


def shortest(law: Tensor, known: Tensor, open_: Tensor, level: float, far: Tensor) -> tuple[Tensor, ...]:
    """Return nearest and farthest distance (n,) and mass of each law's shortest interval, and whether it is final.

    A law (n, W) is known below a distance (n,); `open_` (n,): whether something lies beyond. Of equals it is the
    farthest where `far` (n,), else the nearest.
    """
    W = law.shape[1]
    d = torch.arange(W, device=law.device)
    sums = torch.nn.functional.pad(torch.where(d < known[:, None], law, 0).cumsum(1), (1, 0))
    stop = torch.searchsorted(sums, sums[:, :-1] + level)  # past-last distances of the intervals that begin at each
    width = torch.where(stop <= W, stop - d, W + 1)
    best = (width * (W + 1) + torch.where(far[:, None], W - d, d)).amin(1)
    width, first = best // (W + 1), best % (W + 1)
    first = torch.where(far, W - first, first)
    held = lambda x: sums.gather(1, x.clamp(0, W)[:, None])[:, 0]  # noqa: E731
    mass, found = held(first + width) - held(first), width <= W
    rival = (1 - sums[:, -1]).clamp(min=0) + held(known) - held(known - width + 1)
    final = ~open_ | (found & (rival < level - SURE))
    whole = ~open_ & ~found  # all there is: rounding, or a level of 1
    last = torch.where(law > 0, d, 0).amax(1)
    return (
        torch.where(whole, 0, first),
        torch.where(whole, last, first + width - 1),
        torch.where(whole, sums[:, -1], mass),
        final,
    )
