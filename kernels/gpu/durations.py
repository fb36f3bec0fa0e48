"""Expected durations: every pair of a start and an end, one exp2 each, in the log domain.

A pair belongs to the chunk where the segment ends; starts further left come from the chunk's open state. Segments in
the tail are counted where their length first passes through a row of the tail: all their later ends are in `Q`, the
geometric sum over ends of one residue, and all older starts in `V`. With the table continued one period beyond K,
    explicit rows   k <= K - p          start g[s]  end G[t]
    rows of a tail  K - p < k <= K      start g[s]  end Q[t]
    tail steps      K < k <= K + p      start V[s]  end Q[t]
are sums over pairs of one kind. Here g[s] = h[s] - S[s], G[t] = beta[t] + S[t] and S is 0 at the chunk's left end.
Inner arrays lie label by label, so that neighbouring durations are neighbours in memory.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from .pieces import Table, add_float32, by_item, chunk_at, normaliser, sent
from .tiles import LOG2E, NEVER

_LOG2E, _NEVER = tl.constexpr(LOG2E), tl.constexpr(float(NEVER))
_UNCUT = tl.constexpr(-(2**30))
TILE = 1024  # pairs that one step of a program looks at
PROGRAMS = 132 * 32  # enough to fill the largest device
WIDTHS = 64, 4  # durations side by side; narrow for rows of a tail, which are few
SCAN = 256  # entries of one residue that are summed at once


class Lists(NamedTuple):
    """What the durations of a model give to do; shapes do not depend on the input."""

    longest: NDArray  # (C,) int64
    period: NDArray  # (C,) int64, 0 without a tail
    tailed: Tensor  # (L, 3) int32: label, K, period of the labels with a tail
    work: tuple[Tensor, ...]  # for each of WIDTHS (W, 4) int32: label, first duration, past-last one, kind
    steps: Tensor  # (A + 1, C) float64: 1 at the rows that count as tail steps


def lists(longest: NDArray, period: NDArray, device: torch.device | str) -> Lists:
    """Return the work lists of a model; `period` is 0 for labels without a tail."""
    return _lists(tuple(longest.tolist()), tuple(period.tolist()), torch.device(device))


@lru_cache(64)  # a training run asks for the same lists at every step
def _lists(longest_: tuple[int, ...], period_: tuple[int, ...], device: torch.device) -> Lists:
    longest, period = np.array(longest_), np.array(period_)
    A = int(longest.max()) + int(period.max())
    work: tuple[list, ...] = ([], [])
    for c, (K, p) in enumerate(zip(longest.tolist(), period.tolist(), strict=True)):
        for kind, low, high in ((0, 1, K - p + 1), (1, K - p + 1, K + 1), (2, K + 1, K + p + 1)):
            low = max(low, 1)
            narrow = int(high - low <= 2 * WIDTHS[1])
            work[narrow].extend((c, k, high, kind) for k in range(low, high, WIDTHS[narrow]))
    rows = np.arange(A + 1)[:, None]
    steps = ((rows > longest) & (rows <= longest + period)).astype(np.float64)
    tailed = [(c, longest[c], period[c]) for c in np.flatnonzero(period)]
    give = lambda x, width: sent(np.array(x, np.int32).reshape(-1, width), device)  # noqa: E731
    return Lists(longest, period, give(tailed, 3), tuple(give(w, 4) for w in work), sent(steps, device))


@triton.jit
def _later(a, b):
    return tl.maximum(a, b)


@triton.jit
def relative_kernel(
    h, beta, emissions, chunks, ZL, ZR, g, G, low, total, size,
    C: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write [C, rows] `g` of the starts, `G` less the normaliser and `low`, the oldest start still open, of the ends.

    `low` counts from the chunk's first boundary; `total` [chunk, C] is S at its last one. `size`: number of rows.
    """
    chunk = tl.program_id(0).to(tl.int64)
    item, _, n, row = chunk_at(chunks, chunk)
    label = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    near, slope = normaliser(ZL, ZR, chunk, n)
    S = tl.zeros([BLOCK_C], tl.float64)
    oldest = tl.full([BLOCK_C], _UNCUT, tl.int32)
    inner = tl.arange(0, BLOCK_T)[:, None] * C + label[None, :]
    turned = label[None, :].to(tl.int64) * size + tl.arange(0, BLOCK_T)[:, None]
    for tile in range(0, n, BLOCK_T):
        t = (tile + tl.arange(0, BLOCK_T))[:, None]
        known = (t < n) & (label < C)[None, :]
        content = tl.load(emissions + (row - item + tile) * C + inner, known, 0.0)
        closed = content == -float("inf")
        x = tl.where(closed, 0.0, content.to(tl.float64) * _LOG2E)
        sums = S[None, :] + tl.cumsum(x, 0)
        S += tl.sum(x, 0)
        at = (row + tile) * C
        starts = tl.load(h + at + inner, known, _NEVER) - (sums - x)
        tl.store(g + row + tile + turned, starts, known)
        ends = tl.load(beta + at + C + inner, known, _NEVER) + sums - (near + slope * (t + 1))
        tl.store(G + row + tile + 1 + turned, ends, known)
        if FORBIDDEN:
            last = tl.where(closed, t + 1, _UNCUT)
            until = tl.maximum(tl.associative_scan(last, 0, _later), oldest[None, :])
            oldest = tl.maximum(oldest, tl.max(last, 0))
            tl.store(low + row + tile + 1 + turned, until, known)
    tl.store(total + chunk * C + label, S, label < C)


