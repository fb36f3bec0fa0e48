"""The two semirings: sums of exponentials in float64 or complex128, and maxima in int64.

Every step of the recursion that differs between them stands here twice, under one name; compiled code picks by the
type of `weights`, which is None in the max semiring.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from ..fixed import NEVER
from ..compiled import compiled
from .tiles import BLOCK, HEADROOM, TRUSTED, add_logs, add_products, exact_sum, take_maxima, weigh
from .transition import begin_log, begin_max


class Model(NamedTuple):
    """Everything that does not change with the position, for one direction."""

    table: NDArray  # (C, N) durations by length, continued by the tail for BLOCK + period lengths beyond the longest
    top: NDArray  # (C,) largest duration score; `weights` holds exp(table - top)
    longest: NDArray  # (C,) int64
    period: NDArray  # (C,) int64; 0: no tail
    tail: NDArray  # (C,)
    transitions: NDArray  # (P, C, C)
    transition_weights: NDArray  # (P, C, C) exp(transitions - transition_ref); empty in the max semiring
    transition_ref: float
    arc_start: NDArray  # (C + 1,) int64: the allowed sources of target c are arc_source[arc_start[c]:arc_start[c + 1]]
    arc_source: NDArray  # (arcs,) int64
    sparse: bool  # few arcs: take them one by one instead of all C x C
    types: NDArray  # (M, C, C) int64 columns of `scores`, -1: none
    columns: NDArray  # (M + 1,) int64: the columns of map m are columns[m]..columns[m + 1]
    enter: NDArray  # (C, K + 1) max semiring, censored start: score of a first segment by its visible length
    never: float | int  # the forbidden score of this semiring
    floor: float | int  # scores at or below it are forbidden
    empty: float | int  # an output nothing has reached: 0 as a sum, never as a maximum


@compiled
def far_log(model, weights, c, g, w, refs, low, t0, ring, tail, acc):
    """Fill `acc` with the tile's sums over all sources before it, and return their log reference."""
    longest, period = model.longest[c], model.period[c]
    start = max(low, ring + t0 - longest + (0 if period > 0 else 1))
    stop = ring + t0
    ref = -np.inf
    for b in range(start // BLOCK, (stop + BLOCK - 1) // BLOCK):
        ref = max(ref, refs[b])
    for i in range(period):
        ref = max(ref, tail[i].real)
    acc[:] = 0
    if ref == -np.inf:
        return ref
    for b in range(start // BLOCK, (stop + BLOCK - 1) // BLOCK):
        if refs[b] - ref > -700.0:
            s0, s1 = max(start, b * BLOCK), min(stop, (b + 1) * BLOCK)
            add_products(w[s0:s1], np.exp(refs[b] - ref), weights[c], stop + 1 - s0, acc)
    for i in range(period):
        if tail[i].real - ref > -700.0:
            k = longest + period + 1 - i
            row = np.exp(tail[i] - ref)
            for j in range(acc.shape[0]):
                acc[j] += row * weights[c, k + j]
    return ref


@compiled
def far_max(model, weights, c, g, w, refs, low, t0, ring, tail, acc):
    """Fill `acc` with the tile's maxima over all sources before it."""
    longest, period = model.longest[c], model.period[c]
    start = max(low, ring + t0 - longest + (0 if period > 0 else 1))
    stop = ring + t0
    acc[:] = model.never
    if start < stop:
        take_maxima(g[start:stop], model.table[c], stop + 1 - start, acc)
    if period > 0:
        take_maxima(tail[:period], model.table[c], longest + period + 1, acc)
    return 0.0


@compiled
def exact_output(model, c, g, low, t0, t, ring, tail):
    """Return one output's sum over every source up to `t`, taken in the log domain."""
    longest, period = model.longest[c], model.period[c]
    start = max(low, ring + (t0 - longest if period > 0 else t + 1 - longest))
    out = exact_sum(g[start : ring + t + 1], model.table[c], ring + t + 1 - start)
    if period > 0:
        out = add_logs(out, exact_sum(tail[:period], model.table[c], t + 1 - t0 + longest + period))
    return out


@compiled(fast=True)
def push_log(weights, table, source, ref, acc):
    """Add one new source to the outputs after it; return the reference, raised where the source outgrew it."""
    if source.real == -np.inf:
        return ref
    if source.real - ref > HEADROOM:
        shrink = np.exp(ref - source.real)
        ref = source.real
        for j in range(acc.shape[0]):
            acc[j] *= shrink
    if source.real - ref > -700.0:
        weight = np.exp(source - ref)
        for j in range(acc.shape[0]):
            acc[j] += weight * weights[1 + j]
    return ref


@compiled(fast=True)
def push_max(weights, table, source, ref, acc):
    """Raise the outputs after a new source to what it offers them."""
    if source > NEVER // 2:
        for j in range(acc.shape[0]):
            acc[j] = max(acc[j], source + table[1 + j])
    return ref


@compiled
def first_score(model, c, first, age):
    """Return what a first segment cut by a censored start offers at its visible length `age`, in units of `g`."""
    longest = model.longest[c]
    if age > longest:
        if model.period[c] == 0:
            return model.never
        age = longest - (longest - age) % model.period[c]
    return first + model.enter[c, age]


@compiled
def outlived_max(model, weights, c, first, age, tail):
    """Return whether a first segment cut by a censored start can never again beat what came later (ties go to those).

    Beyond the longest explicit duration both it and the folded rows offer the same score every period.
    """
    longest, period = model.longest[c], model.period[c]
    if age < longest:
        return False
    for k in range(1, period + 1):
        best = model.never // 2
        for i in range(period):
            best = max(best, tail[i] + model.table[c, longest + period - i + k])
        if first_score(model, c, first, age + k) > best:
            return False
    return True


@compiled
def outlived_log(model, weights, c, first, age, tail):
    """Return False: virtual sources in the ring stand for cut first segments here."""
    return False


@compiled
def finish_log(weights, acc, ref, top):
    """Return the log of one output's sum, in units of `g`; NaN where it may have underflowed or nothing is there."""
    if acc.real > TRUSTED:
        return ref + top + np.log(acc)
    return acc * np.nan


@compiled
def finish_max(weights, acc, ref, top):
    """Return one output's maximum, in units of `g`."""
    return acc


@compiled
def recheck_log(model, weights, c, ended, ref, g, low, t0, t, ring, tail, first, age):
    """Return one output once more, in the log domain."""
    if ref > -np.inf:
        return exact_output(model, c, g, low, t0, t, ring, tail)
    return g.dtype.type(-np.inf)


@compiled
def recheck_max(model, weights, c, ended, ref, g, low, t0, t, ring, tail, first, age):
    """Return one output once more: a first segment cut by a censored start competes."""
    if first > NEVER // 2:
        ended = max(ended, first_score(model, c, first, age))
    return ended if ended > NEVER // 2 else NEVER


@compiled
def doubtful_log(weights, ended, first):
    """Return whether an output needs a second look: it may have underflowed."""
    return ended.real != ended.real


@compiled
def doubtful_max(weights, ended, first):
    """Return whether an output needs a second look: a cut first segment is alive, or nothing came."""
    return first > NEVER // 2 or ended <= NEVER // 2


@compiled
def fold_log(weights, source, row):
    """Return a folded row with one more source in it."""
    return add_logs(source, row)


@compiled
def fold_max(weights, source, row):
    """Return a folded row with one more source in it."""
    best = max(source, row)
    return best if best > NEVER // 2 else NEVER


@compiled
def row_log(weights, c):
    """Return the duration weights of one label."""
    return weights[c]


@compiled
def row_max(weights, c):
    """Return nothing: maxima use the scores themselves."""
    return None


@compiled
def weigh_log(weights, g, w, refs, b):
    """Weigh one finished block of sources."""
    refs[b] = weigh(g[b * BLOCK : (b + 1) * BLOCK], w[b * BLOCK : (b + 1) * BLOCK])


@compiled
def weigh_max(weights, g, w, refs, b):
    """Do nothing: maxima need no weights."""


def far(model, weights, c, g, w, refs, low, t0, ring, tail, acc):
    """Stand for `far_max` or `far_log` in compiled code."""


@overload(far)
def _far(model, weights, c, g, w, refs, low, t0, ring, tail, acc):
    of = far_max if isinstance(weights, types.NoneType) else far_log
    return lambda model, weights, c, g, w, refs, low, t0, ring, tail, acc: of(model, weights, c, g, w, refs, low, t0, ring, tail, acc)


def push(weights, table, source, ref, acc):
    """Stand for `push_max` or `push_log` in compiled code."""


@overload(push)
def _push(weights, table, source, ref, acc):
    of = push_max if isinstance(weights, types.NoneType) else push_log
    return lambda weights, table, source, ref, acc: of(weights, table, source, ref, acc)


def finish(weights, acc, ref, top):
    """Stand for `finish_max` or `finish_log` in compiled code."""


@overload(finish)
def _finish(weights, acc, ref, top):
    of = finish_max if isinstance(weights, types.NoneType) else finish_log
    return lambda weights, acc, ref, top: of(weights, acc, ref, top)


def doubtful(weights, ended, first):
    """Stand for `doubtful_max` or `doubtful_log` in compiled code."""


@overload(doubtful)
def _doubtful(weights, ended, first):
    of = doubtful_max if isinstance(weights, types.NoneType) else doubtful_log
    return lambda weights, ended, first: of(weights, ended, first)


def recheck(model, weights, c, ended, ref, g, low, t0, t, ring, tail, first, age):
    """Stand for `recheck_max` or `recheck_log` in compiled code."""


@overload(recheck)
def _recheck(model, weights, c, ended, ref, g, low, t0, t, ring, tail, first, age):
    of = recheck_max if isinstance(weights, types.NoneType) else recheck_log
    return lambda model, weights, c, ended, ref, g, low, t0, t, ring, tail, first, age: of(model, weights, c, ended, ref, g, low, t0, t, ring, tail, first, age)


def fold_row(weights, source, row):
    """Stand for `fold_max` or `fold_log` in compiled code."""


@overload(fold_row)
def _fold_row(weights, source, row):
    of = fold_max if isinstance(weights, types.NoneType) else fold_log
    return lambda weights, source, row: of(weights, source, row)


def weigh_block(weights, g, w, refs, b):
    """Stand for `weigh_max` or `weigh_log` in compiled code."""


@overload(weigh_block)
def _weigh_block(weights, g, w, refs, b):
    of = weigh_max if isinstance(weights, types.NoneType) else weigh_log
    return lambda weights, g, w, refs, b: of(weights, g, w, refs, b)


def outlived(model, weights, c, first, age, tail):
    """Stand for `outlived_max` or `outlived_log` in compiled code."""


@overload(outlived)
def _outlived(model, weights, c, first, age, tail):
    of = outlived_max if isinstance(weights, types.NoneType) else outlived_log
    return lambda model, weights, c, first, age, tail: of(model, weights, c, first, age, tail)


def row(weights, c):
    """Stand for `row_max` or `row_log` in compiled code."""


@overload(row)
def _row(weights, c):
    of = row_max if isinstance(weights, types.NoneType) else row_log
    return lambda weights, c: of(weights, c)


def begin(model, weights, phase, scores, alpha, entry, factors, h):
    """Stand for `begin_max` or `begin_log` in compiled code."""


@overload(begin)
def _begin(model, weights, phase, scores, alpha, entry, factors, h):
    of = begin_max if isinstance(weights, types.NoneType) else begin_log
    return lambda model, weights, phase, scores, alpha, entry, factors, h: of(model, weights, phase, scores, alpha, entry, factors, h)
