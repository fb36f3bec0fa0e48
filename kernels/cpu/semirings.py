"""The two semirings: sums of exponentials in float64 or complex128, and maxima in int64.

Every step of the recursion that differs between them stands here twice, under one name; compiled code picks by the
type of `weights`, which is None in the max semiring.
"""

from typing import NamedTuple

import numpy as np
from numba import types as types_
from numba.extending import overload
from numpy.typing import NDArray

from ..compiled import compiled
from ..fixed import FLOOR, NEVER
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
    arc_start: NDArray  # (P, C + 1) int64: target c may be reached from arc_source[arc_start[., c]:arc_start[., c + 1]]
    arc_source: NDArray  # (arcs,) int64
    sparse: bool  # few arcs: taken one by one in the log domain, instead of all C x C as weights
    site_start: NDArray  # (P, columns + 1) int64: the arcs that column k scores are site_start[., k]..[., k + 1]
    site_source: NDArray  # (arcs,) int64
    site_target: NDArray  # (arcs,) int64
    types: NDArray  # (M, C, C) int64 columns of `scores`, -1: none
    columns: NDArray  # (M + 1,) int64: the columns of map m are columns[m]..columns[m + 1]
    enter: NDArray  # (C, K + 1) max semiring, censored start: score of a first segment by its visible length
    never: float | int  # the forbidden score of this semiring
    floor: float | int  # scores at or below it are forbidden


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
def exact_output(table, longest, period, g, low, t0, t, ring, tail):
    """Return one label's output: its sum over every source up to `t`, taken in the log domain."""
    start = max(low, ring + (t0 - longest if period > 0 else t + 1 - longest))
    out = exact_sum(g[start : ring + t + 1], table, ring + t + 1 - start)
    if period > 0:
        out = add_logs(out, exact_sum(tail[:period], table, t + 1 - t0 + longest + period))
    return out


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


@compiled(fast=True, inline=True)
def near_log(model, weights, law, t, t0, J, R, age, emissions, h, S, g, low, tail, first, acc, ref, alpha):
    """Take the sources born at `t` into the tile and read off what ends one position further, for every label.

    A source that outgrew the tile's reference raises it first; a sum that may have underflowed is taken again.
    """
    table, longest, period, top = law
    j = t - t0
    for c in range(h.shape[0]):
        source = h[c] - S[c] if h[c].real > -np.inf else h[c]
        g[c, R + t] = source
        if emissions[t, c].real == -np.inf:  # forbidden: a cut, nothing open survives
            cut(c, R + t + 1, low, tail, first, -np.inf)
            acc[c, :J] = 0
            ref[c] = -np.inf
            alpha[c] = -np.inf
            continue
        S[c] += emissions[t, c]
        if longest[c] == 1 and period[c] == 0:  # a chain: nothing to sum
            alpha[c] = h[c] + (table[c, 1] + emissions[t, c]) if source.real > -np.inf else source
            continue
        if source.real > -np.inf:
            if source.real - ref[c] > HEADROOM:
                shrink = np.exp(ref[c] - source.real)
                ref[c] = source.real
                for i in range(J):
                    acc[c, i] *= shrink
            if source.real - ref[c] > -700.0:
                weight = np.exp(source - ref[c])
                n = J - j if period[c] > 0 else min(J - j, longest[c])
                for i in range(n):
                    acc[c, j + i] += weight * weights[c, 1 + i]
        if acc[c, j].real > TRUSTED:
            alpha[c] = S[c] + (ref[c] + top[c] + np.log(acc[c, j]))
        elif ref[c] > -np.inf:
            alpha[c] = S[c] + exact_output(table[c], longest[c], period[c], g[c], low[c], t0, t, R, tail[c])
        else:
            alpha[c] = -np.inf


@compiled(fast=True, inline=True)
def near_max(model, weights, law, t, t0, J, R, age, emissions, h, S, g, low, tail, first, acc, ref, alpha):
    """Take the sources born at `t` into the tile and read off what ends one position further, for every label.

    A first segment cut by a censored start competes with them.
    """
    table, longest, period, _ = law
    j = t - t0
    for c in range(h.shape[0]):
        source = h[c] - S[c] if h[c] > FLOOR else NEVER
        g[c, R + t] = source
        if emissions[t, c] <= FLOOR:
            cut(c, R + t + 1, low, tail, first, NEVER)
            acc[c, :J] = NEVER
            alpha[c] = NEVER
            continue
        S[c] += emissions[t, c]
        if source > FLOOR:
            n = J - j if period[c] > 0 else min(J - j, longest[c])
            for i in range(n):
                acc[c, j + i] = max(acc[c, j + i], source + table[c, 1 + i])
        ended = acc[c, j]
        if first[c] > FLOOR:
            ended = max(ended, first_score(model, c, first[c], age))
        alpha[c] = ended + S[c] if ended > FLOOR else NEVER


@compiled
def cut(c, alive, low, tail, first, never):
    """Forget every open segment of a label: sources from `alive` on only."""
    low[c] = alive
    tail[c] = never
    first[c] = never


@compiled
def fold_log(weights, source, row):
    """Return a folded row with one more source in it."""
    return add_logs(source, row)


@compiled
def fold_max(weights, source, row):
    """Return a folded row with one more source in it."""
    best = max(source, row)
    return best if best > FLOOR else NEVER


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
    return (far_max if isinstance(weights, types_.NoneType) else far_log).py_func


def near(model, weights, law, t, t0, J, R, age, emissions, h, S, g, low, tail, first, acc, ref, alpha):
    """Stand for `near_max` or `near_log` in compiled code."""


@overload(near, inline="always")
def _near(model, weights, law, t, t0, J, R, age, emissions, h, S, g, low, tail, first, acc, ref, alpha):
    return (near_max if isinstance(weights, types_.NoneType) else near_log).py_func


def fold_row(weights, source, row):
    """Stand for `fold_max` or `fold_log` in compiled code."""


@overload(fold_row)
def _fold_row(weights, source, row):
    return (fold_max if isinstance(weights, types_.NoneType) else fold_log).py_func


def weigh_block(weights, g, w, refs, b):
    """Stand for `weigh_max` or `weigh_log` in compiled code."""


@overload(weigh_block)
def _weigh_block(weights, g, w, refs, b):
    return (weigh_max if isinstance(weights, types_.NoneType) else weigh_log).py_func


def outlived(model, weights, c, first, age, tail):
    """Stand for `outlived_max` or `outlived_log` in compiled code."""


@overload(outlived)
def _outlived(model, weights, c, first, age, tail):
    return (outlived_max if isinstance(weights, types_.NoneType) else outlived_log).py_func


def begin(
    weights, transitions, transition_weights, transition_ref, types, columns, arc_start, arc_source, sparse,
    phase, scores, alpha, entry, factors, h,
):  # fmt: skip
    """Stand for `begin_max` or `begin_log` in compiled code."""


@overload(begin, inline="always")
def _begin(
    weights, transitions, transition_weights, transition_ref, types, columns, arc_start, arc_source, sparse,
    phase, scores, alpha, entry, factors, h,
):  # fmt: skip
    return begin_max.py_func if isinstance(weights, types_.NoneType) else begin_log.py_func
