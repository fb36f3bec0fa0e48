"""Where a state from the left meets a state from the right: normaliser, label shares, distance between states.

Every segmentation has, at boundary `t`, either a change of labels there or one segment open across it. Summing over
all of both gives the partition from local quantities alone, so its rounding does not grow with the sequence.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, scratch
from .directions import Direction, State
from .tiles import BLOCK, TRUSTED, add_logs, add_products, exact_sum, weigh
from .transition import begin_log


@compiled
def reach_back(model, weights, ring, folded, out_ring, out_folded):
    """Fill, for the state of the other side, each open segment's log sum over where it ends on this side.

    `out_ring[c, R - 1 - i]` belongs to the segment that began `i + 1` positions beyond the boundary.
    """
    C, R = ring.shape
    w = scratch(R, ring.dtype)
    refs = scratch(R // BLOCK, np.float64)
    buffer = scratch(BLOCK, ring.dtype)
    out_ring[:] = -np.inf
    out_folded[:] = -np.inf
    for c in range(C):
        K, p = model.longest[c], model.period[c]
        best = -np.inf
        for b in range(R // BLOCK):
            refs[b] = weigh(ring[c, b * BLOCK : (b + 1) * BLOCK], w[b * BLOCK : (b + 1) * BLOCK])
            best = max(best, refs[b])
        for i in range(p):
            best = max(best, folded[c, i].real)
        if best == -np.inf:
            continue
        for i0 in range(0, K + p, BLOCK):
            acc = buffer[: min(BLOCK, K + p - i0)]
            acc[:] = 0
            for b in range(R // BLOCK):
                if refs[b] - best > -700.0:
                    block = w[b * BLOCK : (b + 1) * BLOCK]
                    add_products(block, np.exp(refs[b] - best), weights[c], R + 1 - b * BLOCK + i0, acc)
            for r in range(p):
                if folded[c, r].real - best > -700.0:
                    row = np.exp(folded[c, r] - best)
                    for j in range(acc.shape[0]):
                        acc[j] += row * weights[c, 1 + i0 + j + K + p - r]
            for j in range(acc.shape[0]):
                i = i0 + j
                if acc[j].real > TRUSTED:
                    value = best + model.top[c] + np.log(acc[j])
                else:
                    value = exact_sum(ring[c], model.table[c], R + 1 + i)
                    if p > 0:
                        value = add_logs(value, exact_sum(folded[c, :p], model.table[c], 1 + i + K + p))
                if i < K:
                    out_ring[c, R - 1 - i] = value
                if K + p - 1 - i < p:
                    out_folded[c, K + p - 1 - i] = value


@compiled
def change(weights, model, phase, scores, alpha, entry, factors, h):
    """Fill `h` from `alpha` at one boundary."""
    begin_log(
        weights, model.transitions, model.transition_weights, model.transition_ref, model.types, model.columns,
        model.arc_start, model.arc_source, model.sparse, phase, scores, alpha, entry, factors, h,
    )  # fmt: skip


class Ahead(NamedTuple):
    """What lies beyond a boundary, for each thing that can reach it from the other side."""

    after: NDArray  # (C,) for a segment that ends at the boundary
    ring: NDArray  # (C, R) for an open segment, by its start
    folded: NDArray  # (C, p)


def begin(direction: Direction, state: State) -> NDArray:
    """Return h at the state's boundary: what begins there, given all that came before in this direction."""
    model, t = direction.model, state.position
    h = scratch(len(model.top), direction.dtype)
    scores = direction.scores(t, t + 1)[0]
    factors = scratch(len(scores) + len(model.types), direction.dtype)
    phase = direction.phase(t) % len(model.transitions)
    change(direction.weights, model, phase, scores, state.alpha, state.entry, factors, h)
    return h


def ahead(direction: Direction, state: State) -> Ahead:
    """Return what the state of one direction means to the entries of a state of the other."""
    return Ahead(begin(direction, state), *across(direction, state))


def across(direction: Direction, state: State) -> tuple[NDArray, NDArray]:
    """Return the same for segments that are open in both: ring and folded rows."""
    ring, folded = scratch(state.ring.shape, state.ring.dtype), scratch(state.folded.shape, state.folded.dtype)
    reach_back(direction.model, direction.weights, state.ring, state.folded, ring, folded)
    return ring, folded


