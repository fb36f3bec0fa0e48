"""Starts and ends as open segments see them: scores that do not change while a segment goes on.

With g[s] = h[s] - S[s] and G[t] = beta[t] + S[t], S being 0 at a chunk's first boundary, a segment (s, t, c) scores
g[s] + D[t - s] + G[t]. What a label's tail folds together, all older starts and all later ends of one residue, each a
period and a step of the tail further away, is V[s] and Q[t]. Arrays lie label by label, so that neighbouring durations
are neighbours in memory.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ..lasting import lasting, sent
from .pieces import Table, cdiv, chunk_at, normaliser, power_of_2
from .tiles import FLOOR, LOG2E, NEVER

_LOG2E, _NEVER = tl.constexpr(LOG2E), tl.constexpr(float(NEVER))
UNCUT = -(2**30)  # no cut since the chunk's first boundary
_UNCUT = tl.constexpr(UNCUT)
SCAN = 256  # entries of one residue that are summed at once


class Sides(NamedTuple):
    """Both sides of every boundary, float64; ends are less the normaliser."""

    g: Tensor  # (C, rows) starts
    G: Tensor  # (C, rows) ends
    left: Tensor  # (n, C, A) starts before a chunk, by their distance to its first boundary, 1 first
    right: Tensor  # (n, C, A) ends behind it
    V: Tensor  # (C, rows) g, where a label has a tail with all older starts of its residue
    Q: Tensor  # (C, rows) G and all later ends
    V_left: Tensor  # (n, C, A)
    Q_right: Tensor  # (n, C, A)
    low: Tensor  # (C, rows) int32, where anything is forbidden: the oldest start still open, from the chunk's first one
    total: Tensor  # (n, C) S at a chunk's last boundary


def tailed(longest: NDArray, period: NDArray, device: torch.device | str) -> Tensor:
    """Return (L, 3) int32: label, longest explicit duration and period of the labels with a tail (0: without one)."""
    return _tailed(tuple(longest.tolist()), tuple(period.tolist()), torch.device(device))


@lasting(64)
def _tailed(longest: tuple[int, ...], period: tuple[int, ...], device: torch.device) -> Tensor:
    found = [(c, longest[c], period[c]) for c in np.flatnonzero(period)]
    return sent(np.array(found, np.int32).reshape(-1, 3), device)


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
    g, G, low, total, open_left, open_right, tail, tailed, chunks, ZL, ZR, V, V_left, Q, Q_right, size,
    C: tl.constexpr, A: tl.constexpr, BLOCK: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write V [C, rows], V_left [chunk, C, A], Q [C, rows] and Q_right less the normaliser, one residue a program.

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
    left, out = chunk * A * C + c, (chunk * C + c) * A - 1
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
        tl.store(V_left + out - s, sums, s < 0)
    carry = tl.zeros([], tl.float64) + _NEVER
    for tile in range(0, steps, BLOCK):
        t = n + K + p - residue - (tile + tl.arange(0, BLOCK)) * p  # from the latest end back
        inside = (t > 0) & (t <= n)
        z = near + slope * tl.minimum(t, n)
        value = tl.load(G + here + t, inside, 0.0) + tl.where(inside, z, across)
        value += tl.load(open_right + left + (t - n - 1) * C, t > n, 0.0)
        linked = t > 0
        if FORBIDDEN:
            linked &= tl.load(low + here + tl.minimum(t + p, n), inside, _UNCUT) <= t
        sums, carry = _fold(tl.where(linked, lam, _NEVER), tl.where(t > 0, value, _NEVER), carry, BLOCK)
        tl.store(Q + here + t, sums - z, inside)
        tl.store(Q_right + out + (t - n), sums - z, t > n)


def sides(
    h: Tensor,
    beta: Tensor,
    emissions: Tensor,
    chunks: Table,
    ZL: Tensor,
    ZR: Tensor,
    open_: tuple[Tensor, Tensor] | None,
    ages: int,
    tailed: Tensor,
    folds: int,
    tail: Tensor,
    *,
    forbidden: bool = True,
    scan: int = SCAN,
) -> Sides:
    """Return both sides of all boundaries of some chunks.

    `emissions` (B, T, C) in nats; `forbidden`: whether any of them is -inf. `open_` [n_chunks, `ages`, C] each, K and
    `folds`, the longest period: what is open at a chunk's first boundary by age, and what may end behind its last one,
    ages beyond a label's longest standing for all older ones of their residue; None: nothing is. `tail` (C,) in log2.
    """
    rows, C = h.shape
    n, there = len(chunks.host), chunks.there
    wide: dict[str, Any] = {"dtype": torch.float64, "device": h.device}
    g, G = torch.empty(C, rows, **wide), torch.empty(C, rows, **wide)
    low = torch.empty((C, rows) if forbidden else (1,), dtype=torch.int32, device=h.device)
    total = torch.empty(n, C, **wide)
    block_c = min(16, power_of_2(C))
    relative_kernel[(n, cdiv(C, block_c))](
        h, beta, emissions, there, ZL, ZR, g, G, low, total, rows,
        C=C, BLOCK_T=1024 // block_c, BLOCK_C=block_c, FORBIDDEN=forbidden,
    )  # fmt: skip
    if open_ is None:
        left = right = torch.full((n, C, ages), NEVER, **wide)
        open_ = (left, left)  # whichever axis is which
    else:
        left, right = (x.transpose(1, 2).contiguous() for x in open_)
        right = torch.where(right > FLOOR, right + (total - ZR[:, None])[..., None], NEVER)
    V, Q, V_left, Q_right = g, G, left, right
    if len(tailed):
        V, Q = torch.empty_like(g), torch.empty_like(G)
        V_left, Q_right = torch.empty_like(left), torch.empty_like(left)
        tails_kernel[(n, len(tailed), folds)](
            g, G, low, total, *open_, tail, tailed, there, ZL, ZR, V, V_left, Q, Q_right, rows,
            C=C, A=ages, BLOCK=scan, FORBIDDEN=forbidden,
        )  # fmt: skip
    return Sides(g, G, left, right, V, Q, V_left, Q_right, low, total)
