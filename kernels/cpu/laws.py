"""Where the segment that covers one position begins and ends: two laws, and the shortest interval of each.

A segment of c that covers `m` begins at `m - j` and ends at `m + 1 + i`, and has `x[j] + D[j + i + 1, c] + y[i]` with
`x` the open scores left of m and `y` those right of it: the laws are row and column sums of that rectangle. Older
sources fold into `period` rows behind the window on both sides (see `forward.py`), so the rectangle has sides
`K + p`; afterwards a folded row's mass is dealt out to its members, `exp(g[s - i p] + i lam)` each, from the latest on.
Both sides are written in their own direction of travel: at distance j from the boundary b stands `b - 1 - j`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from .tiles import TRUSTED, add_logs

LOST = 1e-13  # share of the mass that pruning may lose
UNRESOLVED = 1e-10  # share of the mass in folded rows that is not dealt out any more
SURE = 1e-12  # what an interval must lack before it is ruled out


class Side(NamedTuple):
    """The open segments of L labels in one panel, in one direction, by their source; column 0 is source -lead."""

    begin: int  # own position of the panel's first boundary
    closed: bool  # everything at or before own position 0 counts as one
    g: NDArray  # (L, lead + n) score at the source, less the emissions since the panel's first boundary
    chain: NDArray  # (L, lead + n) the same and all older sources of its residue, folded into it
    S: NDArray  # (L, n + 1) those emissions
    low: NDArray  # (L, n + 1) int64: the oldest source that no cut has closed, relative to `begin`


@compiled
def gather(K, p, lam, ring, folded, h, emissions, g, chain, S, low):
    """Fill one label's rows of a `Side` from the state at the panel's beginning and the scores behind it."""
    n = h.shape[0]
    lead = g.shape[0] - n
    g[:] = -np.inf
    chain[:] = -np.inf
    for i in range(K):
        g[lead - 1 - i] = ring[ring.shape[0] - 1 - i]
    S[0], low[0] = 0.0, -lead
    for t in range(n):
        g[lead + t] = h[t] - S[t]
        S[t + 1], low[t + 1] = S[t], low[t]
        if emissions[t] == -np.inf:
            low[t + 1] = t + 1
        else:
            S[t + 1] += emissions[t]
    if p > 0:
        for i in range(p):
            chain[lead - K - p + i] = folded[i]
        for i in range(lead - K, lead + n):
            t = i - lead
            whole = t <= 0 or low[t] <= t - p  # no cut between a source and the one a period before it
            chain[i] = add_logs(g[i], lam + chain[i - p]) if whole else g[i]


@compiled
def open_scores(side, bound, i, b, seen, K, p, least, out):
    """Fill `out[j]` with the open score of source `b - 1 - j` at boundary `seen`, folded rows last.

    Sources whose whole posterior is below `least` are left out.
    """
    lead = side.g.shape[1] - side.S.shape[1] + 1
    for j in range(K + p):
        q = b - 1 - j
        out[j] = -np.inf
        if q >= side.low[i, seen]:
            if j >= K:
                out[j] = side.chain[i, lead + q] + side.S[i, seen]
            elif bound[i, lead + q] >= least:
                out[j] = side.g[i, lead + q] + side.S[i, seen]


@compiled
def _relative(x):
    """Return the largest entry, and in place the first and past-last live one, with exp(x - largest) left in x."""
    top, first, last = -np.inf, x.shape[0], 0
    for j in range(x.shape[0]):
        if x[j] > -np.inf:
            top = max(top, x[j])
            first = min(first, j)
            last = j + 1
    for j in range(first, last):
        x[j] = np.exp(x[j] - top)
    return top, first, last


@compiled(fast=True)
def _products(x, y, weights, rows, columns):
    """Add the products `x[j] * weights[j + i] * y[i]` to `rows[j]` and `columns[i]`."""
    for j in range(x.shape[0]):
        w = x[j]
        if w != 0:
            d = weights[j : j + y.shape[0]]
            total = 0.0
            for i in range(y.shape[0]):
                z = d[i] * y[i]
                total += z
                columns[i] += w * z
            rows[j] += w * total


@compiled
def pair_up(x, y, table, weights, top, rows, columns):
    """Return the log sum over all pairs; `rows` and `columns` are filled with their shares of it."""
    rows[:] = 0
    columns[:] = 0
    u, v = x.copy(), y.copy()
    x_top, j0, j1 = _relative(u)
    y_top, i0, i1 = _relative(v)
    if j0 >= j1 or i0 >= i1:
        return -np.inf
    _products(u[j0:j1], v[i0:i1], weights[j0 + i0 + 1 :], rows[j0:j1], columns[i0:i1])
    total, ref = rows[j0:j1].sum(), x_top + y_top + top
    if total < TRUSTED:  # the largest entries of both sides do not meet: once more, in logs
        ref = -np.inf
        for j in range(j0, j1):
            for i in range(i0, i1):
                ref = max(ref, x[j] + table[j + i + 1] + y[i])
        rows[:] = 0
        columns[:] = 0
        if ref == -np.inf:
            return ref
        for j in range(j0, j1):
            for i in range(i0, i1):
                z = x[j] + table[j + i + 1] + y[i] - ref
                if z > -60.0:
                    z = np.exp(z)
                    rows[j] += z
                    columns[i] += z
        total = rows.sum()
    for j in range(j0, j1):
        rows[j] /= total
    for i in range(i0, i1):
        columns[i] /= total
    return ref + np.log(total)


@compiled
def _add(law, reach, j, mass):
    """Add a mass at distance j and return how much of `law` is in use; what lies beyond that was never cleared."""
    while reach <= j:
        law[reach] = 0
        reach += 1
    law[j] += mass
    return reach


@compiled
def deal_out(g, chain, low, begin, closed, K, p, lam, q, mass, least, b, law, reach, rest):
    """Return the new reach after giving the mass folded into source `q` (relative) to its members, latest first.

    What is folded into the state at the panel's beginning goes to `rest[row]`.
    """
    lead = g.shape[0] - low.shape[0] + 1
    while mass > least:
        if closed and begin + q <= 0:
            return _add(law, reach, b - 1, mass)
        if q < -K:
            rest[q + K + p] += mass
            return reach
        here = chain[lead + q]
        if g[lead + q] > -np.inf:
            reach = _add(law, reach, b - 1 - begin - q, mass * np.exp(g[lead + q] - here))
        older = chain[lead + q - p]
        if older == -np.inf or (q > 0 and low[q] > q - p):
            return reach
        mass *= np.exp(lam + older - here)
        q -= p
    return reach


@compiled
def place(model, labels, side, b, masses, share, law, rest):
    """Return how far `law` reaches, filled by distance from `b` with each label's masses times its share."""
    rest[:] = 0
    reach = 0
    end = side.begin + b
    for i in range(labels.shape[0]):
        c = labels[i]
        K, p = model.longest[c], model.period[c]
        for j in range(K):
            if masses[i, j] > 0:
                reach = _add(law, reach, min(j, end - 1) if side.closed else j, share[i] * masses[i, j])
        for j in range(K, K + p):
            reach = deal_out(
                side.g[i], side.chain[i], side.low[i], side.begin, side.closed, K, p, model.tail[c], b - 1 - j,
                share[i] * masses[i, j], UNRESOLVED / (p * labels.shape[0]), end, law, reach, rest[i],
            )  # fmt: skip
    return reach


