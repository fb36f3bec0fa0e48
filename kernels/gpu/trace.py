"""The best path on the device, all chunks at once, without back-pointers.

A walk goes left with a running sum of emissions (see `cpu/trace.py`, whose ties it keeps: the latest start, then the
smallest source; a first segment cut by a censored edge loses). Every chunk needs the cursor with which the best path
crosses its right end, and guesses it: paths that start to the right of it from the likeliest label soon coalesce. Where
the guess is not what the right neighbour's own walk arrives with, the chunk is walked again, until no seam differs.

A cursor is five numbers: label (LOST: no path), end, emissions gathered of the positions before end, score of all up
to end on the item's common scale, and 1 where a censored right end cuts the segment.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import fixed
from ..lasting import sent
from .pieces import Table, power_of_2

LOST = -1
BLOCK = 128  # positions searched at once: four a lane
PARALLEL = 3  # rounds of repair with all chunks at once; then one walk an item passes over all that is left

_LOST = tl.constexpr(LOST)
_FLOOR = tl.constexpr(fixed.FLOOR)


class TraceModel(NamedTuple):
    """What a walk reads of a model: int64 scores in fixed-point units, the slopes of tails moved into emissions."""

    durations: Tensor  # (K + 1, C), NEVER where forbidden
    longest: Tensor  # (C,) int64
    period: Tensor  # (C,) int64, 0: no tail
    arc_source: Tensor  # (P, D, C) int32, the sources of each label in ascending order, then -1
    arc_score: Tensor  # (P, D, C)
    arc_types: Tensor  # (P, D, C, M) int32, columns of the boundary scores, -1: none
    enter: Tensor | None  # (K + 1, C) first segments cut by a censored left end, by their visible length
    leave: Tensor | None  # (K + 1, C) last segments cut by a censored right end
    both: Tensor | None  # (B, C) one segment cut at both ends, by item since it depends on the length


class Rows(NamedTuple):
    """What a forward pass left behind, row = item * (T + 1) + boundary, and what it read."""

    alpha: Tensor  # [B * (T + 1), C] int64
    h: Tensor  # [B * (T + 1), C] int64
    emissions: Tensor  # (B, T, C) int32 or int64, the smallest integer: forbidden
    scores: Tensor  # [B * (T + 1), n] int64
    chunks: Table
    constants: Tensor  # [n] int64, what puts a chunk's scores on its item's common scale


class Traced(NamedTuple):
    """Segments of all items, by item and start, and what the repairs took."""

    starts: Tensor  # [N] int64
    ends: Tensor
    labels: Tensor
    items: Tensor
    rounds: int
    positions: int  # walked again


@triton.jit
def law_load(table, longest, period, c, k, inside, C):
    """Return scores of segments of label c by visible length k [BLOCK]."""
    K = tl.load(longest + c)
    p = tl.load(period + c)
    # division of 32 bits: 64 take three times the instructions
    steps = tl.maximum(k - K + p - 1, 0).to(tl.int32) // tl.maximum(p, 1).to(tl.int32)
    k = tl.where(p > 0, k - steps * p, k)
    return tl.load(table + k * C + c, mask=inside & (k <= K), other=_FLOOR)


@triton.jit
def start_search(
    durations, longest, period, leave, h, emissions, c, end, at, gathered, target, way, first, constant, C,
    RIGHT: tl.constexpr, FORBIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return how far left of `at` the latest start is (BLOCK: none), what is gathered up to it, if there is a cut."""
    i = tl.arange(0, BLOCK).to(tl.int64)
    s = at - 1 - i
    inside = s >= first
    e = tl.load(emissions + s * C + c, mask=inside, other=0).to(tl.int64)
    cut = tl.min(tl.where(inside & (e == FORBIDDEN), i, BLOCK), 0)
    inside &= i < cut
    e = tl.where(inside, e, 0)
    sums = gathered + tl.cumsum(e, 0)
    source = tl.load(h + s * C + c, mask=inside, other=_FLOOR)
    law = law_load(durations, longest, period, c, end - s, inside & (way == 0), C)
    if RIGHT:
        law = tl.where(way == 0, law, law_load(leave, longest, period, c, end - s, inside & (way != 0), C))
    match = inside & (source > _FLOOR) & (law > _FLOOR) & (source + constant + sums + law == target)
    found = tl.min(tl.where(match, i, BLOCK), 0)
    gathered += tl.sum(tl.where(i <= found, e, 0), 0)
    return found, gathered, cut < BLOCK


