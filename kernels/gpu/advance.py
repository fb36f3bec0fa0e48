"""The recursion, many runs at once: one program moves one run over consecutive tiles of 16 boundaries.

    h[t, c]     = combine_{c'} alpha[t, c'] + A[t mod P, c', c] + B[t]                a segment of c begins at t
    alpha[t, c] = S[t, c] + combine_{1 <= k} h[t-k, c] - S[t-k, c] + D[k, c]           a segment of c ends at t

as on the CPU (see `cpu/forward.py`): sources older than K fold into the one a period later, and a backward pass is a
run on the reversed sequence. A tile has four parts. Far: all sources before the tile, every (item, output) pair one
32-bit operation; an item is a label and a stretch of its durations, so labels with few durations cost little. Merge:
items to labels, and what 32 bits could not hold is found and taken again in 64. Near: position by position, relative to
the path of the best emissions. Fold: the new block of sources is weighed, the ones that left the window are folded.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from .model import Model
from .pieces import power_of_2
from .states import Pool
from .tiles import (
    DARK,
    DEEP,
    FLOOR,
    FULL,
    HIGH,
    LOG2E,
    NEVER,
    QUAD,
    TILE,
    TRUSTED,
    WINDOW,
    add_pairs,
    alive,
    combine,
    filled,
    in_quads,
    load_quads,
    lowered,
    narrow,
    outputs_of,
    plus,
    scaled,
)

REGISTERS = 128  # a thread of a program of one warp


class Run(NamedTuple):
    """Where runs stand and where they go, one entry a run; rows go by `step` a boundary."""

    emission_row: NDArray  # of the position behind boundary 0 of the run
    boundary_row: NDArray  # of boundary 0 of the run, in the boundary scores
    out_row: NDArray  # of boundary 0 of the run, in the outputs
    step: NDArray  # 1, or -1 backwards
    way: NDArray  # 0, or 1 backwards
    phase: NDArray  # row of the arcs at boundary 0
    end: NDArray  # boundary where the run ends
    keep: NDArray  # 1: write the scores of its boundaries
    age: NDArray  # positions between the item's beginning and boundary 0


_NEVER = tl.constexpr(NEVER)
_DEEP = tl.constexpr(DEEP)
_FLOOR = tl.constexpr(FLOOR)
_LOG2E = tl.constexpr(LOG2E)
_TILE = tl.constexpr(TILE)
_WINDOW = tl.constexpr(WINDOW)
_QUAD = tl.constexpr(QUAD)
_TRUSTED = tl.constexpr(TRUSTED)
_RUN = tl.constexpr(len(Run._fields))
_DARK = tl.constexpr(DARK)
_HIGH = tl.constexpr(HIGH)
_FULL = tl.constexpr(FULL)
_BITS = tl.constexpr(TILE.bit_length() - 1)
_LOW = tl.constexpr((1 << HIGH) - 1)


@triton.jit
def far(
    work, top, span, low, window, window_top, window_span, item_label, item_first, item_count, out, out_top, out_mask,
    longest, tau, blocks, reach, C: tl.constexpr, LANES: tl.constexpr, MAX: tl.constexpr, SPARSE: tl.constexpr,
    SCORE: tl.constexpr, WORK: tl.constexpr,
):  # fmt: skip
    """Fill `out` [16, LANES] with every item's sum for each output of tile `tau`, relative to its own `out_top`.

    `out_mask` has bit j set where a live source may reach output j; forbidden ones between live ones count as live, and
    all of a block's do unless the input is SPARSE: what can be told from what is so costs a third of the time.
    """
    item = tl.arange(0, LANES)
    label = tl.load(item_label + item)
    first = tl.load(item_first + item)
    count = tl.load(item_count + item)
    oldest = tl.load(low + label)  # what is older was cut off
    if SPARSE:  # or folded behind the window
        oldest = tl.maximum(oldest, -tl.load(longest + label) + tau * _TILE)
    else:  # blocks with anything younger
        count = tl.minimum(count, tau + 1 - first - (oldest >> _BITS))
    here = tau % blocks
    best = tl.full([LANES], _NEVER, SCORE)
    mask = tl.zeros([LANES], tl.int32)
    acc = filled([LANES], _DEEP if MAX else 0.0, WORK, _TILE)
    # the next block of sources is asked for before the present one is worked on
    slot = tl.where(here < first, here - first + blocks, here - first)
    rows = load_quads(work + slot * (_TILE * C) + label * _QUAD, C * _QUAD, _TILE, False)
    x = tl.load(top + slot * C + label)
    for b in range(reach):
        d = first + b
        window_x = tl.load(window_top + d * C + label)
        live = (b < count) & alive(x) & alive(window_x)
        outputs = tl.load(window_span + d * C + label)
        if SPARSE:
            sources = tl.load(span + slot * C + label)
            eldest = tl.maximum(sources & _LOW, oldest - (tau - d) * _TILE)
            youngest = sources >> _HIGH
            live = live & (eldest <= youngest)
            outputs = outputs_of(eldest, youngest, outputs)
        else:
            outputs = outputs >> _FULL
        x = tl.where(live, x + window_x, _NEVER)
        mask = mask | tl.where(live, outputs, 0)
        higher = tl.maximum(best, x)
        scale = narrow(x - higher, MAX)  # while nothing is alive both are NEVER, and nothing is looked at
        acc = lowered(acc, narrow(best - higher, MAX), MAX)
        best = higher
        work_now = scaled(rows, scale, MAX)
        slot = tl.where(slot == 0, blocks, slot) - 1
        rows = load_quads(work + slot * (_TILE * C) + label * _QUAD, C * _QUAD, _TILE, False)
        x = tl.load(top + slot * C + label)
        lengths = load_quads(window + d * (_WINDOW * C) + label * _QUAD, C * _QUAD, _WINDOW, True)
        acc = add_pairs(acc, work_now, lengths, MAX)
    for j in tl.static_range(_TILE):
        tl.store(out + j * LANES + item, acc[j])
    tl.store(out_top + item, best)
    tl.store(out_mask + item, mask)


@triton.jit
def along(x, CP: tl.constexpr):
    """Return offsets that differ by label as if labels were neighbours: all tiles get one layout, lanes along labels.

    Loads stay single, since nothing is known about alignment.
    """
    return tl.max_contiguous(x, [1, CP])


@triton.jit
def merge(
    ring, top, low, folded, law, fold_law, longest, period, label_items, acc, acc_top, acc_mask,
    q0, blocks, items, folds, shift, C: tl.constexpr, CP: tl.constexpr, LANES: tl.constexpr, MAX: tl.constexpr,
    SCORE: tl.constexpr,
):  # fmt: skip
    """Return (16, CP) scores of the tile's outputs over all sources before it."""
    j = tl.arange(0, _TILE)[:, None]
    c = tl.arange(0, CP)[None, :] + shift
    inside = c < C
    best = tl.full([_TILE, CP], _NEVER, SCORE)
    mask = tl.zeros([1, CP], tl.int32)
    for m in range(items):
        item = along(tl.load(label_items + m * C + c, mask=inside, other=-1), CP)
        best = tl.maximum(best, tl.load(acc_top + item, mask=item >= 0, other=_NEVER))
        mask = mask | tl.load(acc_mask + item, mask=item >= 0, other=0)
    reachable = ((mask >> j) & 1) != 0
    if MAX:
        out = tl.full([_TILE, CP], _NEVER, SCORE)
        lost = tl.full([_TILE, CP], _NEVER, SCORE)
        for m in range(items):
            item = along(tl.load(label_items + m * C + c, mask=inside, other=-1), CP)
            highest = tl.load(acc_top + item, mask=item >= 0, other=_NEVER)
            x = tl.load(acc + j * LANES + item, mask=item >= 0, other=_DEEP).to(SCORE)
            out = tl.maximum(out, tl.where(alive(highest) & (x > _DEEP), highest + x, _NEVER))
            lost = tl.maximum(lost, plus(highest, _DEEP))
        again = reachable & (lost > out)
    else:
        total = tl.zeros([_TILE, CP], tl.float32)
        for m in range(items):
            item = along(tl.load(label_items + m * C + c, mask=inside, other=-1), CP)
            highest = tl.load(acc_top + item, mask=item >= 0, other=_NEVER)
            x = tl.load(acc + j * LANES + item, mask=item >= 0, other=0.0)
            total += tl.where(alive(highest), x * tl.exp2((highest - best).to(tl.float32)), 0.0)
        out = tl.where(total > 0, best + tl.log2(total), _NEVER)
        again = reachable & (total < _TRUSTED)
    wanted = tl.max(again.to(tl.int32), 0, keep_dims=True) > 0
    age = tl.max(tl.max(tl.where(wanted, tl.load(longest + c, mask=inside, other=0), 0), 1), 0)
    if age > 0:
        exact = tl.full([_TILE, CP], _NEVER, SCORE)
        oldest = tl.load(low + c, mask=inside, other=0)
        slot = q0 // _TILE % blocks
        for d in range(tl.cdiv(age, _TILE)):
            slot = tl.where(slot == 0, blocks, slot) - 1
            # what is taken again has few live sources, as a rule: most blocks have none
            highest = tl.load(top + slot * C + c, mask=inside & wanted, other=_NEVER)
            if tl.max(tl.max(alive(highest).to(tl.int32), 1), 0) > 0:
                for i in range(shift, _TILE):  # `shift` is 0, but not for the compiler, which would unroll this
                    q = q0 - _TILE * (d + 1) + i
                    source = tl.load(ring + (slot * _TILE + i) * C + c, mask=inside & (q >= oldest), other=_NEVER)
                    x = source + tl.load(law + (q0 - q + j + 1) * C + c, mask=inside, other=_NEVER)
                    exact = combine(exact, tl.where(alive(x), x, _NEVER), MAX)
        out = tl.where(again, exact, out)
    lengths = tl.load(period + c, mask=inside, other=0)
    for i in range(folds):
        row = tl.load(folded + i * C + c, mask=inside & (i < lengths), other=_NEVER)
        x = row + tl.load(fold_law + (i * _TILE + j) * C + c, mask=inside, other=_NEVER)
        out = combine(out, tl.where(alive(x), x, _NEVER), MAX)
    return out


