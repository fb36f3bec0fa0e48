"""From what ends at a boundary to what begins there: the C x C step, once a position and outside the duration loop.

Functions of the hot path take arrays one by one and are copied into their callers: handing over the whole model costs
half a microsecond in reference counts.
"""

import numpy as np

from ..compiled import compiled
from ..fixed import FLOOR, NEVER
from .tiles import TRUSTED


@compiled(inline=True)
def change_score(transitions, types, phase, scores, source, target):
    """Return the score of one label change: transition plus every boundary map that scores it."""
    x = transitions[phase, source, target]
    for m in range(types.shape[0]):
        kind = types[m, source, target]
        if kind >= 0:
            x += scores[kind]
    return x


@compiled
def arc_score(model, phase, scores, source, target):
    """Return the score of one label change."""
    return change_score(model.transitions, model.types, phase, scores, source, target)


@compiled(inline=True)
def begin_exactly(transitions, types, arc_start, arc_source, phase, scores, alpha, c):
    """Return `logsumexp_{c'} alpha[c'] + A[c', c] + B`, taken in the log domain over the allowed arcs."""
    best = -np.inf
    for a in range(arc_start[phase, c], arc_start[phase, c + 1]):
        source = arc_source[a]
        if alpha[source].real > -np.inf:
            best = max(best, (alpha[source] + change_score(transitions, types, phase, scores, source, c)).real)
    total = alpha.dtype.type(-np.inf)
    if best > -np.inf:
        total = alpha.dtype.type(0)
        for a in range(arc_start[phase, c], arc_start[phase, c + 1]):
            source = arc_source[a]
            if alpha[source].real > -np.inf:
                x = alpha[source] + change_score(transitions, types, phase, scores, source, c)
                if x.real - best > -50.0:
                    total += np.exp(x - best)
        total = best + np.log(total)
    return total


@compiled(inline=True)
def weigh_scores(columns, scores, factors):
    """Fill `factors` with the boundary scores of one position as weights, and return their common log reference.

    Each map has its own reference; a change it does not score has the weight of score 0 under that reference and lies
    in the extra column behind all scores, one a map.
    """
    total = 0.0
    n = scores.shape[0]
    for m in range(columns.shape[0] - 1):
        top = 0.0
        for i in range(columns[m], columns[m + 1]):
            top = max(top, scores[i].real)
        for i in range(columns[m], columns[m + 1]):
            factors[i] = np.exp(scores[i] - top) if scores[i].real > -np.inf else 0
        factors[n + m] = np.exp(-top)
        total += top
    return total


@compiled(inline=True)
def spread(weights, phase, types, factors, alpha, ref, out):
    """Add to `out[target]` the weights of all changes into it, out of every label with a live `alpha`."""
    maps = types.shape[0]
    n = factors.shape[0] - maps
    for source in range(alpha.shape[0]):
        if alpha[source].real - ref > -700.0:
            weight = np.exp(alpha[source] - ref)
            if maps == 0:
                for c in range(out.shape[0]):
                    out[c] += weight * weights[phase, source, c]
            else:
                for c in range(out.shape[0]):
                    x = weight * weights[phase, source, c]
                    for m in range(maps):
                        kind = types[m, source, c]
                        x *= factors[kind if kind >= 0 else n + m]
                    out[c] += x


@compiled(inline=True)
def begin_log(
    weights, transitions, transition_weights, transition_ref, types, columns, arc_start, arc_source, sparse,
    phase, scores, alpha, entry, factors, h,
):  # fmt: skip
    """Fill `h[c] = log(exp(entry[c]) + sum_{c'} exp(alpha[c'] + A[c', c] + B))`."""
    C = alpha.shape[0]
    ref = -np.inf
    for c in range(C):
        ref = max(ref, alpha[c].real)
        h[c] = 0
    total = 0.0
    if not sparse and ref > -np.inf:
        total = ref + transition_ref + weigh_scores(columns, scores, factors)
        spread(transition_weights, phase, types, factors, alpha, ref, h)
    for c in range(C):
        if h[c].real > TRUSTED:
            h[c] = np.log(h[c]) + total
        else:
            h[c] = begin_exactly(transitions, types, arc_start, arc_source, phase, scores, alpha, c)
        if entry[c].real > -np.inf:
            if h[c].real == -np.inf:
                h[c] = entry[c]
            else:
                top = max(h[c].real, entry[c].real)
                h[c] = top + np.log(np.exp(h[c] - top) + np.exp(entry[c] - top))


@compiled(inline=True)
def begin_max(
    weights, transitions, transition_weights, transition_ref, types, columns, arc_start, arc_source, sparse,
    phase, scores, alpha, entry, factors, h,
):  # fmt: skip
    """Fill `h[c] = max(entry[c], max_{c'} alpha[c'] + A[c', c] + B)`; sums at or below the floor become NEVER."""
    for c in range(alpha.shape[0]):
        best = entry[c]
        for a in range(arc_start[phase, c], arc_start[phase, c + 1]):
            source = arc_source[a]
            if alpha[source] > FLOOR:
                best = max(best, alpha[source] + change_score(transitions, types, phase, scores, source, c))
        h[c] = best if best > FLOOR else NEVER
