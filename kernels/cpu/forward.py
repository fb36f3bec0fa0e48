"""The recursion over one block of positions, from state to state, in either semiring.

    h[t, c]     = combine_{c'} alpha[t, c'] + A[t mod P, c', c] + B[t]                a segment of c begins at t
    alpha[t, c] = S[t, c] + combine_{1 <= k} h[t-k, c] - S[t-k, c] + D[k, c]           a segment of c ends at t

The tail needs no state of its own: `D[k] = D[k - p] + lam` makes a source of age `k > K` equal to one `p` later that
weighs `lam` more, so sources that leave the window of K fold into `p` rows behind it, each the geometric sum of all
older ones of its residue. Backward passes are this same function on the reversed sequence (see `directions.py`).

What differs between the semirings is in `semirings.py`.
"""

import numpy as np

from ..compiled import compiled, scratch
from .semirings import begin, far, fold_row, near, outlived, weigh_block
from .tiles import BLOCK


@compiled
def fold(model, weights, c, g, low, t0, n, ring, tail):
    """Fold the `n` sources that leave the window of a tile at `t0` into the rows behind it."""
    period = model.period[c]
    for s in range(ring + t0 - model.longest[c], ring + t0 - model.longest[c] + n):
        source = g[s] if s >= low else g.dtype.type(model.never)
        youngest = fold_row(weights, source, tail[0] + model.tail[c])
        for i in range(period - 1):
            tail[i] = tail[i + 1]
        tail[period - 1] = youngest


@compiled(fast=True, lent=True)
def _tiles(
    model, weights, emissions, scores, phase, age, R, alpha, entry, tail, first, out_alpha, out_h, g, w, refs, S, low,
    acc, ref, h, factors,
):  # fmt: skip
    """Do the tiles of `advance`, which lends the arrays."""
    n, C = emissions.shape
    P = len(model.transitions)
    never = h.dtype.type(model.never)
    transitions, transition_weights, transition_ref = model.transitions, model.transition_weights, model.transition_ref
    types, columns = model.types, model.columns
    arc_start, arc_source, sparse = model.arc_start, model.arc_source, model.sparse
    law = (model.table, model.longest, model.period, model.top)
    for t0 in range(0, n, BLOCK):
        J = min(BLOCK, n - t0)
        for c in range(C):
            ref[c] = far(model, weights, c, g[c], w[c], refs[c], low[c], t0, R, tail[c], acc[c, :J])
        for t in range(t0, t0 + J):
            begin(
                weights, transitions, transition_weights, transition_ref, types, columns, arc_start, arc_source, sparse,
                (phase + t) % P, scores[t], alpha, entry, factors, h,
            )  # fmt: skip
            for c in range(C):  # one by one: assigning whole rows takes ten times as long
                entry[c] = never
                out_h[t, c] = h[c]
            near(model, weights, law, t, t0, J, R, age + t + 1, emissions, h, S, g, low, tail, first, acc, ref, alpha)
            for c in range(C):
                out_alpha[t, c] = alpha[c]
        for c in range(C):
            if model.period[c] > 0:
                fold(model, weights, c, g[c], low[c], t0, J, R, tail[c])
            if J == BLOCK and (model.longest[c] > 1 or model.period[c] > 0):  # else nothing is open across tiles
                weigh_block(weights, g[c], w[c], refs[c], (R + t0) // BLOCK)


@compiled(fast=True)
def _advance(model, weights, emissions, scores, phase, age, alpha, entry, ring, tail, first, out_alpha, out_h):
    """Move one state over its block, and return what is taken out of it."""
    n, C = emissions.shape
    R = ring.shape[1]
    g = scratch((C, R + n), ring.dtype)
    g[:, :R] = ring
    w = np.zeros((C, R + n), ring.dtype)
    refs = np.full((C, (R + n) // BLOCK + 1), -np.inf)
    for c in range(C):
        for b in range(R // BLOCK):
            weigh_block(weights, g[c], w[c], refs[c], b)
    S = np.zeros(C, ring.dtype)
    low = np.zeros(C, np.int64)
    acc = scratch((C, BLOCK), ring.dtype)
    ref = scratch(C, np.float64)
    h = scratch(C, ring.dtype)
    factors = scratch(scores.shape[1] + model.types.shape[0], ring.dtype)
    _tiles(
        model, weights, emissions, scores, phase, age, R, alpha, entry, tail, first, out_alpha, out_h, g, w, refs, S,
        low, acc, ref, h, factors,
    )  # fmt: skip
    floor, never = model.floor, ring.dtype.type(model.never)
    for c in range(C):
        for i in range(R):
            alive = n + i >= low[c] and i >= R - model.longest[c] and g[c, n + i].real > floor
            ring[c, i] = g[c, n + i] + S[c] if alive else never
        for i in range(model.period[c]):
            if tail[c, i].real > floor:
                tail[c, i] += S[c]
        if first[c].real > floor:
            first[c] += S[c]
            # forgotten as soon as it cannot matter: chunks that never knew it agree from here on
            if outlived(model, weights, c, first[c], age + n, tail[c]):
                first[c] = model.never
    return rebase(model.never, floor, alpha, ring, tail, first)


@compiled
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


@compiled
def advance(
    model, weights, emissions, scores, phases, age, lengths, alpha, entry, ring, tail, first, out_alpha, out_h, bases
):  # fmt: skip
    """Move states, each over its block, in place and fill `bases` with the common scores taken out of them.

    A base of `never`: nothing is alive. Fills `out_h[i, t]` for a block's boundaries and `out_alpha[i, t]` for the
    boundaries one further, both relative to the state's offset on entry; nothing behind `lengths[i]`. `age` counts
    positions since a censored start (max semiring only).
    """
    for i in range(lengths.shape[0]):
        n = lengths[i]
        bases[i] = _advance(
            model, weights, emissions[i, :n], scores[i, :n], phases[i], age, alpha[i], entry[i], ring[i], tail[i],
            first[i], out_alpha[i, :n], out_h[i, :n],
        )  # fmt: skip
