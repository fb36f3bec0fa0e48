"""Posteriors and best paths of a plain chain of states: what geometric durations come to, at a small part of the cost.

Sums are of weights and not of logs, brought back to a sum of 1 at every position. That loses nothing as long as every
state follows every other within a few positions, however seldom: then what is left out is below the smallest float64.
Positions name their scores by row, so those of equal values are worked out once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from .threads import pool, spread


class ChainCounts(NamedTuple):
    """Of all sequences together."""

    log_partition: float
    first: NDArray  # (C,) posteriors of first positions
    moves: NDArray  # (C, C) expected number of steps from state to state
    rows: NDArray  # (R, C) posteriors of the positions that name a row


def chain_counts(first: NDArray, moves: NDArray, scores: NDArray, places: Sequence[NDArray]) -> ChainCounts:
    """Return posteriors and expected steps from (C,) and (C, C) probabilities and (R, C) log scores, all float64.

    `places` are the rows of each sequence's positions.
    """
    top = scores.max(1)
    weights, back = np.exp(scores - top[:, None]), np.ascontiguousarray(moves.T)

    def one(place: NDArray) -> tuple[float, NDArray, NDArray, int, NDArray]:
        low, high = int(place.min()), int(place.max()) + 1
        scales, steps, begun = np.empty(len(place)), np.zeros(moves.shape), np.empty(len(first))
        rows = np.zeros((high - low, len(first)))
        _sums(first, moves, back, weights, place, low, scales, steps, begun, rows)
        return float(np.log(scales).sum() + top[place].sum()), begun, steps * moves, low, rows

    found = list(spread(pool(None, "items"), one, places))
    rows = np.zeros(scores.shape)
    for *_, low, part in found:
        rows[low : low + len(part)] += part
    z = float(sum(each[0] for each in found))
    begun, steps = np.sum([each[1] for each in found], 0), np.sum([each[2] for each in found], 0)
    return ChainCounts(z, begun, steps, rows)


@compiled(fast=True)
def _sums(first, moves, back, weights, place, low, scales, steps, begun, rows):
    """Fill `scales`, whose product is Z; `steps` gets expected steps over the probabilities of each."""
    n, C = len(place), len(first)
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
            here[c] *= weights[place[t], c]
            total += here[c]
        scales[t] = total
        share = 1 / total
        for c in range(C):
            alpha[t, c] = here[c] * share
    beta, target = np.ones(C), np.empty(C)
    for t in range(n - 1, -1, -1):
        for c in range(C):
            rows[place[t] - low, c] += alpha[t, c] * beta[c]
        if t == 0:
            break
        share = 1 / scales[t]
        for c in range(C):
            target[c] = weights[place[t], c] * beta[c] * share
            beta[c] = 0
        for source in range(C):
            x = alpha[t - 1, source]
            for c in range(C):
                steps[source, c] += x * target[c]
        for c in range(C):
            x = target[c]
            for source in range(C):
                beta[source] += x * back[c, source]
    for c in range(C):
        begun[c] = alpha[0, c] * beta[c]


def best_paths(first: NDArray, moves: NDArray, scores: NDArray, places: Sequence[NDArray]) -> list[NDArray[np.int64]]:
    """Return the likeliest states of each sequence: arguments are those of `chain_counts`."""
    with np.errstate(divide="ignore"):
        log_first, log_moves = np.log(first), np.log(moves)

    def one(place: NDArray) -> NDArray[np.int64]:
        path = np.empty(len(place), np.int64)
        _best(log_first, log_moves, scores, place, path)
        return path

    return list(spread(pool(None, "items"), one, places))


@compiled
def _best(first, moves, scores, place, path):
    """Fill `path`; of equals the first state is taken."""
    n, C = len(place), len(first)
    before = np.zeros((n, C), np.int32)
    best, here = first + scores[place[0]], np.empty(C)
    for t in range(1, n):
        here[:] = -np.inf
        for source in range(C):
            x = best[source]
            for c in range(C):
                y = x + moves[source, c]
                if y > here[c]:
                    here[c] = y
                    before[t, c] = source
        for c in range(C):
            best[c] = here[c] + scores[place[t], c]
    path[n - 1] = np.argmax(best)
    for t in range(n - 1, 0, -1):
        path[t - 1] = before[t, path[t]]
