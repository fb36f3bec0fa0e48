"""The recursion over one block of positions, from state to state, in either semiring.

    h[t, c]     = combine_{c'} alpha[t, c'] + A[t mod P, c', c] + B[t]                a segment of c begins at t
    alpha[t, c] = S[t, c] + combine_{1 <= k} h[t-k, c] - S[t-k, c] + D[k, c]           a segment of c ends at t

The tail needs no state of its own: `D[k] = D[k - p] + lam` makes a source of age `k > K` equal to one `p` later that
weighs `lam` more, so sources that leave the window of K fold into `p` rows behind it, each the geometric sum of all
older ones of its residue. Backward passes are this same function on the reversed sequence (see `directions.py`).

`weights` is None in the max semiring (int64 scores, `never` instead of -inf); numba then drops the other branch.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .tiles import BLOCK, FAST, HEADROOM, TRUSTED, add_logs, add_products, exact_sum, take_maxima, weigh
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def far_max(model, c, g, low, t0, ring, tail, acc):
    """Fill `acc` with the tile's maxima over all sources before it."""
    longest, period = model.longest[c], model.period[c]
    start = max(low, ring + t0 - longest + (0 if period > 0 else 1))
    stop = ring + t0
    acc[:] = model.never
    if start < stop:
        take_maxima(g[start:stop], model.table[c], stop + 1 - start, acc)
    if period > 0:
        take_maxima(tail[:period], model.table[c], longest + period + 1, acc)


@njit(cache=True, nogil=True)
def exact_output(model, c, g, low, t0, t, ring, tail):
    """Return one output's sum over every source up to `t`, taken in the log domain."""
    longest, period = model.longest[c], model.period[c]
    start = max(low, ring + (t0 - longest if period > 0 else t + 1 - longest))
    out = exact_sum(g[start : ring + t + 1], model.table[c], ring + t + 1 - start)
    if period > 0:
        out = add_logs(out, exact_sum(tail[:period], model.table[c], t + 1 - t0 + longest + period))
    return out


@njit(cache=True, nogil=True, fastmath=FAST)
def push_log(source, ref, table, acc):
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
            acc[j] += weight * table[j]
    return ref


@njit(cache=True, nogil=True, fastmath=FAST)
def push_max(source, table, acc):
    """Raise the outputs after a new source to what it offers them."""
    for j in range(acc.shape[0]):
        acc[j] = max(acc[j], source + table[j])


@njit(cache=True, nogil=True)
def fold(model, weights, c, g, low, t0, n, ring, tail):
    """Fold the `n` sources that leave the window of a tile at `t0` into the rows behind it."""
    period, lam = model.period[c], model.tail[c]
    for s in range(t0 - model.longest[c], t0 - model.longest[c] + n):
        source = g[ring + s] if ring + s >= max(low, 0) else g.dtype.type(model.never)
        if weights is None:
            row = max(source, tail[0] + lam)
            if row < model.never // 2:
                row = model.never
        else:
            row = add_logs(source, tail[0] + lam)
        for i in range(period - 1):
            tail[i] = tail[i + 1]
        tail[period - 1] = row


@njit(cache=True, nogil=True)
def first_score(model, c, first, age):
    """Return what a first segment cut by a censored start offers at its visible length `age`, in units of `g`."""
    longest = model.longest[c]
    if age > longest:
        if model.period[c] == 0:
            return model.never
        age = longest - (longest - age) % model.period[c]
    return first + model.enter[c, age]


@njit(cache=True, nogil=True)
def outlived(model, c, first, age, tail):
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