@triton.jit
def _chain(decay, x, decay_next, y):
    """Combine two stretches of `x -> log2(2^(decay + x) + 2^value)`."""
    x += decay_next
    top = tl.maximum(x, y)
    return decay + decay_next, top + tl.log2(1.0 + tl.exp2(tl.minimum(x, y) - top))


@triton.jit
def _fold(decay, value, carry, BLOCK: tl.constexpr):
    """Return the geometric sums of one stretch behind `carry`, and the new carry."""
    decays, sums = tl.associative_scan((decay, value), 0, _chain)
    _, sums = _chain(tl.zeros([BLOCK], tl.float64), tl.zeros([BLOCK], tl.float64) + carry, decays, sums)
    return sums, tl.sum(tl.where(tl.arange(0, BLOCK) == BLOCK - 1, sums, 0.0), 0)


@triton.jit
def tails_kernel(
    g, G, low, total, open_left, open_right, tail, tailed, chunks, ZL, ZR, V, V_left, Q, size,
    C: tl.constexpr, A: tl.constexpr, BLOCK: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write V [C, rows], V_left [chunk, C, A] and Q [C, rows] less the normaliser, one residue a program.

    A start is linked to the one a period before it, an end to the one a period behind it, where no cut lies between.
    """
    chunk = tl.program_id(0).to(tl.int64)
    _, _, n, row = chunk_at(chunks, chunk)
    which = tl.program_id(1)
    c, K, p = tl.load(tailed + 3 * which), tl.load(tailed + 3 * which + 1), tl.load(tailed + 3 * which + 2)
    residue = tl.program_id(2)
    if residue >= p:
        return
    lam = tl.load(tail + c)
    near, slope = normaliser(ZL, ZR, chunk, n)
    across = tl.load(total + chunk * C + c)
    here = c.to(tl.int64) * size + row
    left = chunk * A * C + c
    steps = tl.cdiv(n + K + p - residue, p)
    carry = tl.zeros([], tl.float64) + _NEVER
    for tile in range(0, steps, BLOCK):
        s = (tile + tl.arange(0, BLOCK)) * p + residue - K - p  # from the oldest start on
        inside = (s >= 0) & (s < n)
        value = tl.load(g + here + s, inside, 0.0) + tl.load(open_left + left + (-s - 1) * C, s < 0, 0.0)
        linked = s < n
        if FORBIDDEN:
            linked &= tl.load(low + here + s, inside & (s > 0), _UNCUT) <= s - p
        sums, carry = _fold(tl.where(linked, lam, _NEVER), tl.where(s < n, value, _NEVER), carry, BLOCK)
        tl.store(V + here + s, sums, inside)
        tl.store(V_left + (chunk * C + c) * A - s - 1, sums, s < 0)
    carry = tl.zeros([], tl.float64) + _NEVER
    for tile in range(0, steps, BLOCK):
        t = n + K + p - residue - (tile + tl.arange(0, BLOCK)) * p  # from the latest end back
        inside = (t > 0) & (t <= n)
        z = near + slope * t
        value = tl.load(G + here + t, inside, 0.0) + tl.where(inside, z, across)
        value += tl.load(open_right + left + (t - n - 1) * C, t > n, 0.0)
        linked = t > 0
        if FORBIDDEN:
            linked &= tl.load(low + here + tl.minimum(t + p, n), inside, _UNCUT) <= t
        sums, carry = _fold(tl.where(linked, lam, _NEVER), tl.where(t > 0, value, _NEVER), carry, BLOCK)
        tl.store(Q + here + t, sums - z, inside)


@triton.jit
def _pairs(
    total, lost, starts, starts_left, ends, low, table, k, counted, first, stop, n,
    BLOCK_T: tl.constexpr, LEFT: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Add the posteriors of all segments that end at first..first + BLOCK_T - 1, up to `stop`, with durations `k`.

    Durations that are not `counted` are forbidden in the `table`; memory to the left does not reach as far as they do.
    """
    t = first + tl.arange(0, BLOCK_T)
    known = t <= stop
    end = tl.load(ends + t, known, _NEVER)
    s = t[:, None] - k[None, :]
    if LEFT:
        x = tl.load(starts + s, (s >= 0) & (s < n), 0.0) + tl.load(starts_left - s - 1, (s < 0) & counted[None, :], 0.0)
    else:
        x = tl.load(starts + s, s < n, 0.0)
    x = x + table[None, :] + end[:, None]
    if FORBIDDEN:
        x = tl.where(s >= tl.load(low + t, known, _UNCUT)[:, None], x, _NEVER)
    return add_float32(total, lost, tl.exp2(x.to(tl.float32)))


@triton.jit
def pairs_kernel(
    g, V, G, Q, low, open_left, V_left, table, chunks, stretches, work, counts, size,
    C: tl.constexpr, A: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_K: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write counts[stretch, k, c] of one work item: durations of one label, ends in one stretch of an item."""
    stretch = tl.program_id(0).to(tl.int64)
    item = tl.program_id(1)
    c, first_k = tl.load(work + 4 * item), tl.load(work + 4 * item + 1)
    stop_k, kind = tl.load(work + 4 * item + 2), tl.load(work + 4 * item + 3)
    starts, starts_left = tl.where(kind == 2, V, g), tl.where(kind == 2, V_left, open_left)
    ends = tl.where(kind > 0, Q, G)
    k = first_k + tl.arange(0, BLOCK_K)
    durations = tl.load(table + k * C + c, k < stop_k, _NEVER)
    begin, end = tl.load(stretches + 4 * stretch + 2), tl.load(stretches + 4 * stretch + 3)
    total = tl.zeros([BLOCK_T, BLOCK_K], tl.float32)
    lost = tl.zeros([BLOCK_T, BLOCK_K], tl.float32)
    for chunk in range(tl.load(stretches + 4 * stretch), tl.load(stretches + 4 * stretch + 1)):
        _, a, n, row = chunk_at(chunks, chunk)
        here = c.to(tl.int64) * size + row
        first = (tl.maximum(begin - a, 0) + 1).to(tl.int32)
        stop = tl.minimum(end - a, n).to(tl.int32)
        left = starts_left + (chunk * C + c) * A
        whole = tl.cdiv(tl.maximum(tl.minimum(stop, first_k + BLOCK_K - 1) + 1 - first, 0), BLOCK_T) * BLOCK_T + first
        for t in range(first, whole, BLOCK_T):
            total, lost = _pairs(
                total, lost, starts + here, left, ends + here, low + here, durations, k, k < stop_k, t, stop, n,
                BLOCK_T, True, FORBIDDEN,
            )  # fmt: skip
        for t in range(whole, stop + 1, BLOCK_T):
            total, lost = _pairs(
                total, lost, starts + here, left, ends + here, low + here, durations, k, k < stop_k, t, stop, n,
                BLOCK_T, False, FORBIDDEN,
            )  # fmt: skip
    sums = tl.sum(total.to(tl.float64) - lost.to(tl.float64), 0)
    tl.store(counts + (stretch * (A + 1) + k) * C + c, sums, k < stop_k)


def stretches(table: NDArray, parts: int) -> NDArray:
    """Return (G, 4) int64: first and past-last chunk, first boundary and last one of about `parts` stretches.

    Every item has its own, in order; ends in (first boundary, last one] belong to a stretch.
    """
    out = []
    covered = int((table[:, 2] - table[:, 1]).sum())
    size = max(1024, -(-covered // parts))
    for chunks in np.split(np.arange(len(table)), np.flatnonzero(np.diff(table[:, 0])) + 1):
        a, b = table[chunks, 1], table[chunks, 2]
        number = -(-int(b[-1] - a[0]) // size)
        edges = [int(a[0] + (b[-1] - a[0]) * i // number) for i in range(number + 1)]
        for begin, end in pairwise(edges):
            inside = chunks[(b > begin) & (a < end)]
            out.append((inside[0], inside[-1] + 1, begin, end))
    return np.array(out, np.int64)


def durations(
    h: Tensor,
    beta: Tensor,
    emissions: Tensor,
    chunks: Table,
    ZL: Tensor,
    ZR: Tensor,
    open_left: Tensor,
    open_right: Tensor,
    model: Lists,
    table: Tensor,
    tail: Tensor,
    *,
    forbidden: bool = True,
    parts: int | None = None,
    scan: int = SCAN,
) -> tuple[Tensor, Tensor]:
    """Return expected durations (B, K + 1, C) and tail steps (B, C) of segments that end where a chunk is, float64.

    `emissions` (B, T, C) in nats; `forbidden`: whether any of them is -inf. `open_left`, `open_right`
    [n_chunks, A, C], A = K + the longest period: what is open at a chunk's first boundary by age, and what may end
    behind its last one, ages beyond a label's longest standing for all older ones of their residue. `table` (., C) are
    durations in log2, one period of the tail behind each label's longest, `tail` (C,) is too. Hidden lengths at
    censored edges are the caller's.
    """
    rows, C = h.shape
    A = open_left.shape[1]
    n, there = len(chunks.host), chunks.there
    wide: dict[str, Any] = {"dtype": torch.float64, "device": h.device}
    g, G = torch.empty(C, rows, **wide), torch.empty(C, rows, **wide)
    low = torch.empty((C, rows) if forbidden else (1,), dtype=torch.int32, device=h.device)
    total = torch.empty(n, C, **wide)
    block_c = min(16, triton.next_power_of_2(C))
    relative_kernel[(n, triton.cdiv(C, block_c))](
        h, beta, emissions, there, ZL, ZR, g, G, low, total, rows,
        C=C, BLOCK_T=1024 // block_c, BLOCK_C=block_c, FORBIDDEN=forbidden,
    )  # fmt: skip
    V, V_left, Q = g, g, G
    if len(model.tailed):
        V, Q = torch.empty_like(g), torch.empty_like(G)
        V_left = torch.empty(n, C, A, **wide)
        tails_kernel[(n, len(model.tailed), int(model.period.max()))](
            g, G, low, total, open_left, open_right, tail, model.tailed, there, ZL, ZR, V, V_left, Q, rows,
            C=C, A=A, BLOCK=scan, FORBIDDEN=forbidden,
        )  # fmt: skip
    left = open_left.transpose(1, 2).contiguous()
    shares = stretches(chunks.host, max(1, PROGRAMS // max(len(w) for w in model.work)) if parts is None else parts)
    counts = torch.zeros(len(shares), A + 1, C, **wide)
    cut = sent(shares, h.device)
    for work, width in zip(model.work, WIDTHS, strict=True):
        if len(work):
            pairs_kernel[(len(shares), len(work))](
                g, V, G, Q, low, left, V_left, table, there, cut, work, counts, rows,
                C=C, A=A, BLOCK_T=TILE // width, BLOCK_K=width, FORBIDDEN=forbidden,
            )  # fmt: skip
    sums = by_item(counts, chunks.host[shares[:, 0], 0], len(emissions))
    steps = (sums * model.steps).sum(1)
    K = int(model.longest.max())
    return (sums * (1 - model.steps))[:, : K + 1], steps
