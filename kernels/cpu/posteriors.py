"""Posteriors of panels from the scores of both directions and the normaliser at their anchors."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, scratch
from ..plan import boundaries
from .directions import Direction, State
from .meeting import weight
from .threads import spread
from .tiles import BLOCK, add_logs
from .transition import arc_score, weigh_scores

NEGLIGIBLE = -60.0  # log posterior below which a pair is not counted


class Panel(NamedTuple):
    """Everything known between boundaries u and v, in the offsets of its chunk's two runs."""

    u: int
    v: int
    before: State  # forward, at u
    behind: State  # backward, at v
    alpha: NDArray  # (n + 1, C) at u..v
    h: NDArray  # (n, C) at u..v-1
    f: NDArray  # (n, C) at u..v-1
    beta: NDArray  # (n, C) at u+1..v
    partition: float | complex
    shares: NDArray  # (C,) posterior of position u

    def alone(self, forward: Direction, with_scores: bool = False) -> "Stretches":
        """Return it as the only one of several."""
        emissions = forward.emissions(self.u, self.v)
        return Stretches(
            lengths=np.array([self.v - self.u]),
            phases=np.array([forward.phase(self.u)]),
            emissions=emissions[None],
            scores=(forward.scores(self.u, self.v) if with_scores else emissions[:, :0])[None],
            open_left=opened(self.before),
            open_right=opened(self.behind),
            alpha=self.alpha[None],
            h=self.h[None],
            f=self.f[None],
            beta=self.beta[None],
            partition=np.array([self.partition]),
            shares=self.shares[None],
        )


def opened(state: State) -> tuple[NDArray, NDArray]:
    """Return what is open in a state, without its offset, as that of one of several."""
    return (state.ring + state.offset)[None], (state.folded + state.offset)[None]


class Stretches(NamedTuple):
    """N stretches of sequences of one model: what `Panel` says of each, scores behind its end forbidden."""

    lengths: NDArray  # (N,) int64: boundaries u..v are rows 0..lengths
    phases: NDArray  # (N,) int64 of boundaries u
    emissions: NDArray  # (N, n, C)
    scores: NDArray  # (N, n, columns) at u..v-1
    open_left: tuple[NDArray, NDArray]  # (N, C, R) and (N, C, p): ring and folded rows at u, forward
    open_right: tuple[NDArray, NDArray]  # at v, backward
    alpha: NDArray  # (N, n + 1, C) at u..v
    h: NDArray  # (N, n, C) at u..v-1
    f: NDArray  # (N, n, C) at u..v-1
    beta: NDArray  # (N, n, C) at u+1..v
    partition: NDArray  # (N,)
    shares: NDArray  # (N, C) posterior of position u