def is_open(state: State) -> bool:
    """Return whether a segment is open, or began beyond: never at an exact end."""
    return bool(max(state.ring.real.max(), state.folded.real.max()) > -np.inf)


def flat(alpha: NDArray, ring: NDArray, folded: NDArray) -> NDArray:
    """Return a state's live entries, or what lies ahead of them, as one vector."""
    return np.concatenate([alpha, ring.ravel(), folded.ravel()])


def log_sum(x: NDArray):
    """Return log sum exp along the last axis."""
    top = x.real.max(-1, initial=-np.inf)
    top = np.where(top > -np.inf, top, 0.0)
    total = np.exp(x - top[..., None]).sum(-1)
    alive = total.real > 0
    return np.where(alive, top + np.log(np.where(alive, total, 1)), -np.inf)


class Anchor(NamedTuple):
    """The partition as seen from one boundary, in the offsets of the two states, and whose position comes next."""

    partition: Any  # one number
    shares: NDArray  # (C,) posterior that the position right of the boundary has label c


def anchor(left: Direction, x: State, right: Direction, y: State) -> Anchor:
    """Return normaliser and label shares where a forward state meets a backward state."""
    starting = begin(left, x) + y.alpha if y.position > 0 else x.alpha + begin(right, y)
    if is_open(x) and is_open(y):
        ring, folded = across(right, y)
        return meet(starting, x.ring + ring, x.folded + folded)
    return meet(starting)


def meet(starting: NDArray, *through: NDArray) -> Anchor:
    """Return normaliser and label shares of what changes labels at a boundary and of segments through it, by label.

    (C,) and (C, n), or of boundaries of N sequences (N, C) and (N, C, n).
    """
    entries = np.concatenate([starting[..., None], *through], axis=-1)
    top = entries.real.max((-2, -1))
    top = np.where(top > -np.inf, top, 0.0)
    labels = weight(entries, top[..., None, None]).sum(-1)
    total = labels.sum(-1)
    alive = total.real > 0
    total = np.where(alive, total, 1)
    return Anchor(np.where(alive, top + np.log(total), -np.inf), labels / total[..., None])


def weight(scores: NDArray, partition) -> NDArray:
    """Return exp(scores - partition), 0 for -inf (a complex -inf has no exponential of its own)."""
    if not np.iscomplexobj(scores):
        return np.exp(scores - partition)
    live = scores.real > -np.inf
    return np.where(live, np.exp(np.where(live, scores - partition, 0)), 0)


def span(a: State, b: State) -> tuple[float, float]:
    """Return how far two states are from equal up to a constant (inf: one is alive where the other is not)."""
    u, v = (flat(s.alpha, s.ring, s.folded) for s in (a, b))
    live = u.real > -np.inf
    if not np.array_equal(live, v.real > -np.inf):
        return np.inf, 0.0
    d = (u[live] - v[live]).real
    return float(d.max() - d.min()), float(d.mean())


def total_variation(a: State, b: State, beyond: Ahead) -> tuple[float, float]:
    """Return the distance between the weightings two states imply, given what lies ahead, and their log ratio."""
    f = flat(beyond.after, beyond.ring, beyond.folded).real
    u, v = (flat(s.alpha, s.ring, s.folded).real + f for s in (a, b))
    zu, zv = log_sum(u), log_sum(v)
    if zu == -np.inf or zv == -np.inf:
        return 1.0, 0.0
    return 0.5 * float(np.abs(np.exp(u - zu) - np.exp(v - zv)).sum()), float(zu - zv)


def same_up_to_constant(a: State, b: State, never: float) -> tuple[bool, int]:
    """Return whether two max-plus states differ by one constant only, and the constant `b - a`."""
    u, v = (np.concatenate([flat(s.alpha, s.ring, s.folded), s.first]) for s in (a, b))
    live = u > never // 2
    if not np.array_equal(live, v > never // 2):
        return False, 0
    d = v[live] - u[live]
    return bool((d == d[0]).all()), int(d[0])