@compiled
def laws(model, weights, labels, left, right, left_bound, right_bound, b, mass, law, rest, law_right, rest_right):
    """Return the reach of both laws of the segment that covers the position left of boundary `b` (-1: there is none).

    `mass` is the posterior of the labels there, as far as it is known: it only says what is negligible.
    """
    L, lead = labels.shape[0], left.g.shape[1] - left.S.shape[1] + 1
    b_right = right.S.shape[1] - b  # n + 1 - b: boundaries count from the other end, and one position is shared
    rows, columns = np.empty((L, lead)), np.empty((L, lead))
    x, y = np.empty(lead), np.empty(lead)
    score = np.full(L, -np.inf)
    best = -np.inf
    for i in range(L):
        c = labels[i]
        K, p = model.longest[c], model.period[c]
        least = np.log(LOST * mass / (2 * L * K)) if mass > 1e-6 else -np.inf
        open_scores(left, left_bound, i, b, b, K, p, least, x[: K + p])
        open_scores(right, right_bound, i, b_right, b_right - 1, K, p, least, y[: K + p])
        score[i] = pair_up(
            x[: K + p], y[: K + p], model.table[c], weights[c], model.top[c], rows[i, : K + p], columns[i, : K + p]
        )
        best = max(best, score[i])
    if best == -np.inf:
        return -1, -1
    share = np.exp(score - best)
    share /= share.sum()
    return (
        place(model, labels, left, b, rows, share, law, rest),
        place(model, labels, right, b_right, columns, share, law_right, rest_right),
    )


