"""Posteriors of starts, ends and positions from the kept scores of both directions, at the speed of memory.

Positions are a running sum of starts less ends from the chunk's anchor. A first sweep writes starts, ends, their
difference in place of the position, and its sums over pieces of a chunk; a second one adds up.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .pieces import Table, cdiv, chunk_at, normaliser, power_of_2
from .tiles import NEVER

_NEVER = tl.constexpr(float(NEVER))
TILE = 1024  # entries of a tile: each of 128 threads has its own, so a tile may be replaced in place
TILES = 8  # of a piece


@triton.jit
def boundaries_kernel(
    h, alpha, f, beta, chunks, ZL, ZR, start, end, position, sums, pieces,
    C: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr, TILES: tl.constexpr,
    START: tl.constexpr, END: tl.constexpr, POSITION: tl.constexpr,
):  # fmt: skip
    """Write starts, ends, and in place of position `t` what changes there; `sums` [chunk, piece, C] of the last."""
    chunk, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    item, _, n, row = chunk_at(chunks, chunk)
    first = piece * TILES * BLOCK_T
    if first > n:
        return
    label = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    near, slope = normaliser(ZL, ZR, chunk, n)
    total = tl.zeros([BLOCK_C], tl.float64)
    inner = tl.arange(0, BLOCK_T)[:, None] * C + label[None, :]
    for tile in range(first, tl.minimum(first + TILES * BLOCK_T, n + 1), BLOCK_T):
        t = (tile + tl.arange(0, BLOCK_T))[:, None]
        z = near + slope * t
        at = (row + tile) * C
        begun = (t < n) & (label < C)[None, :]
        ended = (t > 0) & (t <= n) & (label < C)[None, :]
        if START or POSITION:
            x = tl.load(h + at + inner, begun, _NEVER) + tl.load(f + at + inner, begun, 0.0) - z
            starts = tl.exp2(x.to(tl.float32))
        if START:
            tl.store(start + at + inner, starts.to(start.dtype.element_ty), begun)
        if END or POSITION:
            x = tl.load(alpha + at + inner, ended, _NEVER) + tl.load(beta + at + inner, ended, 0.0) - z
            ends = tl.exp2(x.to(tl.float32))
        if END:
            tl.store(end + at + inner, ends.to(end.dtype.element_ty), ended)
        if POSITION:
            change = tl.where(t > 0, starts - ends, 0.0)
            tl.store(position + at - item * C + inner, change.to(position.dtype.element_ty), begun)
            total += tl.sum(change, 0).to(tl.float64)
    if POSITION:
        tl.store(sums + (chunk * pieces + piece) * C + label, total, label < C)


@triton.jit
def positions_kernel(
    position, chunks, before, error, emissions, pieces,
    C: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_C: tl.constexpr, TILES: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Replace changes by their running sum, which is `before` [chunk, piece, C] where a piece begins.

    `error` [chunk, C] is taken out evenly over the chunk.
    """
    chunk, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    item, _, n, row = chunk_at(chunks, chunk)
    first = piece * TILES * BLOCK_T
    if first >= n:
        return
    label = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    running = tl.load(before + (chunk * pieces + piece) * C + label, label < C, 0.0)
    step = tl.load(error + chunk * C + label, label < C, 0.0) / n
    inner = tl.arange(0, BLOCK_T)[:, None] * C + label[None, :]
    for tile in range(first, tl.minimum(first + TILES * BLOCK_T, n), BLOCK_T):
        t = (tile + tl.arange(0, BLOCK_T))[:, None]
        at = (row - item + tile) * C
        known = (t < n) & (label < C)[None, :]
        change = tl.load(position + at + inner, known, 0.0).to(tl.float32)
        value = running[None, :] + tl.cumsum(change, 0) - step[None, :] * t
        running += tl.sum(change, 0).to(tl.float64)
        if FORBIDDEN:
            content = tl.load(emissions + at + inner, known, 0.0)
            value = tl.where(content == -float("inf"), 0.0, value)
        tl.store(position + at + inner, value.to(position.dtype.element_ty), known)


def rows(
    h: Tensor,
    alpha: Tensor,
    f: Tensor,
    beta: Tensor,
    chunks: Table,
    ZL: Tensor,
    ZR: Tensor,
    *,
    start: Tensor | None = None,
    end: Tensor | None = None,
    position: Tensor | None = None,
    shares: Tensor | None = None,
    open_right: Tensor | None = None,
    emissions: Tensor | None = None,
    tiles: int = TILES,
) -> Tensor | None:
    """Fill the given outputs and return (n_chunks, C) errors with which positions close (None without `open_right`).

    `start`, `end` (B, T + 1, C) and `position` (B, T, C) are float32 or float64; what no chunk covers stays as it is,
    `start` at a chunk's last and `end` at its first boundary too. `shares` [n_chunks, C]: posteriors of a chunk's
    first position; `open_right`: posteriors of being open across its last boundary. With `emissions` (B, T, C)
    forbidden positions are exactly 0.
    """
    C = h.shape[1]
    block_c = min(64, power_of_2(C))
    block_t = TILE // block_c
    n, pieces = len(chunks.host), chunks.longest // (tiles * block_t) + 1
    grid = (n, pieces, cdiv(C, block_c))
    sums = torch.zeros(n, pieces, C, dtype=torch.float64, device=h.device)
    shape = {"C": C, "BLOCK_T": block_t, "BLOCK_C": block_c, "TILES": tiles}
    boundaries_kernel[grid](
        h, alpha, f, beta, chunks.there, ZL, ZR, *(h if x is None else x for x in (start, end, position)), sums, pieces,
        **shape, START=start is not None, END=end is not None, POSITION=position is not None,
    )  # fmt: skip
    if position is None:
        return None
    assert shares is not None
    running = torch.cat([shares[:, None], sums], 1).cumsum(1)
    error = torch.zeros_like(shares) if open_right is None else running[:, -1] - open_right
    positions_kernel[grid](
        position, chunks.there, running[:, :-1].contiguous(), error, position if emissions is None else emissions,
        pieces, **shape, FORBIDDEN=emissions is not None,
    )  # fmt: skip
    return None if open_right is None else error