@njit(cache=True, nogil=True)
def advance(model, weights, emissions, scores, phase, age, alpha, entry, ring, tail, first, out_alpha, out_h):
    """Move a state over a block in place and return the common score taken out of it (`never`: nothing is alive).

    Fills `out_h[t]` for the block's boundaries and `out_alpha[t]` for the boundaries one further, both relative to
    the state's offset on entry. `age` counts positions since a censored start (max semiring only).
    """
    n, C = emissions.shape
    R = ring.shape[1]
    P = model.transitions.shape[0]
    g = np.empty((C, R + n), ring.dtype)
    g[:, :R] = ring
    w = np.zeros((0 if weights is None else C, R + n), ring.dtype)
    refs = np.full((C, (R + n) // BLOCK + 1), -np.inf)
    if weights is not None:
        for c in range(C):
            for b in range(R // BLOCK):
                refs[c, b] = weigh(g[c, b * BLOCK : (b + 1) * BLOCK], w[c, b * BLOCK : (b + 1) * BLOCK])
    S = np.zeros(C, ring.dtype)
    low = np.zeros(C, np.int64)
    acc = np.empty((C, BLOCK), ring.dtype)
    ref = np.empty(C)
    h = np.empty(C, ring.dtype)
    factors = np.empty(scores.shape[1] + model.types.shape[0], ring.dtype)
    floor = -np.inf if weights is not None else model.never // 2

    for t0 in range(0, n, BLOCK):
        J = min(BLOCK, n - t0)
        for c in range(C):
            if weights is None:
                far_max(model, c, g[c], low[c], t0, R, tail[c], acc[c, :J])
            else:
                ref[c] = far_log(model, weights, c, g[c], w[c], refs[c], low[c], t0, R, tail[c], acc[c, :J])
        for t in range(t0, t0 + J):
            if weights is None:
                begin_max(model, (phase + t) % P, scores[t], alpha, entry, h)
            else:
                begin_log(model, (phase + t) % P, scores[t], alpha, entry, factors, h)
            entry[:] = model.never
            out_h[t] = h
            j = t - t0
            for c in range(C):
                source = h[c]
                if source.real > floor:
                    source -= S[c]
                g[c, R + t] = source
                if emissions[t, c].real <= floor:  # forbidden: a cut, nothing open survives
                    low[c] = R + t + 1
                    tail[c] = model.never
                    first[c] = model.never
                    acc[c, :J] = model.never if weights is None else 0
                    ref[c] = -np.inf
                    alpha[c] = model.never
                    out_alpha[t, c] = model.never
                    continue
                S[c] += emissions[t, c]
                stop = J if model.period[c] > 0 else min(J, j + model.longest[c])
                if weights is None:
                    if source > floor:
                        push_max(source, model.table[c, 1:], acc[c, j:stop])
                    best = acc[c, j]
                    if first[c] > floor:
                        best = max(best, first_score(model, c, first[c], age + t + 1))
                    alpha[c] = best + S[c] if best > floor else model.never
                else:
                    ref[c] = push_log(source, ref[c], weights[c, 1:], acc[c, j:stop])
                    if acc[c, j].real > TRUSTED:
                        alpha[c] = S[c] + ref[c] + model.top[c] + np.log(acc[c, j])
                    elif ref[c] > -np.inf:
                        alpha[c] = S[c] + exact_output(model, c, g[c], low[c], t0, t, R, tail[c])
                    else:
                        alpha[c] = -np.inf
                out_alpha[t, c] = alpha[c]
        for c in range(C):
            if model.period[c] > 0:
                fold(model, weights, c, g[c], low[c], t0, J, R, tail[c])
            if weights is not None and J == BLOCK:
                b = (R + t0) // BLOCK
                refs[c, b] = weigh(g[c, b * BLOCK : (b + 1) * BLOCK], w[c, b * BLOCK : (b + 1) * BLOCK])

    for c in range(C):
        for i in range(R):
            alive = n + i >= low[c] and i >= R - model.longest[c] and g[c, n + i].real > floor
            ring[c, i] = g[c, n + i] + S[c] if alive else ring.dtype.type(model.never)
        for i in range(model.period[c]):
            if tail[c, i].real > floor:
                tail[c, i] += S[c]
        if first[c].real > floor:
            first[c] += S[c]
            # forgotten as soon as it cannot matter: chunks that never knew it agree from here on
            if weights is None and outlived(model, c, first[c], age + n, tail[c]):
                first[c] = model.never
    return rebase(model.never, floor, alpha, ring, tail, first)


@njit(cache=True, nogil=True)
def rebase(never, floor, alpha, ring, tail, first):
    """Take the largest score out of a state and return it (`never`: the state is empty)."""
    base = ring.dtype.type(never)
    for c in range(ring.shape[0]):
        for i in range(ring.shape[1]):
            if ring[c, i].real > base.real:
                base = ring[c, i]
        for x in (alpha[c], first[c]):
            if x.real > base.real:
                base = x
        for i in range(tail.shape[1]):
            if tail[c, i].real > base.real:
                base = tail[c, i]
    if base.real <= floor:
        return base
    for c in range(ring.shape[0]):
        for i in range(ring.shape[1]):
            if ring[c, i].real > floor:
                ring[c, i] -= base
        if alpha[c].real > floor:
            alpha[c] -= base
        if first[c].real > floor:
            first[c] -= base
        for i in range(tail.shape[1]):
            if tail[c, i].real > floor:
                tail[c, i] -= base
    return base
