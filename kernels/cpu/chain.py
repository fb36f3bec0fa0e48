"""Posteriors of a plain chain of states: what geometric durations come to, at a small part of the cost.

Sums are of weights and not of logs, brought back to a sum of 1 at every position. That loses nothing as long as every
state follows every other within a few positions, however seldom: then what is left out is below the smallest float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from .threads import pool, spread


class ChainCounts(NamedTuple):
    """Of N sequences."""

    log_partition: NDArray  # (N,)
    position: NDArray  # (N, n, C) posteriors, 0 behind a sequence's end
    changes: NDArray  # (C, C) expected number of steps from state to state, all sequences together


def chain_counts(first: NDArray, moves: NDArray, emissions: NDArray, lengths: list[int]) -> ChainCounts:
    """Return posteriors and expected steps from (C,) and (C, C) probabilities and (N, n, C) log scores, all float64."""
    back = np.ascontiguousarray(moves.T)
    position = np.zeros(emissions.shape)

    def one(item: int) -> tuple[float, NDArray]:
        n = lengths[item]
        weights, scales, steps = np.empty((n, len(first))), np.empty(n), np.zeros(moves.shape)
        top = _below_best(emissions[item, :n], weights)
        np.exp(weights, out=weights)
        _sums(first, moves, back, weights, position[item, :n], scales, steps)
        return float(np.log(scales).sum() + top), steps * moves

    found = list(spread(pool(None, "items"), one, range(len(lengths))))
    return ChainCounts(np.array([z for z, _ in found]), position, np.sum([steps for _, steps in found], axis=0))


@compiled
def _below_best(scores, out):
    """Fill `out` with scores less the best of their position, and return the sum of these."""
    total = 0.0
    for t in range(len(scores)):
        best = scores[t, 0]
        for c in range(1, scores.shape[1]):
            best = max(best, scores[t, c])
        for c in range(scores.shape[1]):
            out[t, c] = scores[t, c] - best
        total += best
    return total


@compiled(fast=True)
def _sums(first, moves, back, weights, position, scales, steps):
    """Fill `position` and `scales`, whose product is Z; `steps` gets expected steps over the probabilities of each."""
    n, C = weights.shape
    alpha = np.empty((n, C))
    here = np.empty(C)
    for t in range(n):
        if t == 0:
            here[:] = first
        else:
            here[:] = 0
            for source in range(C):
                x = alpha[t - 1, source]
                for c in range(C):
                    here[c] += x * moves[source, c]
        total = 0.0
        for c in range(C):
            here[c] *= weights[t, c]
            total += here[c]
        scales[t] = total
        share = 1 / total
        for c in range(C):
            alpha[t, c] = here[c] * share
    beta, target = np.ones(C), np.empty(C)
    for t in range(n - 1, -1, -1):
        for c in range(C):
            position[t, c] = alpha[t, c] * beta[c]
        if t == 0:
            break
        share = 1 / scales[t]
        for c in range(C):
            target[c] = weights[t, c] * beta[c] * share
            beta[c] = 0
        for source in range(C):
            x = alpha[t - 1, source]
            for c in range(C):
                steps[source, c] += x * target[c]
        for c in range(C):
            x = target[c]
            for source in range(C):
                beta[source] += x * back[c, source]