class Counts(NamedTuple):
    """Sums of posteriors over a sequence: what the gradients of shared tensors are made of."""

    transitions: NDArray  # (P, C, C)
    durations: NDArray  # (K + 1, C)
    tail_steps: NDArray  # (C,)

    def plus(self, other: "Counts") -> "Counts":
        """Return the sum of two counts."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @staticmethod
    def zeros(direction: Direction, *axes: int) -> "Counts":
        P, C, _ = direction.model.transitions.shape
        full = lambda *shape: np.zeros((*axes, *shape), direction.dtype)  # noqa: E731
        return Counts(full(P, C, C), full(*direction.x.durations.shape), full(C))


class Wanted(NamedTuple):
    """Which posteriors to work out besides starts, ends and positions."""

    changes: bool = False  # expected transitions, posteriors of boundary types
    durations: bool = False


class Found(NamedTuple):
    """Posteriors of N stretches, 0 behind their ends."""

    start: NDArray  # (N, n, C) a segment of c starts at u..v-1
    end: NDArray  # (N, n, C) a segment of c ends at u+1..v
    position: NDArray  # (N, n, C) position u..v-1 is covered by c
    kinds: NDArray | None  # (N, n, columns) at u..v-1
    counts: Counts | None  # with a first axis N


def find(forward: Direction, s: Stretches, wanted: Wanted, pool: ThreadPoolExecutor | None = None) -> Found:
    """Return the posteriors of stretches; `pool`: threads that are free to help."""
    partition = s.partition[:, None, None]
    start, end = weight(s.h + s.f, partition), weight(s.alpha[:, 1:] + s.beta, partition)
    # from the anchor's shares by adding starts and taking off ends
    position = start.copy()
    position[:, 1:] -= end[:, :-1]
    position[:, 0] = s.shares
    np.cumsum(position, axis=1, out=position)
    position[s.emissions.real == -np.inf] = 0
    if not (wanted.changes or wanted.durations):
        return Found(start, end, position, None, None)
    N, _, C = s.emissions.shape
    model, kinds, counts = forward.model, None, Counts.zeros(forward, N)
    if wanted.changes:
        kinds = np.zeros(s.scores.shape, forward.dtype)
        count_changes(model, s.lengths, s.scores, s.phases, s.alpha, s.f, s.partition, counts.transitions, kinds)
    if wanted.durations:
        arguments = (
            s.lengths, s.emissions, *s.open_left, s.h, *s.open_right, s.beta, s.partition,
            counts.durations, counts.tail_steps,
        )  # fmt: skip
        shares = boundaries(C, 1 if pool is None else min(C, pool._max_workers))
        list(spread(pool, lambda of: count_durations(model, forward.weights, of, *arguments), list(pairwise(shares))))
    return Found(start, end, position, kinds, counts)


@compiled
def cover(h, f, alpha, beta, partition, shares, emissions, where, covered, position):
    """Fill, at the boundaries `where` of a stretch (ascending), `position` with the posterior of what comes next there.

    `covered` gets the sums of that over all positions before. Posteriors are those of `find`; `alpha` and `beta` are
    those behind the positions.
    """
    n, C = h.shape
    here, total = np.zeros(C), np.zeros(C)
    k = 0
    for t in range(n + 1):
        if t == 0:
            here[:] = shares
        elif t < n:
            live = 0
            for c in range(C):
                live += h[t, c] > -np.inf or beta[t - 1, c] > -np.inf
            if live > 0:
                for c in range(C):
                    x, y = h[t, c] + f[t, c], alpha[t - 1, c] + beta[t - 1, c]
                    if x > -np.inf:
                        here[c] += np.exp(x - partition)
                    if y > -np.inf:
                        here[c] -= np.exp(y - partition)
        while k < where.shape[0] and where[k] == t:
            for c in range(C):
                covered[k, c] = total[c]
                position[k, c] = here[c] if t < n and emissions[t, c] > -np.inf else 0.0
            k += 1
        if k == where.shape[0]:
            break
        for c in range(C):
            total[c] += here[c] if emissions[t, c] > -np.inf else 0.0


@compiled
def count_changes(model, lengths, scores, phases, alpha, f, partition, transitions, kinds):
    """Add the posterior of every label change at the stretches' boundaries to `transitions` and `kinds[i, t, type]`.

    All C x C changes are multiplied out as weights where that is safe, else arc by arc in the log domain.
    """
    P, C = len(model.transitions), alpha.shape[2]
    factors = scratch(scores.shape[2] + model.types.shape[0], alpha.dtype)
    left, right = scratch(C, alpha.dtype), scratch(C, alpha.dtype)
    for i in range(lengths.shape[0]):
        for t in range(lengths[i]):
            row = (phases[i] + t) % P
            if not model.sparse:
                bound = _normalised(alpha[i, t], left) + _normalised(f[i, t], right) + model.transition_ref
                if bound == -np.inf:
                    continue
                bound += weigh_scores(model.columns, scores[i, t], factors)
                if bound - partition[i].real < 600.0:
                    scale = np.exp(bound - partition[i])
                    _change_weights(
                        model.transition_weights, model.types, row, factors, scale, left, right,
                        transitions[i], kinds[i, t],
                    )  # fmt: skip
                    continue
            _change_arcs(model, row, scores[i, t], alpha[i, t], f[i, t], partition[i], transitions[i], kinds[i, t])


@compiled
def _change_arcs(model, row, scores, alpha, f, partition, transitions, kinds):
    """Add the posteriors of all changes at one boundary, arc by arc."""
    for c in range(f.shape[0]):
        if f[c].real == -np.inf:
            continue
        for a in range(model.arc_start[row, c], model.arc_start[row, c + 1]):
            source = model.arc_source[a]
            if alpha[source].real == -np.inf:
                continue
            x = alpha[source] + arc_score(model, row, scores, source, c) + f[c] - partition
            if x.real < NEGLIGIBLE:
                continue
            posterior = np.exp(x)
            transitions[row, source, c] += posterior
            for m in range(model.types.shape[0]):
                kind = model.types[m, source, c]
                if kind >= 0:
                    kinds[kind] += posterior


@compiled(fast=True)
def _change_weights(weights, types, row, factors, scale, left, right, transitions, kinds):
    """Add the posteriors of all changes at one boundary, as products of weights."""
    C, maps = left.shape[0], types.shape[0]
    n = factors.shape[0] - maps
    for source in range(C):
        x = left[source] * scale
        if x == 0:
            continue
        if maps == 0:
            for c in range(C):
                transitions[row, source, c] += x * right[c] * weights[row, source, c]
            continue
        for c in range(C):
            posterior = x * right[c] * weights[row, source, c]
            for m in range(maps):
                kind = types[m, source, c]
                posterior *= factors[kind if kind >= 0 else n + m]
            transitions[row, source, c] += posterior
            for m in range(maps):
                kind = types[m, source, c]
                if kind >= 0:
                    kinds[kind] += posterior


@compiled(fast=True)
def correlate(weights, targets, lag, out):
    """Add `weights[i] * targets[j]` to `out[lag + j - i]`."""
    for i in range(weights.shape[0]):
        w = weights[i]
        if w != 0:
            row = out[lag - i : lag - i + targets.shape[0]]
            for j in range(targets.shape[0]):
                row[j] += w * targets[j]


@compiled
def _normalised(x, out):
    """Fill `out` with exp(x - top) and return top, the largest real part (-inf: nothing is alive)."""
    top = -np.inf
    for i in range(x.shape[0]):
        top = max(top, x[i].real)
    for i in range(x.shape[0]):
        out[i] = np.exp(x[i] - top) if top > -np.inf and x[i].real - top > -700.0 else 0
    return top


@compiled
def count_durations(
    model, weights, labels, lengths, emissions, ring, folded, h, ring_right, folded_right, beta, partition, counts,
    steps,
):  # fmt: skip
    """Add the expected number of segments that end inside each stretch to `counts[i, k, c]` and `steps[i, c]`.

    Of labels `labels[0]..labels[1] - 1`: they have nothing to do with each other, so threads may share them.
    """
    for i in range(lengths.shape[0]):
        n = lengths[i]
        _count_durations(
            model, weights, labels, emissions[i, :n], ring[i], folded[i], h[i, :n], ring_right[i], folded_right[i],
            beta[i, :n], partition[i], counts[i], steps[i],
        )  # fmt: skip


@compiled
def _count_durations(
    model, weights, labels, emissions, ring, folded, h, ring_right, folded_right, beta, partition, counts, steps
):  # fmt: skip
    """Add the expected number of segments that end inside the panel to `counts[k, c]`, tails to their row and `steps`.

    A segment in the tail counts where its length first passes through a row of the tail; `Q`, the geometric sum of
    all ends of one residue from there on, brings in the rest of it. `V` is the same for starts.
    """
    n = emissions.shape[0]
    R = ring.shape[1]
    for c in range(labels[0], labels[1]):
        K, p, lam = model.longest[c], model.period[c], model.tail[c]
        # g over sources u-R..v-1, V over u-R-p.., G and Q over ends u+1..v+K+p, all relative to S[u] = 0
        g = np.full(R + n, -np.inf).astype(h.dtype)
        V = np.full(R + n + p, -np.inf).astype(h.dtype)
        G = np.full(n + R + p, -np.inf).astype(h.dtype)
        S = h.dtype.type(0)
        g[:R] = ring[c]
        sums = scratch(n + 1, h.dtype)
        sums[0] = 0
        segment = np.zeros(n + 1, np.int64)  # how many cuts lie before a boundary
        for t in range(n):
            g[R + t] = h[t, c] - S if h[t, c].real > -np.inf else h[t, c]
            segment[t + 1] = segment[t]
            if emissions[t, c].real == -np.inf:
                segment[t + 1] += 1
            else:
                S += emissions[t, c]
            sums[t + 1] = S
        for t in range(n):
            G[t] = beta[t, c] + sums[t + 1] if beta[t, c].real > -np.inf else beta[t, c]
        # pieces between cuts do not see each other: handle each on its own
        piece_start = 0
        while piece_start < n:
            piece_end = piece_start
            while piece_end < n and segment[piece_end + 1] == segment[piece_start]:
                piece_end += 1
            # ends piece_start+1..piece_end, sources up to piece_end-1 and from piece_start (or the ring, if first)
            low = 0 if piece_start == 0 else R + piece_start
            _piece(
                model, weights, c, g, low, R, G, piece_start, piece_end, n,
                folded[c], ring_right[c], folded_right[c], sums[n], partition, counts, steps, V, lam, K, p,
            )  # fmt: skip
            piece_start = piece_end + 1


@compiled
def _piece(
    model, weights, c, g, low, R, G, begin, end, n, folded, ring_right, folded_right, total, partition, counts, steps,
    V, lam, K, p,
):  # fmt: skip
    """Count the segments of one label between two cuts; see `count_durations`."""
    w = scratch(g.shape[0], g.dtype)
    tops = scratch(g.shape[0] // BLOCK + 1, np.float64)
    x = scratch(BLOCK, g.dtype)
    local = scratch(2 * BLOCK, g.dtype)
    if p > 0:
        Q = np.full(end - begin + p, -np.inf).astype(g.dtype)  # Q[i] at boundary begin + 1 + i
        if end == n:
            beyond = np.full(p, -np.inf).astype(g.dtype)
            for j in range(K + p - 1, -1, -1):  # boundary v + 1 + j, the far ends first
                y = ring_right[R - 1 - j] if j < K else folded_right[K + p - 1 - j]
                if y.real > -np.inf:
                    y += total
                beyond[j % p] = add_logs(y, lam + beyond[j % p])
            for j in range(p):
                Q[end - begin + j] = beyond[j]
        for i in range(end - begin - 1, -1, -1):
            Q[i] = add_logs(G[begin + i], lam + Q[i + p])
        if begin == 0:  # V[s + p] belongs to g[s]
            # folded rows stand at u - K - p + i, right behind the pure window
            base = R - K
            for i in range(p):
                V[base + i] = folded[i]
            for s in range(base, R + end):
                V[s + p] = add_logs(g[s], lam + V[s])
        else:
            for i in range(p):
                V[low + i] = -np.inf
            for s in range(low, R + end):
                V[s + p] = add_logs(g[s], lam + V[s])
        floor = R - K - p if begin == 0 else low
        for i in range(end - begin):
            r = begin + 1 + i
            for k in range(K - p + 1, K + 1):
                d = model.table[c, k]
                s = R + r - k
                if s >= low and s < R + end and g[s].real > -np.inf:
                    y = g[s] + d + Q[i] - partition
                    if y.real > NEGLIGIBLE:
                        counts[k, c] += np.exp(y)
                s = R + r - p - k
                if s >= floor:
                    y = V[s + p] + d + lam + Q[i] - partition
                    if y.real > NEGLIGIBLE:
                        steps[c] += np.exp(y)
    explicit = K - p  # rows the tail does not pass through
    if explicit < 1:
        return
    lowest = max(low, R + begin + 1 - explicit)
    for b in range(lowest // BLOCK, (R + end + BLOCK - 1) // BLOCK):
        a0, a1 = max(lowest, b * BLOCK), min(R + end, (b + 1) * BLOCK)
        tops[b] = _normalised(g[a0:a1], w[a0:a1])
    for e0 in range(begin, end, BLOCK):
        e1 = min(end, e0 + BLOCK)
        top_e = _normalised(G[e0:e1], x[: e1 - e0])
        if top_e == -np.inf:
            continue
        s1 = R + e1  # sources before the last end
        s_low = max(lowest, R + e0 + 1 - explicit)
        for b in range(s_low // BLOCK, (s1 + BLOCK - 1) // BLOCK):
            a0, a1 = max(s_low, b * BLOCK), min(s1, (b + 1) * BLOCK)
            if a0 >= a1:
                continue
            top_s = tops[b]
            # end at boundary e + 1, source at s - R: k = e + 1 + R - s
            shift = e0 + 1 + R - (a1 - 1)  # smallest lag of the pair of blocks
            width = (e1 - e0) + (a1 - a0) - 1
            top_d = -np.inf
            for i in range(width):
                k = shift + i
                if 1 <= k <= explicit:
                    top_d = max(top_d, model.table[c, k].real)
            bound = top_s + top_e + top_d - partition.real
            if bound < NEGLIGIBLE:
                continue
            if bound > 500.0:  # maxima that do not meet: the products themselves are posteriors, so take them singly
                for s in range(a0, a1):
                    for e in range(e0, e1):
                        k = e + 1 + R - s
                        if 1 <= k <= explicit:
                            y = g[s] + G[e] + model.table[c, k] - partition
                            if y.real > NEGLIGIBLE:
                                counts[k, c] += np.exp(y)
                continue
            local[:width] = 0
            correlate(w[a0:a1], x[: e1 - e0], a1 - a0 - 1, local)
            if model.top[c] - top_d < 100.0:  # the table's weights will do
                factor = np.exp(top_s + top_e + model.top[c] - partition)
                for i in range(max(0, 1 - shift), min(width, explicit + 1 - shift)):
                    counts[shift + i, c] += factor * local[i] * weights[c, shift + i]
            else:
                factor = np.exp(top_s + top_e + top_d - partition)
                for i in range(max(0, 1 - shift), min(width, explicit + 1 - shift)):
                    d = model.table[c, shift + i]
                    if d.real > -np.inf:
                        counts[shift + i, c] += factor * local[i] * np.exp(d - top_d)
