"""The recursion where boundaries are rare: over lists of what has begun, and only where something may end.

Boundary maps of gene models forbid nearly every boundary: a segment begins at one base in sixteen at most, and `alpha`
matters only where an arc leads on. So every label keeps a list of its live sources, its sums are taken where a boundary
is allowed, and a position costs its emissions and little else: some hundred times less than tiles over all durations.
Elsewhere `out_alpha` is `never`, as nothing could follow; at the block's end it is complete.

Sources that outgrow their label's longest duration fold into one mass a residue of the tail's period, beside the latest
source in it; `forward.py` has the same state and tells why.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, scratch
from .forward import rebase
from .semirings import first_score, fold_row, outlived
from .tiles import HEADROOM, TRUSTED
from .transition import change_score


@compiled(inline=True)
def folded_row(table, longest, period, tail, c, mass, source, t):
    """Return the open score and the row of the table that a folded mass has at boundary `t`."""
    k = t - source
    steps = max(0, (k - longest[c] + period[c] - 1) // period[c])
    return mass + steps * tail[c], k - steps * period[c]


@compiled(fast=True)
def add_dense(w, weights, age):
    """Return the sum over sources that stand side by side, the first of which is of that age."""
    n, total = w.shape[0], 0.0
    ages = weights[age - n + 1 : age + 1]
    for i in range(n):
        # an index without a sign cannot count from the end, so this becomes products of whole registers: 20 times as
        # quick as looking every age up
        total += w[i] * ages[np.uint64(n - 1 - i)]
    return total


@compiled(inline=True)
def exact_end(table, longest, period, tail, c, at, g, low, high, mass, source, t, never):
    """Return one label's sum over its sources at `t`, taken in the log domain."""
    best, total = -np.inf, 0.0
    for again in range(2):
        for i in range(low, high):
            x = g[c, i] + table[c, t - at[c, i]]
            if again == 0:
                best = max(best, x)
            elif x - best > -50.0:
                total += np.exp(x - best)
        for r in range(period[c]):
            if mass[c, r] > -np.inf:
                x, k = folded_row(table, longest, period, tail, c, mass[c, r], source[c, r], t)
                x += table[c, k]
                if again == 0:
                    best = max(best, x)
                elif x - best > -50.0:
                    total += np.exp(x - best)
        if best == -np.inf:
            return best
    return best + np.log(total)


@compiled(inline=True)
def fold_source(weights, period, slope, floor, c, g, s, mass, source):
    """Fold a source of label c, later than all that are folded, and return its row."""
    r = s % period[c]
    older = mass[c, r]
    if older > floor:
        older += (s - source[c, r]) // period[c] * slope[c]
    mass[c, r], source[c, r] = fold_row(weights, g, older), s
    return r


class Alive(NamedTuple):
    """What is open in a state, label by label."""

    at: NDArray  # (C, R) sources, as boundaries
    g: NDArray  # (C, R) their scores
    w: NDArray  # (C, R) exp(g - ref), nothing in the max semiring
    ref: NDArray  # (C,)
    high: NDArray  # (C,) how many
    dense: NDArray  # (C,) so many stand side by side: those before a censored start, all of them alive
    mass: NDArray  # (C, p) what is folded,
    source: NDArray  # (C, p) and its latest source
    folded: NDArray  # (C, R) what the mass of each source's row is once it is folded too, where that is known


@compiled(fast=True)
def alive_in(model, weights, ring, tail, ahead):
    """Return what is open in a state; `ahead`: also what it folds into, which takes as long as a block."""
    C, R = ring.shape
    never, floor = ring.dtype.type(model.never), model.floor
    longest, period = model.longest, model.period
    at = scratch((C, R), np.int64)
    g = scratch((C, R), ring.dtype)
    w = scratch((C, R if weights is not None else 0), ring.dtype)
    ref = np.full(C, -np.inf)
    high, dense = np.zeros(C, np.int64), np.zeros(C, np.int64)
    mass = np.full((C, tail.shape[1]), never, ring.dtype)
    source = np.zeros((C, tail.shape[1]), np.int64)
    for c in range(C):
        for i in range(R - longest[c], R):
            if ring[c, i] > floor:
                at[c, high[c]], g[c, high[c]] = i - R, ring[c, i]
                high[c] += 1
        if weights is not None:
            for i in range(high[c]):
                ref[c] = max(ref[c], g[c, i])
            for i in range(high[c]):
                w[c, i] = np.exp(g[c, i] - ref[c]) if g[c, i] - ref[c] > -700.0 else 0.0
            if high[c] == longest[c]:
                dense[c] = high[c]
        for i in range(period[c]):
            if tail[c, i] > floor:
                q = i - longest[c] - period[c]
                mass[c, q % period[c]], source[c, q % period[c]] = tail[c, i], q
    folded = scratch((C, R if ahead else 0), ring.dtype)
    if ahead:
        rows, latest = mass.copy(), source.copy()
        for c in range(C):
            for j in range(high[c] if period[c] > 0 else 0):
                r = fold_source(weights, period, model.tail, floor, c, g[c, j], at[c, j], rows, latest)
                folded[c, j] = rows[c, r]
    return Alive(at, g, w, ref, high, dense, mass, source, folded)


