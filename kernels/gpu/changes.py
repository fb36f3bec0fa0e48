"""Expected label changes and posteriors of boundary types: every allowed change at every boundary, one exp2 each.

Only changes that are allowed are visited, as one flat list a phase. Sums by type come from lists by column, so the
same change is worked out once for the transitions and once a map: no two programs add to one number.
"""

from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ..lasting import lasting
from .model import packed
from .pieces import Table, add_float32, by_item, cdiv, chunk_at, normaliser, power_of_2
from .tiles import LOG2E, NEVER

_LOG2E, _NEVER = tl.constexpr(LOG2E), tl.constexpr(float(NEVER))
PIECE = 2048  # positions a program looks at
COLUMNS = 16  # boundary types side by side


class Arcs(NamedTuple):
    """The allowed changes of a model in lists padded with impossible ones."""

    source: Tensor  # (P, N) int32
    target: Tensor  # (P, N) int32
    score: Tensor  # (P, N) float64, log2
    types: Tensor  # (P, N, M) int32
    column_source: Tensor  # (P, E, n) int32: e-th change of each boundary type
    column_target: Tensor  # (P, E, n) int32
    column_score: Tensor  # (P, E, n) float64
    column_types: Tensor  # (P, E, n, M) int32
    loads: Tensor  # (blocks of columns,) int32: how many of the E they need
    dense: Tensor  # (P * C * C,) int64: place of every change in the flat (P, N), P * N where there is none


def arcs(arc_source: NDArray, arc_types: NDArray, score: Tensor, n: int) -> Arcs:
    """Return the lists of a model with n boundary types.

    `arc_source` (P, D, C) int32, -1: none; `arc_types` (P, D, C, M) int32, -1: none; `score` (P * D * C + 1,) log2,
    the last one for padding.
    """
    lists, flat, columns = _lists(arc_source.tobytes(), arc_types.tobytes(), arc_types.shape, n, score.device)
    return lists._replace(score=score[flat], column_score=score[columns])


