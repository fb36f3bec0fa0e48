"""The semantics, in float64 and plain loops: read it and believe it.

Open segments are kept one by one, each with the score it has gathered, so that a forbidden emission cuts by plain
addition of -inf. A tail makes every earlier start a candidate: O(T^2) then, O(T K) without.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .edges import Tables, continued, edge_tables
from .potentials import Potentials
from .resolve import Sequence, resolve, sequence


class Passes(NamedTuple):
    """Forward and backward quantities at every boundary, and the log partition."""

    alpha: NDArray  # (T + 1, C) everything up to a segment of c that ends at t
    h: NDArray  # (T + 1, C) everything up to the start of a segment of c at t
    beta: NDArray  # (T + 1, C) everything after a segment of c that ended at t
    f: NDArray  # (T + 1, C) everything from the start of a segment of c at t
    both: NDArray  # (C,) the score of a single segment cut at both ends
    log_partition: float


def logsumexp(x: NDArray, axis: int = 0) -> NDArray:
    """Return log sum exp along an axis; -inf where nothing is alive."""
    return np.logaddexp.reduce(x, axis=axis, initial=-np.inf)


def lengthen(x: Sequence, tables: Tables) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Return durations, enter and leave scores for every length up to T."""
    law = (x.longest, x.tail, x.period, x.emissions.shape[0])
    return tuple(None if table is None else continued(table, *law) for table in (x.durations, *tables[:2]))  # type: ignore[return-value]


def change_scores(x: Sequence, t: int) -> NDArray:
    """Return (C, C) scores of a change c' -> c at boundary t: transition plus boundary maps."""
    scores = x.transitions[(x.origin + t) % len(x.transitions)].copy()
    for types in x.types:
        scores += np.where(types >= 0, x.scores[t][np.maximum(types, 0)] if x.scores.size else 0.0, 0.0)
    return scores


def naive_passes(x: Sequence) -> Passes:
    """Return alpha, h, beta, f and the log partition of one sequence."""
    T, C = x.emissions.shape
    tables = edge_tables(x)
    D, enter, leave = lengthen(x, tables)
    reach = T if np.any(x.tail > -np.inf) else int(x.longest.max())
    e = x.emissions.astype(np.float64)

    alpha, h = np.full((T + 1, C), -np.inf), np.full((T + 1, C), -np.inf)
    opened = np.full((T, C), -np.inf)  # opened[s]: a segment that began at s, with its emissions so far
    cut = np.zeros(C)  # the emissions of a first segment that began before the input
    if enter is None:
        h[0] = x.begin
    for t in range(T):
        if t > 0:
            h[t] = logsumexp(alpha[t][:, None] + change_scores(x, t))
        opened[t] = h[t]
        first = max(0, t + 1 - reach)
        opened[first : t + 1] += e[t]
        alpha[t + 1] = logsumexp(opened[first : t + 1] + D[1 : t + 2 - first][::-1])
        if enter is not None:
            cut += e[t]
            alpha[t + 1] = np.logaddexp(alpha[t + 1], enter[t + 1] + cut)

    beta, f = np.full((T + 1, C), -np.inf), np.full((T + 1, C), -np.inf)
    closing = np.full((T + 1, C), -np.inf)  # closing[t]: a segment that ends at t, with its emissions so far
    cut = np.zeros(C)
    if leave is None:
        beta[T] = x.finish
    for s in range(T - 1, -1, -1):
        closing[s + 1] = beta[s + 1]
        last = min(T, s + reach)
        closing[s + 1 : last + 1] += e[s]
        f[s] = logsumexp(closing[s + 1 : last + 1] + D[1 : last + 1 - s])
        if leave is not None:
            cut += e[s]
            f[s] = np.logaddexp(f[s], leave[T - s] + cut)
        if s > 0:
            beta[s] = logsumexp(change_scores(x, s) + f[s][None, :], axis=1)

    both = tables.both + e.sum(0)
    ends = [both]
    if enter is None:
        ends.append(h[0] + f[0])
    else:  # a first segment that ends inside, or at an exact right end
        cut = np.zeros(C)
        for t in range(1, T + 1):
            cut = cut + e[t - 1]
            ends.append(enter[t] + cut + beta[t])
    return Passes(alpha, h, beta, f, both, float(logsumexp(np.concatenate(ends))))


