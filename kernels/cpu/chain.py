"""Posteriors and best paths of a plain chain of states: what geometric durations come to, at a small part of the cost.

Sums are of weights and not of logs, brought back to a sum of 1 at every position. That loses nothing as long as every
state follows every other within a few positions, however seldom: then what is left out is below the smallest float64.
Positions name their scores by row, so those of equal values are worked out once, and runs of one row are passed in
blocks of 2, 4, 8, ... positions: binarised marks are the same over most of a genome, which is passed five times faster.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled, scratch
from .runs import Places, blocks_of
from .threads import pool, spread

PARTS = 16  # that sequences are shared out in, however many threads there are: sums have one order on every machine
ENOUGH = 1 << 14  # positions that are worth a thread: asking it takes as long as a few thousand
MANY = 1  # runs of a row for each state, at least, that are as long as a block: then its matrix saves what it costs


class ChainCounts(NamedTuple):
    """Of all sequences together."""

    log_partition: float
    first: NDArray  # (C,) posteriors of first positions
    moves: NDArray  # (C, C) expected number of steps from state to state
    rows: NDArray  # (R, C) posteriors of the positions that name a row


def chain_counts(first: NDArray, moves: NDArray, scores: NDArray, places: Places) -> ChainCounts:
    """Return posteriors and expected steps from (C,) and (C, C) probabilities and (R, C) log scores, all float64."""
    top, weights = weighed(scores)
    powers, parts, C = powers_of(moves, weights, top, places.runs), parts_of(places), len(first)
    n = len(parts.z)
    steps, begun, across = np.zeros((n, C, C)), np.zeros((n, C)), np.zeros((n, *powers.steps.shape))
    begins = places.ends[parts.cuts[:-1]]
    low = np.minimum.reduceat(places.rows, begins)
    edges = np.cumsum([0, *(np.maximum.reduceat(places.rows, begins) + 1 - low)])
    rows = np.zeros((edges[-1], C))  # of each part those between its lowest and its highest
    own = low, edges, rows, steps, begun, across
    parts.through((first, turned(moves), weights, top), powers, places, (moves, powers.steps, *own))
    total = np.zeros(scores.shape)
    for i in range(n):
        mine = rows[edges[i] : edges[i + 1]]
        total[low[i] : low[i] + len(mine)] += mine
    resolved = powers.resolved(across.sum(0), moves, weights, total)
    return ChainCounts(sum(parts.z.tolist()), begun.sum(0), steps.sum(0) * moves + resolved, total)


def chain_log_partition(first: NDArray, moves: NDArray, scores: NDArray, places: Places) -> float:
    """Return that of all sequences together, which takes half as long: arguments are those of `chain_counts`."""
    top, weights = weighed(scores)
    parts = parts_of(places)
    powers = powers_of(moves, weights, top, places.runs)
    parts.through((first, turned(moves), weights, top), powers, places, None)
    return sum(parts.z.tolist())


def weighed(scores: NDArray) -> tuple[NDArray, NDArray]:
    """Return the largest score of each row, and the weights of all relative to it."""
    top = scores.max(1)
    return top, np.exp(scores - top[:, None])


def turned(matrices: NDArray) -> NDArray:
    """Return the columns of matrices as rows."""
    return np.ascontiguousarray(matrices.swapaxes(-1, -2))


class Powers(NamedTuple):
    """Matrices of blocks: powers of a row's own, which is moves times weights, each divided by its largest element."""

    blocks: NDArray  # (R, levels) of the block of 2 ** level positions of a row; 0: there is none
    rows: list[NDArray]  # that have blocks of level 1, 2, ...
    steps: NDArray  # (1 + P, C, C); the first is none
    columns: NDArray  # (1 + P, C, C) of the same
    logs: NDArray  # (1 + P,) of what they, and the weights in them, were divided by in all
    largest: NDArray  # (1 + P,) elements of the squares of their halves

    def resolved(self, across: NDArray, moves: NDArray, weights: NDArray, rows: NDArray) -> NDArray:
        """Return the (C, C) expected steps within blocks, and add posteriors of their positions to `rows`.

        `across` holds the products of what comes before and after the blocks of each matrix. Each half of a block has
        the other before or after it, so what was summed over blocks is handed down to blocks of half their length.
        """
        total = np.zeros(moves.shape)
        for level in range(len(self.rows), 0, -1):
            of = self.rows[level - 1]
            mine = self.blocks[of, level]
            below = self.blocks[of, level - 1]
            half = self.steps[below] if level > 1 else moves * weights[of][:, None]
            turned = half.transpose(0, 2, 1)
            handed = (across[mine] @ turned + turned @ across[mine]) / self.largest[mine, None, None]
            if level > 1:
                across[below] += handed
            else:
                within = handed * half
                rows[of] += within.sum(1)
                total += within.sum(0)
        return total


def powers_of(moves: NDArray, weights: NDArray, top: NDArray, runs: NDArray) -> Powers:
    """Return the matrices of blocks that are worth it."""
    C = len(moves)
    many = runs >= MANY * C
    index = np.zeros(runs.shape, np.int32)
    rows: list[NDArray] = []
    steps, logs, largest = [np.zeros((1, C, C))], [np.zeros(1)], [np.ones(1)]
    have = 1
    for level in range(1, runs.shape[1]):
        of = np.flatnonzero(many[:, level])
        if not len(of):
            break
        if level == 1:
            half, log = moves * weights[of][:, None], top[of]
        else:
            at = np.searchsorted(rows[-1], of)
            half, log = steps[-1][at], logs[-1][at]
        square = half @ half
        size = square.max((1, 2))
        rows.append(of)
        steps.append(square / size[:, None, None])
        logs.append(2 * log + np.log(size))
        largest.append(size)
        index[of, level] = np.arange(have, have + len(of))
        have += len(of)
    table = np.concatenate(steps)
    return Powers(index, rows, table, turned(table), np.concatenate(logs), np.concatenate(largest))