@lasting(64)
def _lists(
    source_: bytes, types_: bytes, shape: tuple[int, ...], n: int, device: torch.device
) -> tuple[Arcs, Tensor, Tensor]:
    """Return the lists without scores, and where those of (P, N) and (P, E, n) stand in the model's."""
    P, _, C, M = shape
    source = np.frombuffer(source_, np.int32).reshape(shape[:3])
    types = np.frombuffer(types_, np.int32).reshape(shape)
    every = []
    for p in range(P):
        d, c = np.nonzero(source[p] >= 0)
        order = np.lexsort((source[p, d, c], c))
        every.append((d[order], c[order]))
    N = max(1, max(len(d) for d, _ in every))
    counts = [np.bincount(types[p, d, c].ravel() + 1, minlength=n + 1)[1:] for p, (d, c) in enumerate(every)]
    heights = np.max(counts, 0, initial=0)
    E = max(1, int(heights.max(initial=0)))
    flat, columns = np.full((P, N), -1), np.full((P, E, n), -1)
    places = np.arange(source.size).reshape(source.shape)
    for p, (d, c) in enumerate(every):
        flat[p, : len(d)] = places[p, d, c]
        for k in range(n):
            of = (types[p, d, c] == k).any(-1)
            columns[p, : of.sum(), k] = places[p, d[of], c[of]]
    loads = np.array([heights[i : i + COLUMNS].max() for i in range(0, n, COLUMNS)], np.int32)
    take = np.flatnonzero(flat >= 0)
    real = flat.reshape(-1)[take]
    dense = np.full(P * C * C, P * N)
    dense[(take // N * C + source.reshape(-1)[real]) * C + real % C] = take

    def listed(at: NDArray) -> list[NDArray]:
        """Return source, target, no score yet, types."""
        known = (at >= 0).astype(np.int32)
        kinds = np.where(known[..., None], types.reshape(source.size, M)[at], -1)
        return [source.reshape(-1)[at] * known, (at % C).astype(np.int32) * known, np.zeros(0), kinds]

    fields = [*listed(flat), *listed(columns), loads, dense, *(at % (source.size + 1) for at in (flat, columns))]
    *lists, flat_there, columns_there = packed(fields, device)
    return Arcs(*lists), flat_there, columns_there


@triton.jit
def change_posterior(
    alpha, alpha_at_a, f, scores, chunk, row, t, listed, known, z, source, target, score, types,
    C: tl.constexpr, M: tl.constexpr, n_types: tl.constexpr,
):  # fmt: skip
    """Return float32 posteriors of changes `t` positions behind the chunk's first boundary, garbage if not `known`."""
    at = (row + t) * C
    # what ends at the first boundary lies in the chunk on the left
    ending = tl.where(t > 0, alpha + at + source, alpha_at_a + chunk * C + source)
    x = tl.load(ending, known, _NEVER) + score + tl.load(f + at + target, known, 0.0) - z
    for m in tl.static_range(M):
        kind = tl.load(types + m, listed, -1)
        content = tl.load(scores + (row + t) * n_types + kind, known & (kind >= 0), 0.0)
        x += content.to(tl.float64) * _LOG2E
    return tl.exp2(x.to(tl.float32))


@triton.jit
def transitions_kernel(
    alpha, alpha_at_a, f, scores, chunks, ZL, ZR, source, target, score, types, out, origin, pieces,
    C: tl.constexpr, P: tl.constexpr, N: tl.constexpr, M: tl.constexpr, n_types: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """Write out[chunk, piece, P * N + 1]: expected numbers in the piece by phase and change. `origin` is modulo P."""
    chunk, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    phase = tl.program_id(2) % P
    change = tl.program_id(2) // P * BLOCK_N + tl.arange(0, BLOCK_N)
    _, a, n, row = chunk_at(chunks, chunk)
    first = piece * PIECE
    if first >= n:
        return
    near, slope = normaliser(ZL, ZR, chunk, n)
    listed = change < N
    change_at = phase * N + change
    j = tl.load(source + change_at, listed, 0)[None, :]
    c = tl.load(target + change_at, listed, 0)[None, :]
    d = tl.load(score + change_at, listed, _NEVER)[None, :]
    stop = tl.minimum(first + PIECE, n)
    skip = (phase + P - (origin + a + first) % P) % P  # to the first boundary of this phase
    total = tl.zeros([BLOCK_T, BLOCK_N], tl.float32)
    lost = tl.zeros([BLOCK_T, BLOCK_N], tl.float32)
    for i in range(0, tl.cdiv(stop - first, P), BLOCK_T):
        t = (first + skip + P * (i + tl.arange(0, BLOCK_T)))[:, None]
        known = (t < stop) & (a + t > 0) & listed[None, :]
        x = change_posterior(
            alpha, alpha_at_a, f, scores, chunk, row, t, listed[None, :], known, near + slope * t, j, c, d,
            types + change_at[None, :] * M, C, M, n_types,
        )  # fmt: skip
        total, lost = add_float32(total, lost, tl.where(known, x, 0.0))
    sums = tl.sum(total.to(tl.float64) - lost.to(tl.float64), 0)
    tl.store(out + (chunk * pieces + piece) * (P * N + 1) + phase * N + change, sums, listed)


@triton.jit
def kinds_kernel(
    alpha, alpha_at_a, f, scores, chunks, ZL, ZR, source, target, score, types, loads, kinds, origin,
    C: tl.constexpr, P: tl.constexpr, E: tl.constexpr, M: tl.constexpr, n_types: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """Write kinds[row, type]: posterior of a boundary of each type."""
    chunk, piece, block = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    column = (block * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    _, a, n, row = chunk_at(chunks, chunk)
    first = piece * PIECE
    if first >= n:
        return
    near, slope = normaliser(ZL, ZR, chunk, n)
    for tile in range(first, tl.minimum(first + PIECE, n), BLOCK_T):
        t = (tile + tl.arange(0, BLOCK_T))[:, None]
        phase = ((origin + a + t) % P).to(tl.int32) if P > 1 else 0
        total = tl.zeros([BLOCK_T, BLOCK_N], tl.float32)
        for e in range(tl.load(loads + block)):
            at = (phase * E + e) * n_types + column  # [1 or BLOCK_T, BLOCK_N]
            listed = column < n_types
            j = tl.load(source + at, listed, 0)
            c = tl.load(target + at, listed, 0)
            d = tl.load(score + at, listed, _NEVER)
            known = (t < n) & (a + t > 0) & listed
            x = change_posterior(
                alpha, alpha_at_a, f, scores, chunk, row, t, listed, known, near + slope * t, j, c, d,
                types + at * M, C, M, n_types,
            )  # fmt: skip
            total += tl.where(known, x, 0.0)
        tl.store(kinds + (row + t) * n_types + column, total.to(kinds.dtype.element_ty), (t < n) & (column < n_types))


def changes(
    alpha: Tensor,
    f: Tensor,
    chunks: Table,
    ZL: Tensor,
    ZR: Tensor,
    alpha_at_a: Tensor,
    scores: Tensor,
    arcs: Arcs,
    origin: int,
    *,
    kinds: Tensor | None = None,
    transitions: bool = True,
    piece: int = PIECE,
) -> Tensor | None:
    """Return expected changes (B, P, C, C) float64 (source first), and fill `kinds` (B, T + 1, n) where given.

    `alpha_at_a` [n_chunks, C]: scores of ends at each chunk's first boundary in the chunk's own constants. `scores`
    (B, T + 1, n) in nats, of any float type. Rows of `kinds` that no chunk covers stay as they are; at the start of
    an item, where nothing changes, they become 0.
    """
    C, n = f.shape[1], scores.shape[2]
    (P, N, M), E = arcs.types.shape, arcs.column_source.shape[1]
    n_chunks, pieces = len(chunks.host), cdiv(chunks.longest, piece)
    shape = {"C": C, "P": P, "M": M, "n_types": n, "PIECE": piece}
    inputs = alpha, alpha_at_a, f, scores, chunks.there, ZL, ZR
    if kinds is not None and n > 0:
        block = min(COLUMNS, power_of_2(n))
        kinds_kernel[(n_chunks, pieces, cdiv(n, COLUMNS))](
            *inputs, arcs.column_source, arcs.column_target, arcs.column_score, arcs.column_types, arcs.loads, kinds,
            origin % P, E=E, BLOCK_T=512 // block, BLOCK_N=block, **shape,
        )  # fmt: skip
    if not transitions:
        return None
    block = min(256, power_of_2(N))
    out = torch.zeros(n_chunks, pieces, P * N + 1, dtype=torch.float64, device=f.device)
    transitions_kernel[(n_chunks, pieces, P * cdiv(N, block))](
        *inputs, arcs.source, arcs.target, arcs.score, arcs.types, out, origin % P, pieces,
        N=N, BLOCK_T=1024 // block, BLOCK_N=block, **shape,
    )  # fmt: skip
    sums = by_item(out.sum(1), chunks.host[:, 0], len(scores))
    return sums.index_select(1, arcs.dense).reshape(-1, P, C, C)