@compiled
def shortest(law, level, far):
    """Return nearest and farthest distance and the mass of the shortest interval that holds `level`.

    Of equals the farthest (`far`) or the nearest; (0, -1, 0) where all of `law` holds less.
    """
    first, last, best = 0, -1, 0.0
    width = law.shape[0] + 1
    high, held = 0, 0.0
    for low in range(law.shape[0]):
        while high < law.shape[0] and held < level:
            held += law[high]
            high += 1
        if held < level:
            break
        if high - low < width or (far and high - low == width):
            first, last, width, best = low, high - 1, high - low, held
        held -= law[low]
    return first, last, best


@compiled
def interval(law, known, level, far):
    """Return `shortest` of the first `known` entries, and whether what lies beyond them cannot change it."""
    first, last, mass = shortest(law[:known], level, far)
    if last < first:
        return first, last, mass, False
    beyond = max(0.0, 1 - law[:known].sum())
    width = last - first + 1
    return first, last, mass, beyond + law[max(0, known - width + 1) : known].sum() < level - SURE


@compiled
def resolved(model, labels, rest, reach, b):
    """Return up to which distance a law is complete, when `rest` is folded into the state `b` boundaries back."""
    out = reach
    for i in range(labels.shape[0]):
        if rest[i].max() > 0:
            out = min(out, b + model.longest[labels[i]])
    return out


@compiled
def settle_law(model, labels, b, law, reach, rest, level, far):
    """Return the interval of a law (distances) and whether it is final."""
    if rest.max() > 0:
        return interval(law, resolved(model, labels, rest, reach, b), level, far)
    first, last, mass = shortest(law[:reach], level, far)
    if last < first:  # all there is: rounding, or a level of 1
        first, last, mass = 0, reach - 1, law[:reach].sum()
    return first, last, mass, True


@compiled
def survey(model, weights, labels, left, right, left_bound, right_bound, bs, masses, level, low, high, held, final):
    """Fill the start's (column 0) and the end's (1) interval of every call by distances, and whether it is final.

    `bs` are the boundaries right of the calls' middle positions, relative to the panel's first one.
    """
    size = left.g.shape[1] + 1
    law, law_right = np.empty(size), np.empty(size)
    rows = model.period.max() if model.period.max() > 0 else 1
    rest, rest_right = np.zeros((labels.shape[0], rows)), np.zeros((labels.shape[0], rows))
    for k in range(bs.shape[0]):
        b = bs[k]
        n0, n1 = laws(
            model, weights, labels, left, right, left_bound, right_bound, b, masses[k], law, rest, law_right, rest_right
        )
        if n0 < 0:
            low[k], high[k], held[k], final[k] = 0, -1, 0, True
            continue
        b_right = right.S.shape[1] - b
        low[k, 0], high[k, 0], held[k, 0], final[k, 0] = settle_law(model, labels, b, law, n0, rest, level, True)
        low[k, 1], high[k, 1], held[k, 1], final[k, 1] = settle_law(
            model, labels, b_right, law_right, n1, rest_right, level, False
        )