@triton.jit
def source_search(
    arc_source, arc_score, arc_types, alpha, scores, phase, c, target, constant, C, n,
    D: tl.constexpr, M: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Return the smallest label, or LOST, from which c is reached with the score `target`, and that label's score."""
    d = tl.arange(0, BLOCK_D)
    arc = (phase * D + d) * C + c
    source = tl.load(arc_source + arc, mask=d < D, other=_LOST).to(tl.int64)
    inside = source >= 0
    before = tl.load(alpha + source, mask=inside, other=_FLOOR)
    change = tl.load(arc_score + arc, mask=inside, other=_FLOOR)
    inside &= (before > _FLOOR) & (change > _FLOOR)
    for m in tl.static_range(M):
        kind = tl.load(arc_types + arc * M + m, mask=inside, other=-1)
        score = tl.load(scores + kind, mask=kind >= 0, other=0)
        inside &= score > _FLOOR
        change += score
    before += constant
    match = inside & (before + change == target)
    found = tl.min(tl.where(match, d, BLOCK_D), 0)
    here = d == found
    label = tl.where(found < BLOCK_D, tl.sum(tl.where(here, source, 0), 0), _LOST)
    return label, tl.sum(tl.where(here, before, 0), 0)


@triton.jit
def chunk_walk(
    durations, longest, period, arc_source, arc_score, arc_types, enter, leave, both,
    alpha, h, emissions, scores, chunks, constants, label_at, chunk, at, write,
    c, end, gathered, target, way, T, C, n, lead, P,
    D: tl.constexpr, M: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr, FORBIDDEN: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Return the cursor at a chunk's first boundary from the one at boundary `at`; `write`: note what segments begin.

    Every position is passed once, so noting what begins there also clears what an earlier walk noted.
    """
    item = tl.load(chunks + chunk * 4)
    first = tl.load(chunks + chunk * 4 + 1)
    constant = tl.load(constants + chunk)
    left = tl.load(constants + chunk - 1, mask=first > 0, other=0)
    row = item * (T + 1)
    i = tl.arange(0, BLOCK).to(tl.int64)
    while (c >= 0) & (at > first):
        found, gathered, cut = start_search(
            durations, longest, period, leave, h + row * C, emissions + item * T * C,
            c, end, at, gathered, target, way, first, constant, C, RIGHT, FORBIDDEN, BLOCK,
        )  # fmt: skip
        begun = found < BLOCK
        passed = tl.where(begun, found + 1, tl.minimum(at - first, BLOCK))
        if LEFT:  # noqa: SIM102 - decided at compile time
            if (at == passed) & (begun == 0) & (cut == 0):
                law = law_load(enter, longest, period, c, end, end > 0, C)
                if RIGHT:
                    law = tl.where(way == 0, law, tl.load(both + item * C + c))
                begun = (law > _FLOOR) & (law + gathered + constant == target)
        begins = tl.where(begun & (i == passed - 1), c, _LOST).to(label_at.dtype.element_ty)
        tl.store(label_at + item * T + at - 1 - i, begins, mask=(i < passed) & write)
        at -= passed
        c = tl.where((begun == 0) & (cut | (at == 0)), _LOST, c)
        if begun & (at > 0):
            score = tl.load(h + (row + at) * C + c) + constant
            c, target = source_search(
                arc_source, arc_score, arc_types, alpha + (row + at) * C, scores + (row + at) * n,
                (lead + at) % P, c, score, tl.where(at > first, constant, left), C, n, D, M, BLOCK_D,
            )  # fmt: skip
        end = tl.where(begun, at, end)
        gathered = tl.where(begun, 0, gathered)
        way = tl.where(begun, 0, way)
    return c, end, gathered, target, way


@triton.jit
def cursor_load(cursors, i):
    """Return a stored cursor."""
    at = cursors + i * 5
    return tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3), tl.load(at + 4)


@triton.jit
def cursor_store(cursors, i, c, end, gathered, target, way):
    """Store a cursor."""
    at = cursors + i * 5
    tl.store(at, c)
    tl.store(at + 1, end)
    tl.store(at + 2, gathered)
    tl.store(at + 3, target)
    tl.store(at + 4, way)


@triton.jit(do_not_specialize=["T", "C", "n", "lead", "P", "lookahead"])
def path_guess_kernel(
    durations, longest, period, arc_source, arc_score, arc_types, enter, leave, both,
    alpha, h, emissions, scores, chunks, constants, label_at, closing, arrived, passed_on,
    T, C, n, lead, P, lookahead,
    D: tl.constexpr, M: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr, FORBIDDEN: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Walk every chunk once, from a guessed cursor: kept in `arrived`, the one it ends with in `passed_on`."""
    own = tl.program_id(0).to(tl.int64)
    item = tl.load(chunks + own * 4)
    last = tl.load(closing + item * 4 + 1)
    begin = tl.minimum(tl.load(chunks + own * 4 + 2) + lookahead, last)
    chunk = own
    while tl.load(chunks + chunk * 4 + 2) < begin:
        chunk += 1
    label = tl.arange(0, BLOCK_C)
    ends = tl.load(alpha + (item * (T + 1) + begin) * C + label, mask=label < C, other=_FLOOR)
    top = tl.max(ends, 0)
    c = tl.min(tl.where((ends == top) & (top > _FLOOR), label, BLOCK_C), 0).to(tl.int64)
    c = tl.where(c < C, c, _LOST)
    closes = begin == last
    c = tl.where(closes, tl.load(closing + item * 4), c)
    target = tl.where(closes, tl.load(closing + item * 4 + 2), top + tl.load(constants + chunk))
    way = tl.where(closes, tl.load(closing + item * 4 + 3), 0)
    gathered = target * 0
    end = begin
    at = begin
    while chunk >= own:
        if chunk == own:
            cursor_store(arrived, own, c, end, gathered, target, way)
        c, end, gathered, target, way = chunk_walk(
            durations, longest, period, arc_source, arc_score, arc_types, enter, leave, both,
            alpha, h, emissions, scores, chunks, constants, label_at, chunk, at, chunk == own,
            c, end, gathered, target, way, T, C, n, lead, P, D, M, LEFT, RIGHT, FORBIDDEN, BLOCK, BLOCK_D,
        )  # fmt: skip
        at = tl.load(chunks + chunk * 4 + 1)
        chunk -= 1
    cursor_store(passed_on, own, c, end, gathered, target, way)


@triton.jit(do_not_specialize=["T", "C", "n", "lead", "P"])
def path_repair_kernel(
    durations, longest, period, arc_source, arc_score, arc_types, enter, leave, both,
    alpha, h, emissions, scores, chunks, constants, label_at, spans, cursors, arrived, passed_on,
    T, C, n, lead, P,
    D: tl.constexpr, M: tl.constexpr, LEFT: tl.constexpr, RIGHT: tl.constexpr, FORBIDDEN: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Walk the chunks of a span (its last, its first) again, but those that already start from the cursor given.

    `cursors` is a copy of `passed_on`: neighbours write theirs at the same time.
    """
    chunk = tl.load(spans + tl.program_id(0) * 2)
    low = tl.load(spans + tl.program_id(0) * 2 + 1)
    c, end, gathered, target, way = cursor_load(cursors, chunk + 1)
    while (chunk >= low) & (c >= 0):
        c1, end1, gathered1, target1, way1 = cursor_load(arrived, chunk)
        if (c == c1) & (end == end1) & (gathered == gathered1) & (target == target1) & (way == way1):
            c, end, gathered, target, way = cursor_load(cursors, chunk)
        else:
            cursor_store(arrived, chunk, c, end, gathered, target, way)
            c, end, gathered, target, way = chunk_walk(
                durations, longest, period, arc_source, arc_score, arc_types, enter, leave, both,
                alpha, h, emissions, scores, chunks, constants, label_at, chunk, tl.load(chunks + chunk * 4 + 2), True,
                c, end, gathered, target, way, T, C, n, lead, P, D, M, LEFT, RIGHT, FORBIDDEN, BLOCK, BLOCK_D,
            )  # fmt: skip
            cursor_store(passed_on, chunk, c, end, gathered, target, way)
        chunk -= 1


class Walked(NamedTuple):
    """Chunks that were walked, each from a guess, and what walking them again takes."""

    label_at: Tensor  # (B, T) int16 label of the segment that begins, LOST where none does
    arrived: Tensor  # (n, 5) cursors that walks began with
    passed_on: Tensor  # (n, 5) and ended with
    again: Callable[[Tensor], None]  # walk spans (last chunk, first chunk) again


def walk(model: TraceModel, rows: Rows, closing: Tensor, origin: int, lookahead: int | None = None) -> Walked:
    """Walk all chunks; nothing waits for the device."""
    B, T, C = rows.emissions.shape
    P, D, _, M = model.arc_types.shape
    n = len(rows.chunks.host)
    K = model.durations.shape[0] - 1
    lookahead = max(2 * K, 512) if lookahead is None else lookahead
    label_at = torch.full((B, T), LOST, dtype=torch.int16, device=rows.h.device)
    arrived = torch.zeros((n, 5), dtype=torch.int64, device=rows.h.device)
    passed_on = arrived.clone()
    spare = model.durations  # stands for tables that are never read
    tables = (spare if x is None else x for x in (model.enter, model.leave, model.both))
    inputs = *model[:6], *tables, *rows[:4], rows.chunks.there, rows.constants, label_at
    sizes = T, C, rows.scores.shape[1], origin % P, P
    meta = {
        "D": D,
        "M": M,
        "LEFT": model.enter is not None,
        "RIGHT": model.leave is not None,
        "FORBIDDEN": torch.iinfo(rows.emissions.dtype).min,
        "BLOCK": BLOCK,
        "BLOCK_D": power_of_2(D),
        "num_warps": 1,
    }
    path_guess_kernel[(n,)](*inputs, closing, arrived, passed_on, *sizes, lookahead, BLOCK_C=power_of_2(C), **meta)

    def again(spans: Tensor) -> None:
        path_repair_kernel[(len(spans),)](
            *inputs, sent(spans.numpy(), rows.h.device), passed_on.clone(), arrived, passed_on, *sizes, **meta
        )

    return Walked(label_at, arrived, passed_on, again)


def trace(model: TraceModel, rows: Rows, closing: Tensor, origin: int, lookahead: int | None = None) -> Traced:
    """Return the best path of every item from its closing cursor (B, 4): label, end, score up to the end, way.

    The closing score is on the item's common scale; way is 1 where a censored right end cuts the last segment.
    """
    label_at, arrived, passed_on, again = walk(model, rows, closing, origin, lookahead)
    parts = torch.from_numpy(rows.chunks.host)
    rounds, positions = 0, 0
    while len(wrong := wrong_seams(arrived, passed_on, rows.chunks)):
        rounds += 1
        before = arrived.clone()
        again(repair_spans(wrong, parts, rounds > PARALLEL))
        walked = (before != arrived).any(1).cpu()
        positions += int((parts[:, 2] - parts[:, 1])[walked].sum())
    lost = passed_on[:, 0] == LOST
    if bool(lost.any()):  # right of the last one every seam agrees, so that one started from the best path's cursor
        item, a, b, _ = parts[int(lost.nonzero()[-1])].tolist()
        raise AssertionError(f"traceback lost between {a} and {b} of item {item}: forward scores contradict each other")
    return Traced(*segments(label_at, closing[:, 1]), rounds, positions)


def wrong_seams(arrived: Tensor, passed_on: Tensor, chunks: Table) -> Tensor:
    """Return the chunks whose cursor is not the one that their right neighbour's walk ends with, on the host.

    A neighbour without a path is either walked again itself or really lost: there is nothing to take over from it.
    """
    if (np.diff(chunks.host[:, 0]) > 0).all():  # there are none
        return torch.empty(0, dtype=torch.int64)
    inner = chunks.there[:-1, 0] == chunks.there[1:, 0]
    return (inner & (passed_on[1:, 0] >= 0) & (arrived[:-1] != passed_on[1:]).any(1)).nonzero()[:, 0].cpu()


def repair_spans(wrong: Tensor, chunks: Tensor, sequential: bool) -> Tensor:
    """Return (last chunk, first chunk) to walk: each alone, or all of an item left of its last wrong seam in a row."""
    if not sequential:
        return torch.stack([wrong, wrong], 1)
    items, counts = torch.unique_consecutive(chunks[wrong, 0], return_counts=True)
    return torch.stack([wrong[counts.cumsum(0) - 1], torch.searchsorted(chunks[:, 0].contiguous(), items)], 1)


def segments(label_at: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (starts, ends, labels, items) by item and start."""
    items, starts = (label_at != LOST).nonzero(as_tuple=True)
    ends = lengths[items]
    ends[:-1] = torch.where(items[:-1] == items[1:], starts[1:], ends[:-1])
    return starts, ends, label_at[items, starts].long(), items


def padded_segments(label_at: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many segments there are, and (4, B * T) their items, starts, ends and labels, with what is no segment
    behind them; nothing waits for the device.
    """
    B, T = label_at.shape
    n = B * T
    flat = label_at.reshape(-1)
    found = flat != LOST
    rank = found.cumsum(0)
    places = torch.arange(n, device=flat.device)
    at = torch.full((n + 1,), n, device=flat.device)  # all that begin no segment share the place behind the last one
    at = at.scatter_(0, torch.where(found, rank - 1, n), places)[:n]
    items = at // T
    starts = at - items * T
    ends = lengths[items.clamp(max=B - 1)]
    ends[:-1] = torch.where(items[:-1] == items[1:], starts[1:], ends[:-1])
    return rank[-1], torch.stack([items, starts, ends, flat[at.clamp(max=n - 1)].long()])