@triton.jit
def begin(a, source, score, arc_type, scores, base, D: tl.constexpr, MAPS: tl.constexpr, MAX: tl.constexpr):
    """Return (1, CP) scores of segments that begin at one boundary after a segment ended there, (1, CP) `a`.

    Arcs come as (D, CP) sources and scores; in the log semiring 32 bits relative to `base` are enough.
    """
    if MAX:
        dark = _NEVER
        ended = a
    else:
        dark = _DARK
        ended = tl.where(alive(a), (a - base).to(tl.float32), _DARK)
    x = tl.gather(tl.broadcast_to(ended, [D, a.shape[1]]), tl.maximum(source, 0), 1) + score
    for m in tl.static_range(MAPS):
        kind = tl.load(arc_type + m, mask=source >= 0, other=-1)
        evidence = tl.load(scores + kind, mask=kind >= 0, other=0).to(x.dtype)
        if MAX:
            x = tl.where(alive(evidence), x + evidence, dark)
        else:
            x += tl.maximum(evidence * _LOG2E, dark)
    top = tl.max(x, 0, keep_dims=True)
    if MAX:
        return tl.where(alive(top), top, _NEVER)
    else:
        total = tl.sum(tl.exp2(x - top), 0, keep_dims=True)
        return tl.where(top > _DARK / 2, base + (top + tl.log2(total)).to(tl.float64), _NEVER)


