"""What is known about given segments: `cpu/calls.py` on the device, by groups of chunks that are in memory together.

A call's boundaries are looked up where they are, its label is summed up piece by piece, and the laws of its boundaries
are worked out where its middle is (`intervals.py`). A boundary's key is its row, were all rows of the batch kept.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ..cpu.batch import Asked
from ..edges import Tables
from ..lasting import sent
from ..results import Calls
from .intervals import Middles, Window, intervals, window
from .model import Model
from .pieces import Table, power_of_2
from .sides import UNCUT, sides, tailed
from .tiles import LOG2E, NEVER

PIECE = 1024  # positions of a call that one program sums up
ENTRIES = 1 << 23  # of laws, or of what is looked up, at once
NONE = -(2**62)  # no cut


class Scores(NamedTuple):
    """What the passes leave behind of some chunks."""

    chunks: Table
    h: Tensor  # (rows, C)
    alpha: Tensor
    f: Tensor
    beta: Tensor
    left: Tensor  # (n,) normalisers at first and last boundaries
    right: Tensor
    open_: tuple[Tensor, Tensor] | None  # (n, A, C) at first and last boundaries; None: nothing is
    emissions: Tensor  # (B, T, C)
    position: Tensor  # (B, T, C) posteriors


class Given(NamedTuple):
    """Calls, on the host or on the device."""

    start: Any  # (N,) int64
    end: Any
    middle: Any
    concept: Any
    item: Any
    length: Any  # of the item
    key: Any  # of the item's first boundary

    def some(self, which: Any) -> "Given":
        """Return some of them."""
        return Given(*(x[which] for x in self))


class Places(NamedTuple):
    """One boundary each of some calls, in chunks that are in memory."""

    call: Tensor  # (m,)
    chunk: Tensor  # (m,)
    at: Tensor  # (m,) boundary of the chunk
    row: Tensor  # (m,)
    labels: Tensor  # (m, M) of the concept, 0 where there is none
    absent: Tensor  # (m, M) where there is none


@triton.jit(do_not_specialize=["M"])
def covered_kernel(
    position, members, pieces, out, M,
    C: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """Write the sum of a concept's position posteriors over each piece (first row, past-last one, concept)."""
    piece = tl.program_id(0).to(tl.int64)
    first, stop = tl.load(pieces + 3 * piece), tl.load(pieces + 3 * piece + 1)
    concept = tl.load(pieces + 3 * piece + 2)
    m = tl.arange(0, BLOCK_M)
    label = tl.load(members + concept * M + m, m < M, -1)
    total = tl.zeros([BLOCK_T, BLOCK_M], tl.float64)
    for tile in range(0, (stop - first).to(tl.int32), BLOCK_T):
        t = first + tile + tl.arange(0, BLOCK_T)
        known = (t < stop)[:, None] & (label >= 0)[None, :]
        total += tl.load(position + t[:, None] * C + label[None, :], known, 0.0).to(tl.float64)
    tl.store(out + piece, tl.sum(tl.sum(total, 1), 0))