class Parts(NamedTuple):
    """Sequences in parts of about as many."""

    cuts: NDArray[np.int64]  # (n + 1,) their first sequences
    z: NDArray  # (n,) log Z, to be filled

    def through(self, chain: tuple[NDArray, ...], powers: Powers, places: Places, learnt: tuple | None) -> None:
        """Have threads go through some parts each, in one call: asking for more takes as long as they do."""
        n = len(self.z)
        m = max(1, min(n, len(places.rows) // ENOUGH))

        def some(i: int) -> None:
            a, b = n * i // m, n * (i + 1) // m
            mine = learnt
            if learnt is not None:
                moves, steps, low, edges, rows, *sums = learnt
                mine = moves, steps, low[a:b], edges[a : b + 1], rows, *(x[a:b] for x in sums)
            _parts(
                *chain, powers.columns, powers.logs, powers.blocks, places.rows, places.ends, self.cuts[a : b + 1],
                self.z[a:b], mine,
            )  # fmt: skip

        for _ in spread(pool(None, "items"), some, range(m)):
            pass


def parts_of(places: Places) -> Parts:
    """Return sequences in parts."""
    B = len(places.ends) - 1
    n = min(PARTS, B)
    return Parts(np.array([B * i // n for i in range(n + 1)]), np.zeros(n))


@compiled
def _parts(first, columns, weights, top, powers, logs, index, place, ends, cuts, z, learnt):
    """Fill log Z of parts of the sequences; `learnt`: what the posteriors are of each part, in these arrays."""
    for i in range(len(z)):
        mine = ends[cuts[i] : cuts[i + 1] + 1]
        here, edge = place[mine[0] : mine[-1]], mine - mine[0]
        if learnt is None:
            z[i] = _through(first, columns, weights, top, powers, logs, index, here, edge, None)
        else:
            moves, matrices, low, edges, rows, steps, begun, across = learnt
            own = rows[edges[i] : edges[i + 1]]
            backwards = moves, matrices, low[i], steps[i], begun[i], own, across[i]
            z[i] = _through(first, columns, weights, top, powers, logs, index, here, edge, backwards)


@compiled
def _through(first, columns, weights, top, powers, logs, index, place, ends, backwards):
    """Return log Z of all sequences together; `backwards`: add up what the posteriors are, in these arrays."""
    C = len(first)
    longest = np.max(ends[1:] - ends[:-1])
    blocks, alpha, scales = np.empty((longest, 2), np.int32), scratch((longest, C), np.float64), np.empty(longest)
    z = 0.0
    for i in range(len(ends) - 1):
        n = blocks_of(place[ends[i] : ends[i + 1]], index, blocks)
        z += _forward(first, columns, weights, top, powers, logs, blocks[:n], alpha, scales)
        if backwards is not None:
            _backward(weights, blocks[:n], alpha, scales, *backwards)
    return z


@compiled(fast=True)
def _forward(first, columns, weights, top, powers, logs, blocks, alpha, scales):
    """Return log Z; fill (n, C) `alpha`, which sums to 1 at every block, and `scales`, whose product is Z over logs."""
    n, C = len(blocks), len(first)
    here, z = np.empty(C), 0.0
    for t in range(n):
        row, power = blocks[t]
        if t == 0:
            here[:] = first
        else:
            _times(powers[power] if power else columns, alpha[t - 1], here)
        total = 0.0
        for c in range(C):
            if power == 0:
                here[c] *= weights[row, c]
            total += here[c]
        scales[t] = total
        z += np.log(total) + (logs[power] if power else top[row])
        share = 1 / total
        for c in range(C):
            alpha[t, c] = here[c] * share
    return z


@compiled(fast=True)
def _times(columns, x, out):
    """Have `out` hold x times a matrix, given by its columns: sums stay in registers."""
    for j in range(len(x)):
        total = 0.0
        for i in range(len(x)):
            total += columns[j, i] * x[i]
        out[j] = total


@compiled(fast=True)
def _backward(weights, blocks, alpha, scales, moves, matrices, low, steps, begun, rows, across):
    """Add up what the posteriors are; `steps` and `across` get expected steps over what the matrices of both say."""
    n, C = len(blocks), len(begun)
    beta, target = np.ones(C), np.empty(C)
    for t in range(n - 1, -1, -1):
        row, power = blocks[t]
        if power == 0:
            for c in range(C):
                rows[row - low, c] += alpha[t, c] * beta[c]
        if t == 0:
            break
        share = 1 / scales[t]
        for c in range(C):
            target[c] = beta[c] * share
            if power == 0:
                target[c] *= weights[row, c]
        into, matrix = (across[power], matrices[power]) if power else (steps, moves)
        for source in range(C):
            x = alpha[t - 1, source]
            for c in range(C):
                into[source, c] += x * target[c]
        _times(matrix, target, beta)
    for c in range(C):
        begun[c] += alpha[0, c] * beta[c]


def best_paths(first: NDArray, moves: NDArray, scores: NDArray, places: Places) -> list[NDArray[np.int64]]:
    """Return the likeliest states of each sequence: arguments are those of `chain_counts`."""
    with np.errstate(divide="ignore"):
        log_first, log_moves = np.log(first), np.log(moves)

    def one(place: NDArray) -> NDArray[np.int64]:
        path = np.empty(len(place), np.int64)
        _best(log_first, log_moves, scores, place, path)
        return path

    return list(spread(pool(None, "items"), one, list(places.each())))


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
