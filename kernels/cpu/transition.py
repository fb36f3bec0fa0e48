"""From what ends at a boundary to what begins there: the C x C step, once a position and outside the duration loop."""

import numpy as np
from ..compiled import compiled

from .tiles import TRUSTED


@compiled
def arc_score(model, phase, scores, source, target):
    """Return the score of one label change: transition plus every boundary map that scores it."""
    x = model.transitions[phase, source, target]
    for m in range(model.types.shape[0]):
        kind = model.types[m, source, target]
        if kind >= 0:
            x += scores[kind]
    return x


@compiled
def begin_exactly(model, phase, scores, alpha, c):
    """Return `logsumexp_{c'} alpha[c'] + A[c', c] + B`, taken in the log domain over the allowed arcs."""
    best = -np.inf
    for a in range(model.arc_start[c], model.arc_start[c + 1]):
        source = model.arc_source[a]
        if alpha[source].real > -np.inf:
            best = max(best, (alpha[source] + arc_score(model, phase, scores, source, c)).real)
    if best == -np.inf:
        return alpha.dtype.type(-np.inf)
    total = alpha.dtype.type(0)
    for a in range(model.arc_start[c], model.arc_start[c + 1]):
        source = model.arc_source[a]
        if alpha[source].real > -np.inf:
            x = alpha[source] + arc_score(model, phase, scores, source, c)
            if x.real > best - 50.0:
                total += np.exp(x - best)
    return best + np.log(total)


@compiled
def weigh_scores(columns, scores, factors):
    """Fill `factors` with the boundary scores of one position as weights, and return their common log reference.

    Each map has its own reference; a change it does not score has the weight of score 0 under that reference and lies
    in the extra column behind all scores, one a map.
    """
    total = 0.0
    n = scores.shape[0]
    for m in range(columns.shape[0] - 1):
        ref = 0.0
        for i in range(columns[m], columns[m + 1]):
            ref = max(ref, scores[i].real)
        for i in range(columns[m], columns[m + 1]):
            factors[i] = np.exp(scores[i] - ref) if scores[i].real > -np.inf else 0
        factors[n + m] = np.exp(-ref)
        total += ref
    return total


@compiled(fast=True)
def spread(weights, types, factors, alpha, ref, out):
    """Add to `out[target]` the weights of all changes into it, out of every label with a live `alpha`."""
    maps = types.shape[0]
    n = factors.shape[0] - maps
    for source in range(alpha.shape[0]):
        if alpha[source].real - ref > -700.0:
            weight = np.exp(alpha[source] - ref)
            if maps == 0:
                for c in range(out.shape[0]):
                    out[c] += weight * weights[source, c]
            else:
                for c in range(out.shape[0]):
                    x = weight * weights[source, c]
                    for m in range(maps):
                        kind = types[m, source, c]
                        x *= factors[kind if kind >= 0 else n + m]
                    out[c] += x


@compiled
def begin_log(model, weights, phase, scores, alpha, entry, factors, h):
    """Fill `h[c] = log(exp(entry[c]) + sum_{c'} exp(alpha[c'] + A[c', c] + B))`."""
    C = alpha.shape[0]
    if model.sparse:
        for c in range(C):
            h[c] = begin_exactly(model, phase, scores, alpha, c)
    else:
        ref = -np.inf
        for c in range(C):
            ref = max(ref, alpha[c].real)
        for c in range(C):
            h[c] = 0
        if ref > -np.inf:
            total = ref + model.transition_ref + weigh_scores(model.columns, scores, factors)
            spread(model.transition_weights[phase], model.types, factors, alpha, ref, h)
            for c in range(C):
                if h[c].real > TRUSTED:
                    h[c] = np.log(h[c]) + total
                else:
                    h[c] = begin_exactly(model, phase, scores, alpha, c)
        else:
            for c in range(C):
                h[c] = -np.inf
    for c in range(C):
        if entry[c].real > -np.inf:
            if h[c].real == -np.inf:
                h[c] = entry[c]
            else:
                top = max(h[c].real, entry[c].real)
                h[c] = top + np.log(np.exp(h[c] - top) + np.exp(entry[c] - top))


@compiled
def begin_max(model, weights, phase, scores, alpha, entry, factors, h):
    """Fill `h[c] = max(entry[c], max_{c'} alpha[c'] + A[c', c] + B)`; sums at or below the floor become `never`."""
    floor = model.never // 2
    for c in range(alpha.shape[0]):
        best = entry[c]
        for a in range(model.arc_start[c], model.arc_start[c + 1]):
            source = model.arc_source[a]
            if alpha[source] > floor:
                best = max(best, alpha[source] + arc_score(model, phase, scores, source, c))
        h[c] = best if best > floor else model.never
