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
    """The live sources of some labels in one panel, in one direction, the earliest first; own position 0 is its start.

    Of n + C columns label c has the first `alive[c]`: those of the state at the panel's start, then the panel's.
    """

    begin: int  # own position of the panel's first boundary
    closed: bool  # everything at or before own position 0 counts as one
    at: NDArray  # (C, .) int64: sources, relative to `begin`
    g: NDArray  # (C, .) score at the source, less the emissions since the panel's first boundary
    bound: NDArray  # (C, .) upper bound of the log posterior of all that begins there
    older: NDArray  # (C, .) log sum of it and of all sources p, 2 p, ... earlier, each as the tail weighs it there
    alive: NDArray  # (C,) int64
    folded: NDArray  # (C, p) what is older than the state's ring; row i stands for source i - K - p
    S: NDArray  # (N, C) those emissions, at the boundaries that were asked for
    low: NDArray  # (N, C) int64: the oldest source that no cut has closed


@compiled(inline=True)
def join_older(mass, source, c, t, p, lam, x):
    """Return `x`, the score of a source at `t`, with all that is older in its residue: `mass` as of `source`."""
    r = t % p
    mass[c, r] = add_logs(x, mass[c, r] + (t - source[c, r]) // p * lam)
    source[c, r] = t
    return mass[c, r]


@compiled
def gather(
    way, model, labels, ring, folded, crossing, h, other, partition, emissions, where, at, g, bound, older, count,
    S, low,
):  # fmt: skip
    """Fill a `Side` from the state at the panel's start and the scores behind it; `where` ascends.

    Sources are those of `labels`. `h` and `other` are what the two directions say about one: their sum bounds its
    posterior, as `crossing` does that of those in the ring. The backward way (1) goes through all rows from the last to
    the first, those of `h` and `other` at the boundaries behind the positions.
    """
    n, C = emissions.shape
    R = ring.shape[1]
    longest, period, tail = model.longest, model.period, model.tail
    sums, oldest = np.zeros(C), np.zeros(C, np.int64)
    mass, source = np.full(folded.shape, -np.inf), np.zeros(folded.shape, np.int64)
    count[:] = 0
    for c in range(C):
        oldest[c] = -longest[c] - period[c]
    for c in labels:
        K, p = longest[c], period[c]
        for i in range(p):
            s = i - K - p
            mass[c, s % p], source[c, s % p] = folded[c, i], s
        for i in range(R - K, R):
            if ring[c, i] > -np.inf:
                k = count[c]
                at[c, k], g[c, k], bound[c, k] = i - R, ring[c, i], crossing[c, i % crossing.shape[1]]
                if p > 0:
                    older[c, k] = join_older(mass, source, c, i - R, p, tail[c], ring[c, i])
                count[c] += 1
    k = 0
    for t in range(n + 1):
        while k < where.shape[0] and where[k] == t:
            for c in range(C):
                S[k, c], low[k, c] = sums[c], oldest[c]
            k += 1
        if t == n:
            break
        row = t if way == 0 else n - 1 - t
        for c in labels:
            x = h[row, c]
            if x > -np.inf:
                i = count[c]
                at[c, i], g[c, i], bound[c, i] = t, x - sums[c], x + other[row, c] - partition
                if period[c] > 0:
                    older[c, i] = join_older(mass, source, c, t, period[c], tail[c], g[c, i])
                count[c] += 1
        if k == where.shape[0]:
            break
        cuts = 0
        for c in range(C):
            x = emissions[row, c]
            cuts += x == -np.inf
            sums[c] += x if x > -np.inf else 0.0
        if cuts > 0:
            for c in range(C):
                if emissions[row, c] == -np.inf:
                    oldest[c] = t + 1
                    mass[c] = -np.inf


@compiled
def all_older(at, older, folded, low, q, K, p, lam):
    """Return the log sum of the sources `q`, `q - p`, ... (relative), weighed by the tail as at `q`."""
    for i in range(np.searchsorted(at, q, "right") - 1, -1, -1):
        if at[i] < low:
            break
        if (q - at[i]) % p == 0:
            return older[i] + (q - at[i]) // p * lam
    for i in range(p):
        s = i - K - p
        if low <= s <= q and (q - s) % p == 0:
            return folded[i] + (q - s) // p * lam
    return -np.inf


@compiled
def open_scores(at, g, bound, older, folded, S, low, b, K, p, lam, least, out):
    """Fill `out[j]` with the open score of source `b - 1 - j` at a boundary, what is older folded into p rows behind.

    Sources whose whole posterior is below `least` are left out, unless they are folded.
    """
    out[:] = -np.inf
    for i in range(np.searchsorted(at, b) - 1, -1, -1):
        j = b - 1 - at[i]
        if at[i] < low or j >= K:
            break
        out[j] = g[i] + S if bound[i] >= least else -np.inf
    for j in range(K, K + p):
        out[j] = all_older(at, older, folded, low, b - 1 - j, K, p, lam) + S


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
def deal_out(at, g, older, folded, low, begin, closed, K, p, lam, q, mass, least, b, law, reach, rest):
    """Return the new reach after giving the mass folded into source `q` (relative) to its members, latest first.

    What is folded into the state at the panel's beginning goes to `rest[row]`.
    """
    if mass <= least:
        return reach
    whole = all_older(at, older, folded, low, q, K, p, lam)
    if whole == -np.inf:
        return reach
    left = mass
    for i in range(np.searchsorted(at, q, "right") - 1, -1, -1):
        if at[i] < low or left <= least:
            break
        if (q - at[i]) % p == 0:
            if closed and begin + at[i] <= 0:
                return _add(law, reach, b - 1, left)
            share = mass * np.exp(g[i] + (q - at[i]) // p * lam - whole)
            reach = _add(law, reach, b - 1 - begin - at[i], share)
            left -= share
    for i in range(p - 1, -1, -1):
        s = i - K - p
        if low <= s <= q and (q - s) % p == 0 and left > least:
            if closed and begin + s <= 0:
                return _add(law, reach, b - 1, left)
            rest[i] += mass * np.exp(folded[i] + (q - s) // p * lam - whole)
    return reach


@compiled
def place(model, labels, side, k, b, masses, share, law, rest):
    """Return how far `law` reaches, filled by distance from `b` with each label's masses times its share.

    `k`: the row of what was asked for that belongs to `b`.
    """
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
                side.at[c, : side.alive[c]], side.g[c], side.older[c], side.folded[c], side.low[k, c],
                side.begin, side.closed, K, p, model.tail[c], b - 1 - j, share[i] * masses[i, j],
                UNRESOLVED / (p * labels.shape[0]), end, law, reach, rest[i],
            )  # fmt: skip
    return reach


@compiled
def laws(model, weights, labels, left, right, rows, b, n, mass, law, rest, law_right, rest_right):
    """Return the reach of both laws of the segment that covers the position left of boundary `b` (-1: there is none).

    The panel has `n` positions; `rows` are those of the sides that belong to `b`. `mass` is the posterior of the labels
    there, as far as it is known: it only says what is negligible.
    """
    L, lead = labels.shape[0], (model.longest + model.period).max()
    b_right = n + 1 - b  # boundaries count from the other end, and one position is shared
    starts, ends = np.empty((L, lead)), np.empty((L, lead))
    x, y = np.empty(lead), np.empty(lead)
    score = np.full(L, -np.inf)
    best = -np.inf
    for i in range(L):
        c = labels[i]
        K, p = model.longest[c], model.period[c]
        least = np.log(LOST * mass / (2 * L * K)) if mass > 1e-6 else -np.inf
        for side, k, end, out in ((left, rows[0], b, x), (right, rows[1], b_right, y)):
            m = side.alive[c]
            open_scores(
                side.at[c, :m], side.g[c], side.bound[c], side.older[c], side.folded[c], side.S[k, c], side.low[k, c],
                end, K, p, model.tail[c], least, out[: K + p],
            )  # fmt: skip
        score[i] = pair_up(
            x[: K + p], y[: K + p], model.table[c], weights[c], model.top[c], starts[i, : K + p], ends[i, : K + p]
        )
        best = max(best, score[i])
    if best == -np.inf:
        return -1, -1
    share = np.exp(score - best)
    share /= share.sum()
    return (
        place(model, labels, left, rows[0], b, starts, share, law, rest),
        place(model, labels, right, rows[1], b_right, ends, share, law_right, rest_right),
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