def naive_log_partition(potentials: Potentials, item: int = 0) -> float:
    """Return log Z of one item."""
    return naive_passes(sequence(*resolve(potentials), item)).log_partition


class NaiveMarginals(NamedTuple):
    log_partition: float
    start: NDArray  # (T + 1, C)
    end: NDArray  # (T + 1, C)
    position: NDArray  # (T, C)
    change: NDArray  # (T + 1, C, C) posterior of a boundary c' -> c at t
    durations: NDArray  # (K + 1, C) expected counts of uncut segments
    tail_steps: NDArray  # (C,)


def naive_marginals(potentials: Potentials, item: int = 0) -> NaiveMarginals:
    """Return every posterior of one item, each by its formula."""
    x = sequence(*resolve(potentials), item)
    T, C = x.emissions.shape
    D, enter, leave = lengthen(x, edge_tables(x))
    alpha, h, beta, f, both, Z = naive_passes(x)
    start, end = np.exp(h + f - Z), np.exp(alpha + beta - Z)
    change = np.zeros((T + 1, C, C))
    for t in range(1, T):
        change[t] = np.exp(alpha[t][:, None] + change_scores(x, t) + f[t][None, :] - Z)

    position = np.zeros((T, C))
    counts, steps = np.zeros_like(x.durations), np.zeros(C)
    e = x.emissions.astype(np.float64)
    for c in range(C):
        for s in range(T):
            gathered = 0.0
            for t in range(s + 1, T + 1):
                gathered += e[t - 1, c]
                if gathered == -np.inf:
                    break
                k = t - s
                posterior = np.exp(h[s, c] + gathered + D[k, c] + beta[t, c] - Z)
                jumps = max(0, -(-(k - x.longest[c]) // x.period[c])) if x.tail[c] > -np.inf else 0
                if posterior > 0:
                    counts[k - jumps * x.period[c], c] += posterior
                    steps[c] += jumps * posterior
                if s == 0 and enter is not None:
                    posterior += np.exp(enter[k, c] + gathered + beta[t, c] - Z)
                if t == T and leave is not None:
                    posterior += np.exp(h[s, c] + gathered + leave[k, c] - Z)
                if s == 0 and t == T:
                    posterior += np.exp(both[c] - Z)
                position[s:t, c] += posterior
                if k >= x.longest[c] and x.tail[c] == -np.inf:
                    break
    return NaiveMarginals(Z, start, end, position, change, counts, steps)


def naive_viterbi(x: Sequence, tables: Tables) -> tuple[float, list[tuple[int, int, int]]]:
    """Return the best score and its segments (start, end, label) under the tie rule.

    Read from the right, ties go to the smallest last label, then the latest start, then the smallest source label,
    and so on. Give it integers (see `fixed.quantised`): then every sum is exact and ties are real.
    """
    T, C = x.emissions.shape
    D, enter, leave = lengthen(x, tables)
    e = x.emissions
    opened = np.full((T, C), -np.inf)
    cut = np.zeros(C)
    source = np.zeros((T, C), int)
    start = np.zeros((T + 1, C), int)
    for t in range(T + 1):
        if t > 0:  # segments that end here; a cut first segment starts before all others, so it loses ties
            law = leave if leave is not None and t == T else D
            offers = opened[:t][::-1] + law[1 : t + 1]
            alpha, start[t] = offers.max(0), t - 1 - offers.argmax(0)
            if enter is not None:
                whole = (tables.both if leave is not None and t == T else enter[t]) + cut
                start[t] = np.where(whole > alpha, 0, start[t])
                alpha = np.maximum(alpha, whole)
        if t < T:
            if t > 0:
                changes = alpha[:, None] + change_scores(x, t)
                opened[t], source[t] = changes.max(0), changes.argmax(0)
            elif enter is None:
                opened[0] = x.begin
            opened[: t + 1] += e[t]
            cut = cut + e[t]
    ends = alpha + (x.finish if leave is None else 0.0)
    c = int(ends.argmax())
    score, t, segments = float(ends[c]), T, []
    while t > 0:
        segments.append((int(start[t, c]), t, c))
        t, c = int(start[t, c]), int(source[start[t, c], c])
    return score, segments[::-1]