class Survey:
    """All calls of a batch, and what is known of them so far."""

    def __init__(
        self,
        asked: Asked,
        model: Model,
        table: NDArray,
        lengths: list[int],
        edges: list[Tables],
        constants: Tensor,
        forbidden: bool,
    ):
        """`table` (chunks, 4): item, first and last boundary and key of the first; `edges`: every item's."""
        self.model, self.table, self.edges, self.constants = model, table, edges, constants
        self.forbidden, self.level, self.device = forbidden, asked.level, constants.device
        item, start, end = (x.numpy() for x in asked.segments[:3])
        names, concept = np.unique(asked.concepts, return_inverse=True)
        key = np.zeros(len(lengths), np.int64)
        key[table[::-1, 0]] = table[::-1, 3]
        self.host = Given(
            start, end, (start + end - 1) // 2, concept[asked.label], item, np.array(lengths)[item], key[item]
        )
        self.there = Given(*sent(np.stack(self.host), self.device))
        at = (self.host.start, self.host.middle, self.host.end - 1)
        # the chunks in which calls begin, have their middle, and end
        self.begun, self.met, self.ended = (np.searchsorted(table[:, 3], self.host.key + x, "right") - 1 for x in at)
        members = [np.flatnonzero(concept == k) for k in range(len(names))]
        self.most = max(map(len, members))
        padded = np.full((len(names), self.most), -1, np.int32)
        for k, own in enumerate(members):
            padded[k, : len(own)] = own
        self.members = sent(padded, self.device)
        self.closed = edges[0].enter is not None, edges[0].leave is not None
        self.tailed = tailed(model.longest.cpu().numpy(), model.period.cpu().numpy(), self.device)
        N, C = len(start), model.sizes.labels
        zeros = partial(torch.zeros, dtype=torch.float64, device=self.device)
        whole = {name: torch.int64 for name in Calls._fields if name.endswith(("low", "high"))}
        self.found = Calls._make(zeros(N, dtype=whole.get(name, torch.float64)) for name in Calls._fields)
        self.before = zeros(N, self.most)  # scores of the starts
        self.emitted = zeros(len(lengths), C)  # sum of each item's emissions so far
        self.cut = torch.full((C,), NONE, dtype=torch.int64, device=self.device)  # key of the last cut so far
        self.unfinished: list[Tensor] = []  # calls whose laws reach further than what was in memory with their middles

    def add(self, at: slice, x: Scores) -> None:
        """Take in what some chunks know."""
        touched = np.flatnonzero((self.begun < at.stop) & (self.ended >= at.start))
        if len(touched) == 0:
            return
        self._labels(at, x, touched)
        v = self._window(at, x)
        for p in self._places(at, v, self.begun, self.host.start, self.most):
            self._begin(p, x, v)
        for p in self._places(at, v, self.ended, self.host.end, self.most):
            self._end(p, x, v)
        for p in self._places(at, v, self.met, self.host.middle + 1, 2 * window(self.model.sizes)):
            self._intervals(at, p, x, v)

    def result(self) -> Calls:
        """Return what is known of all calls."""
        return self.found._replace(label=self.found.label / (self.there.end - self.there.start))

    def _places(self, at: slice, v: Window, of: NDArray, boundary: NDArray, entries: int) -> Iterator[Places]:
        """Yield boundaries of the calls that have theirs in some chunks, each with so many entries."""
        mine = np.flatnonzero((of >= at.start) & (of < at.stop))
        step = max(1, ENTRIES // entries)
        for i in range(0, len(mine), step):
            call = mine[i : i + step]
            chunk = of[call]
            t = boundary[call] - self.table[chunk, 1]
            columns = np.stack([call, chunk - at.start, t, self.table[chunk, 3] + t - v.shift, self.host.concept[call]])
            call_, chunk_, t_, row, concept = sent(columns, self.device)
            labels = self.members[concept].long()
            yield Places(call_, chunk_, t_, row, labels.clamp(min=0), labels < 0)

    def _window(self, at: slice, x: Scores) -> Window:
        """Return how the laws look at chunks, and be ready for those behind them."""
        table, there, sizes = x.chunks.host, self.table[at], self.model.sizes
        s = sides(
            x.h, x.beta, x.emissions, x.chunks, x.left, x.right, x.open_, sizes.longest + sizes.folds, self.tailed,
            sizes.folds, self.model.tail, forbidden=self.forbidden,
        )  # fmt: skip
        shift = int(there[0, 3] - table[0, 3])
        items, first, owner = np.unique(there[:, 0], return_index=True, return_inverse=True)
        last = np.append(first[1:], len(table)) - 1
        spans = np.stack([first[owner], last[owner]], 1)
        first_, last_, items_ = sent(np.stack([first, last, items]), self.device)
        owner_ = sent(owner, self.device)
        sums = torch.nn.functional.pad(s.total.cumsum(0), (0, 0, 1, 0))
        emitted = (sums[:-1] - sums[first_[owner_]]) + self.emitted[items_[owner_]]
        self.emitted[items_] += sums[last_ + 1] - sums[first_]
        cuts = self.cut[None]
        if self.forbidden:
            low = s.low[:, sent(table[:, 3] + table[:, 2] - table[:, 1], self.device)].T
            latest = torch.where(low > UNCUT, low + sent(there[:, 3:], self.device), NONE)
            latest = torch.cat([self.cut[None], latest]).cummax(0).values
            cuts, self.cut = torch.where(latest > NONE, latest - shift, NONE)[:-1].contiguous(), latest[-1]
        begun = torch.zeros(len(x.h), dtype=torch.int32, device=self.device)
        begun[x.chunks.there[:, 3]] = 1
        return Window(
            x.chunks, s, self.constants[at][:, None] - emitted, cuts, sent(spans, self.device),
            begun.cumsum(0, dtype=torch.int32) - 1, shift,
        )  # fmt: skip

    def _position_rows(self, at: slice, x: Scores, key: Tensor, item: Tensor) -> Tensor:
        """Return rows of positions: an item has one less of them than of boundaries."""
        (item_there, *_, key_there), (item_here, *_, row) = self.table[at.start].tolist(), x.chunks.host[0].tolist()
        return key - (key_there - row) - (item - (item_there - item_here))

    def _labels(self, at: slice, x: Scores, touched: NDArray) -> None:
        """Add the posteriors of the positions of chunks to the calls that cover them."""
        calls = self.host.some(touched)
        first, (_, a, b, last) = self.table[at.start, 3], self.table[at.stop - 1]
        begin = np.maximum(calls.key + calls.start, first)
        n = np.minimum(calls.key + calls.end, last + b - a) - begin
        count = -(-n // PIECE)
        piece = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        row = self._position_rows(at, x, begin, calls.item)
        whole = np.stack([row, row + n, calls.concept], 1)
        pieces = np.repeat(whole, count, 0)
        pieces[:, 0] += PIECE * piece
        pieces[:, 1] = np.minimum(pieces[:, 1], pieces[:, 0] + PIECE)
        out = torch.empty(len(pieces), dtype=torch.float64, device=self.device)
        wide = power_of_2(self.most)
        covered_kernel[(len(pieces),)](
            x.position, self.members, sent(pieces, self.device), out, self.most,
            C=self.model.sizes.labels, BLOCK_T=max(1, PIECE // wide), BLOCK_M=wide,
        )  # fmt: skip
        sums = torch.segment_reduce(out, "sum", lengths=sent(count, self.device), unsafe=True)
        self.found.label[sent(touched, self.device)] += sums

    def _begin(self, p: Places, x: Scores, v: Window) -> None:
        """Look up starts."""
        start = posterior(x.h, x.f, x, p)
        before = v.sides.g.view(-1)[p.labels * len(x.h) + p.row[:, None]] + v.bases[p.chunk[:, None], p.labels]
        if self.closed[0]:  # it may have begun before; then the weights of virtual starts are in the survival sums
            edge = self.there.start[p.call] == 0
            start, before = torch.where(edge, 0, start), torch.where(edge[:, None], 0, before)
        self.found.start[p.call], self.before[p.call] = start, before

    def _end(self, p: Places, x: Scores, v: Window) -> None:
        """Look up ends, and what comes with their starts."""
        end, calls = posterior(x.alpha, x.beta, x, p), self.there.some(p.call)
        entry, place = p.labels * len(x.h) + p.row[:, None], (p.chunk[:, None], p.labels)
        behind = v.sides.G.view(-1)[entry]
        if self.closed[1]:
            edge = calls.end == calls.length
            hidden = v.sides.total[place] - x.right[p.chunk, None]
            end, behind = torch.where(edge, 0, end), torch.where(edge[:, None], hidden, behind)
        score = self.before[p.call] + self._durations(calls, p.labels) + behind - v.bases[place]
        if self.forbidden:
            low = v.sides.low.view(-1)[entry]
            oldest = torch.where(low > UNCUT, (p.row - p.at)[:, None] + low, v.cuts[place])
            score = torch.where((calls.key + calls.start - v.shift)[:, None] >= oldest, score, NEVER)
        self.found.end[p.call] = end
        self.found.segment[p.call] = torch.where(p.absent, NEVER, score).exp2().sum(1)

    def _durations(self, calls: Given, labels: Tensor) -> Tensor:
        """Return (m, M) scores of the calls' lengths, or at censored ends of what shows of them."""
        m, k = self.model, (calls.end - calls.start)[:, None]
        K, p = m.longest[labels].long(), m.period[labels].long()
        steps = torch.where(p > 0, -((K - k) // p.clamp(min=1)), 0).clamp(min=0)
        row = k - steps * p
        beyond = torch.where(row <= K, steps * m.tail[labels], NEVER)
        row = torch.where(row <= K, row, 0)
        first, last = (calls.start == 0)[:, None], (calls.end == calls.length)[:, None]
        out = m.law[row, labels]
        for edge, table in ((first, self.edges[0].enter), (last, self.edges[0].leave)):
            if table is not None:
                out = torch.where(edge, self._scale(table)[row, labels], out)
        out = out + beyond
        if all(self.closed):
            both = self._scale(np.stack([x.both for x in self.edges]))
            out = torch.where(first & last, both[calls.item[:, None], labels], out)
        return out

    def _scale(self, nats: NDArray) -> Tensor:
        """Return scores in nats as the kernels take them."""
        return sent(np.maximum(nats * LOG2E, float(NEVER)), self.device)

    def _intervals(self, at: slice, p: Places, x: Scores, v: Window) -> None:
        """Find the intervals of the calls whose middles are left of some boundaries."""
        calls, C = self.there.some(p.call), self.model.sizes.labels
        row = self._position_rows(at, x, calls.key + calls.middle, calls.item)
        inside = x.position.reshape(-1, C)[row[:, None], p.labels]
        far = torch.full_like(p.at, 1 << 40)
        ends = (calls.middle, calls.length - 1 - calls.middle)  # distances of the item's ends
        closed = torch.stack([e if shut else far for e, shut in zip(ends, self.closed, strict=True)], 1)
        middles = Middles(
            torch.stack([p.chunk, p.at, calls.concept], 1), torch.where(p.absent, 0, inside).sum(1),
            torch.where(p.absent, 0, self.model.longest[p.labels]), closed,
        )  # fmt: skip
        found = intervals(self.model, self.members, middles, v, self.level, self.forbidden)
        m, none, to = calls.middle[:, None], found.none, self.found
        low, high = m - found.last[:, :1], m - found.first[:, :1]
        to.start_low[p.call], to.start_high[p.call] = (torch.where(none, calls.start, b[:, 0]) for b in (low, high))
        low, high = m + 1 + found.first[:, 1:], m + 1 + found.last[:, 1:]
        to.end_low[p.call], to.end_high[p.call] = (torch.where(none, calls.end, b[:, 0]) for b in (low, high))
        to.start_mass[p.call], to.end_mass[p.call] = found.mass.T
        self.unfinished.append(p.call[found.unfinished])


def posterior(x: Tensor, y: Tensor, scores: Scores, p: Places) -> Tensor:
    """Return (m,) what the scores of both directions make of boundaries, summed over labels."""
    n = (scores.chunks.there[:, 2] - scores.chunks.there[:, 1])[p.chunk]
    z = scores.left[p.chunk] + (scores.right - scores.left)[p.chunk] / n * p.at
    entry = p.row[:, None] * x.shape[1] + p.labels
    score = x.view(-1)[entry] + y.view(-1)[entry] - z[:, None]
    return torch.where(p.absent, NEVER, score).exp2().sum(1)