@triton.jit
def fold(
    ring, work, low, folded, folded_next, tail, longest, period, q0, n, rows, folds, shift,
    C: tl.constexpr, CP: tl.constexpr, MAX: tl.constexpr, SCORE: tl.constexpr, WORK: tl.constexpr,
):  # fmt: skip
    """Fold the `n` sources that leave the windows after `n` steps into the rows behind them, and take them away.

    Row i of a label stands at K + p - i before the tile: the geometric sum of all older sources of its residue.
    """
    i = tl.arange(0, _TILE)[:, None]
    c = tl.arange(0, CP)[None, :] + shift
    p = tl.load(period + c, mask=c < C, other=0)
    slope = tl.load(tail + c, mask=c < C, other=0)
    K = tl.load(longest + c, mask=c < C, other=0)
    oldest = tl.load(low + c, mask=c < C, other=0)
    leaving = (p > 0) & (i < n)
    q = q0 - K + i
    at = q0 % rows - K + i
    at = tl.where(at < 0, at + rows, at)
    in_work = along(in_quads(at, c, C), CP)
    at = along(at * C + c, CP)
    source = tl.load(ring + at, mask=leaving & (q >= oldest), other=_NEVER)
    p = tl.maximum(p, 1)
    for r in range(folds):
        mine = leaving & ((i + p * _TILE - n - r) % p == 0)
        steps = (n - p + r - i) // p
        x = tl.where(mine & alive(source), source + slope * steps.to(SCORE), _NEVER)
        top = tl.max(x, 0, keep_dims=True)
        if MAX:
            young = top
        else:
            young = tl.where(
                alive(top), top + tl.log2(tl.sum(tl.exp2((x - top).to(tl.float32)), 0, keep_dims=True)), _NEVER
            )
        before = (r + n) % p
        old = tl.load(folded + before * C + c, mask=(c < C) & (r < p) & (oldest <= q0), other=_NEVER)
        old = plus(old, slope * ((n + r - before) // p).to(SCORE))
        tl.store(folded_next + r * C + c, combine(old, young, MAX), mask=(c < C) & (r < p))
    tl.debug_barrier()  # other threads may hold the same entries, and not have read them yet
    tl.store(ring + at, tl.full([_TILE, CP], _NEVER, SCORE), mask=leaving)
    tl.store(work + in_work, tl.full([_TILE, CP], _DEEP if MAX else 0.0, WORK), mask=leaving)


@triton.jit(do_not_specialize=["blocks", "reach", "items", "folds", "columns", "shift"])
def advance_kernel(
    runs,  # [runs, fields of `Run`] int64
    emissions, scores,  # [rows, C]; [rows, columns]
    forward_alpha, forward_h, backward_alpha, backward_h,  # [rows, C]
    ring, work, top, span, folded, alpha, entry, total, first, low,  # the pool of states, by slot
    near, window, window_top, window_span, law, fold_law, tail, longest, period, enter,  # durations
    arc_source, arc_score, arc_type,  # [ways, phases, D, C(, MAPS)]
    item_label, item_first, item_count, label_items,
    far_work, far_top, far_mask, far_out,  # scratch, by program
    blocks, reach, items, folds, columns, shift,
    C: tl.constexpr, CP: tl.constexpr, D: tl.constexpr, LANES: tl.constexpr, PHASES: tl.constexpr,
    MAPS: tl.constexpr, MAX: tl.constexpr, FIRST: tl.constexpr, SPARSE: tl.constexpr, SENTINEL: tl.constexpr,
):  # fmt: skip
    """Move every run over its tiles: states in place, scores of its boundaries to the rows of its way."""
    SCORE: tl.constexpr = tl.int64 if MAX else tl.float64
    WORK: tl.constexpr = tl.int32 if MAX else tl.float32
    SOURCE: tl.constexpr = tl.int64 if MAX else tl.float32  # sources of the present tile
    pid = tl.program_id(0).to(tl.int64)
    run = runs + pid * _RUN
    emission_row, boundary_row, out_row, step = tl.load(run), tl.load(run + 1), tl.load(run + 2), tl.load(run + 3)
    way, phase = tl.load(run + 4), tl.load(run + 5).to(tl.int32)
    end, keep, age = tl.load(run + 6).to(tl.int32), tl.load(run + 7), tl.load(run + 8)
    rows = blocks * _TILE
    ring += pid * rows * C
    work += pid * rows * C
    top += pid * blocks * C
    span += pid * blocks * C
    folded += pid * 2 * folds * C
    low += pid * C
    far_work += pid * _TILE * LANES
    far_top += pid * LANES
    far_mask += pid * LANES
    far_out += pid * _TILE * CP
    arc_source += way * (PHASES * D * C)
    arc_score += way * (PHASES * D * C)
    arc_type += way * (PHASES * D * C * MAPS)
    i = tl.arange(0, _TILE)[:, None]
    c = tl.arange(0, CP)[None, :] + shift
    inside = c < C
    out_alpha = tl.where(way == 0, forward_alpha, backward_alpha)
    out_h = tl.where(way == 0, forward_h, backward_h)
    a = tl.load(alpha + pid * C + c, mask=inside, other=_NEVER)
    start = tl.load(entry + pid * C + c, mask=inside, other=_NEVER)
    S = tl.load(total + pid * C + c, mask=inside, other=0)
    oldest = tl.load(low + c, mask=inside, other=0)
    if FIRST:
        cut_first = tl.load(first + pid * C + c, mask=inside, other=_NEVER)
        K = tl.load(longest + c, mask=inside, other=0)
        p = tl.load(period + c, mask=inside, other=0)
        tailed = p > 0
        p = tl.maximum(p, 1)
    arcs = tl.arange(0, D)[:, None] * C + c
    row = phase
    if PHASES == 1:
        source = tl.load(arc_source + arcs, mask=inside, other=-1)
        score = tl.load(arc_score + arcs, mask=inside, other=_NEVER if MAX else _DARK)

    for tau in range(tl.cdiv(end, _TILE)):
        q0 = tau * _TILE
        # asked for early: the positions of the tile come from far away
        ahead = tl.load(emissions + (emission_row + step * (q0 + i)) * C + c, mask=inside & (q0 + i < end), other=0)
        far(
            work, top, span, low, window, window_top, window_span, item_label, item_first, item_count,
            far_work, far_top, far_mask, longest, tau, blocks, reach, C, LANES, MAX, SPARSE, SCORE, WORK,
        )  # fmt: skip
        tl.debug_barrier()
        parity = tau % 2
        behind = folded + parity * folds * C
        before = merge(
            ring, top, low, behind, law, fold_law, longest, period, label_items, far_work, far_top, far_mask,
            q0, blocks, items, folds, shift, C, CP, LANES, MAX, SCORE,
        )  # fmt: skip
        base = tl.max(a, 1, keep_dims=True)  # [1, 1]
        base = tl.where(alive(base), base, 0)
        if MAX:
            tl.store(far_out + i * CP + c, before)
        else:  # as of the tile's beginning: its sums move on with S, its reference with the best emission
            tl.store(far_out + i * CP + c, tl.where(alive(before), (before + S - base).to(tl.float32), _DARK))
            drift = tl.zeros([1, CP], tl.float64)
        g = tl.full([_TILE, CP], _NEVER if MAX else _DARK, SOURCE)
        forbidden = tl.max(tl.max((ahead == SENTINEL).to(tl.int32), 1), 0) > 0
        tl.debug_barrier()
        for j in range(_TILE):
            q = q0 + j
            on = q < end
            # first all that does not wait for the step before
            raw = tl.load(emissions + (emission_row + step * q) * C + c, mask=inside & on, other=0)
            lengths = tl.load(near + (j - i + _TILE) * C + c, mask=inside, other=_NEVER if MAX else _DARK)
            reached = tl.load(far_out + j * CP + c)
            if PHASES > 1:
                source = tl.load(arc_source + row * (D * C) + arcs, mask=inside, other=-1)
                score = tl.load(arc_score + row * (D * C) + arcs, mask=inside, other=_NEVER if MAX else _DARK)
            at = scores + tl.where(on, boundary_row + step * q, boundary_row) * columns
            h = begin(a, source, score, arc_type + (row * (D * C) + arcs) * MAPS, at, base, D, MAPS, MAX)
            row = tl.where(row + 1 == PHASES, 0, row + 1)
            h = tl.where(on, tl.maximum(h, start), _NEVER)  # the start of a sequence has no predecessors
            start = tl.full([1, CP], _NEVER, SCORE)
            tl.store(out_h + (out_row + step * q) * C + c, h, mask=inside & on & (keep != 0))
            cut = forbidden & (raw == SENTINEL)
            if MAX:
                g = tl.where(cut, _NEVER, tl.where(i == j, plus(h, -S), g))
                S += tl.where(cut, 0, raw.to(SCORE))
            else:
                # what is open, relative to the best that ends: 32 bits keep the digits of what matters
                g = tl.where(i == j, tl.where(alive(h), (h - base).to(tl.float32), _DARK), g)
                content = raw.to(tl.float64) * _LOG2E
                highest = tl.max(tl.where(inside & (raw != SENTINEL), content, _FLOOR), 1, keep_dims=True)
                highest = tl.where(alive(highest), highest, 0)
                content = tl.where(cut, 0, content)
                S += content
                base += highest
                drift += content - highest
                g = tl.where(cut, _DARK, g + (content - highest).to(tl.float32))
            oldest = tl.where(cut, q + 1, oldest).to(tl.int32)
            reached = tl.where(oldest <= q0, reached, _NEVER if MAX else _DARK)
            if not MAX:
                reached += drift.to(tl.float32)
            x = g + lengths
            best = tl.maximum(tl.max(x, 0, keep_dims=True), reached)
            if MAX:
                if FIRST:
                    cut_first = tl.where(cut, _NEVER, cut_first)
                    length = age + q + 1
                    visible = K - (p - (length - K) % p) % p  # a tail repeats what it offers period by period
                    visible = tl.where(length <= K, length, visible)
                    offer = tl.load(enter + visible * C + c, mask=inside & ((length <= K) | tailed), other=_NEVER)
                    best = tl.maximum(best, plus(cut_first, offer))
                out = plus(best, S)
            else:
                total_ = tl.sum(tl.exp2(x - best), 0, keep_dims=True) + tl.exp2(reached - best)
                out = tl.where(best > _DARK / 2, base + (best + tl.log2(total_)).to(tl.float64), _NEVER)
            a = tl.where(on, out, a)
            tl.store(out_alpha + (out_row + step * (q + 1)) * C + c, a, mask=inside & on & (keep != 0))
        if not MAX:
            g = tl.where(g > _DARK / 2, g.to(tl.float64) + (base - S), _NEVER)
        n = tl.minimum(end - q0, _TILE).to(tl.int32)
        here = tau % blocks
        tl.store(ring + (here * _TILE + i) * C + c, g, mask=inside)
        largest = tl.max(g, 0, keep_dims=True)
        tl.store(top + here * C + c, largest, mask=inside)
        if SPARSE:
            youngest = tl.max(tl.where(alive(g), i, 0), 0, keep_dims=True)
            eldest = tl.min(tl.where(alive(g), i, _TILE - 1), 0, keep_dims=True)
            tl.store(span + here * C + c, eldest | (youngest << _HIGH), mask=inside)
        tl.store(work + in_quads(here * _TILE + i, c, C), narrow(g - largest, MAX), mask=inside)
        tl.store(low + c, oldest, mask=inside)
        tl.debug_barrier()
        if folds > 0:
            fold(
                ring, work, low, behind, folded + (1 - parity) * folds * C, tail, longest, period, q0, n, rows, folds,
                shift, C, CP, MAX, SCORE, WORK,
            )  # fmt: skip
            tl.debug_barrier()
    tl.store(alpha + pid * C + c, a, mask=inside)
    tl.store(entry + pid * C + c, start, mask=inside)
    tl.store(total + pid * C + c, S, mask=inside)
    if FIRST:
        tl.store(first + pid * C + c, cut_first, mask=inside)


class Rows(NamedTuple):
    """Scores of all boundaries of a batch, one row each."""

    alpha: Tensor  # (rows, C)
    h: Tensor  # (rows, C)


def advance_launch(
    model: Model,
    pool: Pool,
    runs: Tensor,
    emissions: Tensor,
    scores: Tensor,
    out: tuple[Rows, Rows],
    warps: int,
    sparse: bool,
) -> None:
    """Move runs (n, fields of `Run`), each at its state of the pool: forward ones write the first rows.

    `sparse`: whether the input forbids anything.
    """
    s, items = model.sizes, model.items
    CP, LANES, n = power_of_2(s.labels), len(items.label), len(runs)
    score, work, device = pool.ring.dtype, pool.work.dtype, runs.device
    scratch = lambda dtype, *shape: torch.empty(n, *shape, dtype=dtype, device=device)  # noqa: E731
    advance_kernel[(n,)](
        runs, emissions, scores, out[0].alpha, out[0].h, out[1].alpha, out[1].h, *pool,
        model.near, model.window, model.window_top, model.window_span, model.law, model.fold_law, model.tail,
        model.longest, model.period, model.enter, model.arc_source, model.arc_score, model.arc_type,
        items.label, items.first, items.blocks, items.of_label,
        scratch(work, TILE, LANES), scratch(score, LANES), scratch(torch.int32, LANES),
        scratch(score if model.fixed else torch.float32, TILE, CP),
        s.blocks, items.reach, len(items.of_label), s.folds, scores.shape[-1], 0,
        C=s.labels, CP=CP, D=s.arcs, LANES=LANES, PHASES=s.phases, MAPS=s.maps, MAX=model.fixed,
        FIRST=model.fixed and len(model.enter) > 1, SPARSE=sparse,
        SENTINEL=torch.iinfo(emissions.dtype).min if model.fixed else float("-inf"), num_warps=warps,
        # where many runs share a multiprocessor, sixteen warps that spill a little outside the pairs' loop are a
        # quarter faster than eight that do not
        maxnreg=REGISTERS if LANES == 32 * warps == 32 else 255,
    )  # fmt: skip
