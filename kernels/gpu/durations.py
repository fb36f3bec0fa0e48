"""Expected durations: every pair of a start and an end, one exp2 each, in the log domain.

A pair belongs to the chunk where the segment ends; starts further left come from the chunk's open state. Segments in
the tail are counted where their length first passes through a row of the tail: all their later ends are in `Q`, the
geometric sum over ends of one residue, and all older starts in `V`. With the table continued one period beyond K,
    explicit rows   k <= K - p          start g[s]  end G[t]
    rows of a tail  K - p < k <= K      start g[s]  end Q[t]
    tail steps      K < k <= K + p      start V[s]  end Q[t]
are sums over pairs of one kind (see `sides.py`).
"""

from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from ..lasting import lasting, sent
from .pieces import Table, add_float32, by_item, chunk_at
from .sides import SCAN, UNCUT, sides, tailed
from .tiles import NEVER

_NEVER, _UNCUT = tl.constexpr(float(NEVER)), tl.constexpr(UNCUT)
TILE = 1024  # pairs that one step of a program looks at
PROGRAMS = 132 * 32  # enough to fill the largest device
WIDTHS = 64, 4  # durations side by side; narrow for rows of a tail, which are few


class Lists(NamedTuple):
    """What the durations of a model give to do; shapes do not depend on the input."""

    longest: NDArray  # (C,) int64
    period: NDArray  # (C,) int64, 0 without a tail
    tailed: Tensor  # (L, 3) int32, see `sides.tailed`
    work: tuple[Tensor, ...]  # for each of WIDTHS (W, 4) int32: label, first duration, past-last one, kind
    steps: Tensor  # (A + 1, C) float64: 1 at the rows that count as tail steps


def lists(longest: NDArray, period: NDArray, device: torch.device | str) -> Lists:
    """Return the work lists of a model; `period` is 0 for labels without a tail."""
    return _lists(tuple(longest.tolist()), tuple(period.tolist()), torch.device(device))


@lasting(64)
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
    given = tuple(sent(np.array(w, np.int32).reshape(-1, 4), device) for w in work)
    return Lists(longest, period, tailed(longest, period, device), given, sent(steps, device))


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


class Stretches(NamedTuple):
    """Ends that one program counts: every item has its own, in order."""

    item: NDArray  # (G,)
    there: Tensor  # (G, 4) int64: first and past-last chunk; ends in (first boundary, last one] belong to a stretch


def stretches(table: NDArray, parts: int, device: torch.device) -> Stretches:
    """Return about `parts` stretches of some chunks."""
    return _stretches(table.tobytes(), parts, device)


@lasting(64)
def _stretches(table: bytes, parts: int, device: torch.device) -> Stretches:
    item, a, b, _ = np.frombuffer(table, np.int64).reshape(-1, 4).T
    size = max(1024, -(-int((b - a).sum()) // parts))
    opens = np.flatnonzero(np.diff(item, prepend=-1))  # first chunks of items, and their last ones
    closes = np.append(opens[1:], len(item)) - 1
    low, span = a[opens], b[closes] - a[opens]
    number = -(-span // size)
    of = np.repeat(np.arange(len(opens)), number)
    i = np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number)
    begin, end = low[of] + span[of] * i // number[of], low[of] + span[of] * (i + 1) // number[of]
    apart = int(b.max()) + 1
    before, behind = of * apart + begin, of * apart + end
    place = np.repeat(np.arange(len(opens)), closes - opens + 1) * apart
    first, last = np.searchsorted(place + b, before, "right"), np.searchsorted(place + a, behind)
    return Stretches(item[first], sent(np.stack([first, last, begin, end], 1), device))


def durations(
    h: Tensor,
    beta: Tensor,
    emissions: Tensor,
    chunks: Table,
    ZL: Tensor,
    ZR: Tensor,
    open_: tuple[Tensor, Tensor] | None,
    model: Lists,
    table: Tensor,
    tail: Tensor,
    *,
    forbidden: bool = True,
    parts: int | None = None,
    scan: int = SCAN,
) -> tuple[Tensor, Tensor]:
    """Return expected durations (B, K + 1, C) and tail steps (B, C) of segments that end where a chunk is, float64.

    `emissions` (B, T, C) in nats; `forbidden`: whether any of them is -inf. `open_`: see `sides`. `table` (., C) are
    durations in log2, one period of the tail behind each label's longest, `tail` (C,) is too. Hidden lengths at
    censored edges are the caller's.
    """
    rows, C = h.shape
    K, folds = int(model.longest.max()), int(model.period.max())
    A = K + folds
    s = sides(h, beta, emissions, chunks, ZL, ZR, open_, A, model.tailed, folds, tail, forbidden=forbidden, scan=scan)
    programs = max(1, PROGRAMS // max(len(w) for w in model.work)) if parts is None else parts
    cut = stretches(chunks.host, programs, h.device)
    counts = torch.zeros(len(cut.item), A + 1, C, dtype=torch.float64, device=h.device)
    for work, width in zip(model.work, WIDTHS, strict=True):
        if len(work):
            pairs_kernel[(len(cut.item), len(work))](
                s.g, s.V, s.G, s.Q, s.low, s.left, s.V_left, table, chunks.there, cut.there, work, counts, rows,
                C=C, A=A, BLOCK_T=TILE // width, BLOCK_K=width, FORBIDDEN=forbidden,
            )  # fmt: skip
    sums = by_item(counts, cut.item, len(emissions))
    if folds == 0:
        return sums, sums.new_zeros(len(sums), C)
    return (sums * (1 - model.steps))[:, : K + 1], (sums * model.steps).sum(1)