@compiled(fast=True)
def _advance(
    model, weights, alive, emissions, scores, phase, age, alpha, entry, ring, tail, first, out_alpha, out_h, budget
):  # fmt: skip
    """Move one state over its block, and return that it was done and what is taken out of it.

    `alive` is what is open in it. Once it took `budget` steps, each a look at one arc or one source, it gives up and
    leaves the state as it was.
    """
    n, C = emissions.shape
    R, P = ring.shape[1], len(model.transitions)
    never, zero, floor = ring.dtype.type(model.never), ring.dtype.type(0), model.floor
    table, longest, period, slope, top = model.table, model.longest, model.period, model.tail, model.top
    transitions, types = model.transitions, model.types
    site_start, site_source, site_target = model.site_start, model.site_source, model.site_target
    columns = scores.shape[1]
    at = scratch((C, R + n), np.int64)  # live sources of a label, and their scores less the emissions before them
    g = scratch((C, R + n), ring.dtype)
    w = scratch((C, R + n if weights is not None else 0), ring.dtype)  # exp(g - ref)
    low, high = np.zeros(C, np.int64), alive.high.copy()
    for c in range(C):
        at[c, : high[c]], g[c, : high[c]] = alive.at[c, : high[c]], alive.g[c, : high[c]]
        if weights is not None:
            w[c, : high[c]] = alive.w[c, : high[c]]
    ref, mass, source, dense = alive.ref.copy(), alive.mass.copy(), alive.source.copy(), alive.dense
    open_first = first.copy()
    S = np.zeros(C, ring.dtype)

    out_alpha[:, :] = never
    out_h[:, :] = never
    ends, begins = scratch(C, ring.dtype), scratch(C, ring.dtype)  # of this boundary, where marked
    ends_at, begins_at = np.full(C, -1), np.full(C, -1)
    wanted, begun = scratch(C, np.int64), scratch(C, np.int64)
    arcs = scratch(site_source.shape[0], np.int64)
    steps = 0
    for t in range(n + 1):
        asked, live = 0, 0
        if t < n:
            row = (phase + t) % P
            for k in range(columns):
                if scores[t, k] > floor:
                    for a in range(site_start[row, k], site_start[row, k + 1]):
                        arcs[live] = a
                        live += 1
                        c = site_source[a]
                        if ends_at[c] < t:
                            ends_at[c] = t
                            wanted[asked] = c
                            asked += 1
            steps += live
        else:
            for c in range(C):
                wanted[asked] = c
                asked += 1
        for i in range(asked):
            c = wanted[i]
            if t == 0:
                ends[c] = alpha[c]
                continue
            K, p = longest[c], period[c]
            while low[c] < high[c] and t - at[c, low[c]] > K:
                j = low[c]
                if p > 0 and j < alive.folded.shape[1] and j < alive.high[c]:
                    r = at[c, j] % p
                    mass[c, r], source[c, r] = alive.folded[c, j], at[c, j]
                elif p > 0:
                    fold_source(weights, period, slope, floor, c, g[c, j], at[c, j], mass, source)
                low[c] += 1
            steps += high[c] - low[c]
            if weights is None:
                best = never
                for j in range(low[c], high[c]):
                    best = max(best, g[c, j] + table[c, t - at[c, j]])
                for r in range(p):
                    if mass[c, r] > floor:
                        x, k = folded_row(table, longest, period, slope, c, mass[c, r], source[c, r], t)
                        best = max(best, x + table[c, k])
                if open_first[c] > floor:
                    best = max(best, first_score(model, c, open_first[c], age + t))
                ends[c] = best + S[c] if best > floor else never
            else:
                total, fits = 0.0, True
                if low[c] == high[c]:  # only what is folded
                    ref[c] = -np.inf
                    for r in range(p):
                        if mass[c, r] > floor:
                            x, k = folded_row(table, longest, period, slope, c, mass[c, r], source[c, r], t)
                            ref[c] = max(ref[c], x)
                lone = low[c]
                if lone < dense[c]:
                    lone = dense[c]
                    total = add_dense(w[c, low[c] : lone], weights[c], t - at[c, low[c]])
                for j in range(lone, high[c]):
                    total += w[c, j] * weights[c, t - at[c, j]]
                for r in range(p):
                    if mass[c, r] > floor:
                        x, k = folded_row(table, longest, period, slope, c, mass[c, r], source[c, r], t)
                        if x - ref[c] > HEADROOM:
                            fits = False
                        elif x - ref[c] > -700.0:
                            total += np.exp(x - ref[c]) * weights[c, k]
                if fits and total > TRUSTED:
                    ends[c] = S[c] + (ref[c] + top[c] + np.log(total))
                else:
                    ends[c] = S[c] + exact_end(
                        table, longest, period, slope, c, at, g, low[c], high[c], mass, source, t, never
                    )  # fmt: skip
        if steps > budget:
            return False, never
        if t > 0:
            for i in range(asked):
                out_alpha[t - 1, wanted[i]] = ends[wanted[i]]
        if t == n:
            break

        count = 0
        if t == 0:
            for c in range(C):
                if entry[c] > floor:
                    begins[c], begins_at[c], begun[count] = entry[c], t, c
                    count += 1
        for i in range(live):
            a = arcs[i]
            x = ends[site_source[a]]
            if x > floor:
                c = site_target[a]
                x += change_score(transitions, types, row, scores[t], site_source[a], c)
                if x > floor:
                    if begins_at[c] < t:
                        begins[c], begins_at[c], begun[count] = x, t, c
                        count += 1
                    else:
                        begins[c] = fold_row(weights, x, begins[c])
        for i in range(count):
            c = begun[i]
            out_h[t, c] = begins[c]
            x, j = begins[c] - S[c], high[c]
            at[c, j], g[c, j] = t, x
            high[c] += 1
            if weights is not None:
                if low[c] == j:
                    ref[c] = x
                elif x - ref[c] > HEADROOM:
                    shrink = np.exp(ref[c] - x)
                    for k in range(low[c], j):
                        w[c, k] *= shrink
                    ref[c] = x
                w[c, j] = np.exp(x - ref[c]) if x - ref[c] > -700.0 else 0.0

        cuts = 0
        for c in range(C):
            x = emissions[t, c]
            cuts += x <= floor
            S[c] += x if x > floor else zero
        if cuts > 0:
            for c in range(C):
                if emissions[t, c] <= floor:  # nothing open survives
                    low[c] = high[c]
                    open_first[c] = never
                    for r in range(period[c]):
                        mass[c, r] = never

    for c in range(C):
        K, p = longest[c], period[c]
        alpha[c], entry[c] = ends[c], never
        for i in range(R - K, R):  # before these none is alive
            ring[c, i] = never
        for i in range(low[c], high[c]):
            ring[c, R - n + at[c, i]] = g[c, i] + S[c]
        for i in range(p):
            q = n - K - p + i
            older = mass[c, q % p]
            tail[c, i] = older + (q - source[c, q % p]) // p * slope[c] + S[c] if older > floor else never
        first[c] = open_first[c]
        if first[c] > floor:
            first[c] += S[c]
            if outlived(model, weights, c, first[c], age + n, tail[c]):
                first[c] = never
    return True, rebase(model.never, floor, alpha, ring, tail, first)


@compiled
def advance_rarely(
    model, weights, alive, emissions, scores, phases, age, lengths, alpha, entry, ring, tail, first, out_alpha, out_h,
    bases, price, done,
):  # fmt: skip
    """Do what `forward.advance` does for states that take no more than `price` steps a position; fill `done`.

    What was not done is left as it was. `alive` is what is open in all of them.
    """
    for i in range(lengths.shape[0]):
        n = lengths[i]
        done[i], bases[i] = _advance(
            model, weights, alive, emissions[i, :n], scores[i, :n], phases[i], age, alpha[i], entry[i], ring[i],
            tail[i], first[i], out_alpha[i, :n], out_h[i, :n], price * n,
        )  # fmt: skip
