"""What stretches know about the calls that touch them: short sequences of a group, or one panel of a longer one.

One compiled call for all of them, since a short sequence takes less time than numpy does to begin.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from .laws import Side, gather, laws, settle_law
from .posteriors import cover


class Opening(NamedTuple):
    """What stands at one end of N stretches, for the direction that begins there."""

    begin: NDArray  # (N,) int64: its own position
    closed: bool  # everything at or before own position 0 counts as one
    ring: NDArray  # (N, C, R)
    folded: NDArray  # (N, C, p)
    crossing: NDArray  # (N, C, R) or, the same for all, (N, C, 1): upper bounds of the ring's log posteriors


class Given(NamedTuple):
    """Calls by the stretches that they touch, in coordinates of these: their first boundary is 0."""

    edges: NDArray  # (N + 1,) int64: those of stretch i are edges[i]..edges[i + 1]
    start: NDArray  # (n,) int64
    end: NDArray
    labels: NDArray  # (n, L) int64: the labels of each call's concept, -1 behind the last


class Told(NamedTuple):
    """What stretches add to calls: 0 where it is for another one to say, so that all is summed up."""

    covered: NDArray  # (n,) posterior of the concept, summed over the call's positions
    emission: NDArray  # (n, L) sum of emissions over those, -inf at a cut
    start: NDArray  # (n,)
    before: NDArray  # (n, L) h at the start less the stretch's partition
    end: NDArray  # (n,)
    behind: NDArray  # (n, L) beta at the end
    inside: NDArray  # (n,) posterior of the concept at the middle
    interval: NDArray  # (n, 4) int64: start low, high, end low, high
    mass: NDArray  # (n, 2)
    unfinished: NDArray  # (n, 2) bool: laws that reach into stretches further on

    @staticmethod
    def nothing(n: int, L: int) -> "Told":
        """Return what is known before anything was told."""
        one, each = [np.zeros(n) for _ in range(4)], [np.zeros((n, L)) for _ in range(3)]
        interval, mass, unfinished = np.zeros((n, 4), np.int64), np.zeros((n, 2)), np.zeros((n, 2), bool)
        return Told(one[0], each[0], one[1], each[1], one[2], each[2], one[3], interval, mass, unfinished)


@compiled
def room_for(model, n):
    """Return room for the sources of a side of n positions: memory that is new each time takes longer than they do."""
    shape = len(model.longest), (model.longest + model.period).max() + n
    return np.empty(shape, np.int64), np.empty(shape), np.empty(shape), np.empty(shape)


@compiled
def side_of(way, model, asked, opening, i, h, other, partition, emissions, where, room):
    """Return one side of stretch `i`, with what is known at its own boundaries `where`; see `laws.gather`."""
    at, g, bound, older = room
    shape = where.shape[0], emissions.shape[1]
    side = Side(
        opening.begin[i], opening.closed, at, g, bound, older, np.empty(shape[1], np.int64), opening.folded[i],
        np.empty(shape), np.empty(shape, np.int64),
    )  # fmt: skip
    gather(
        way, model, asked, opening.ring[i], side.folded, opening.crossing[i], h, other, partition, emissions, where,
        side.at, side.g, side.bound, side.older, side.alive, side.S, side.low,
    )  # fmt: skip
    return side


@compiled
def tell(
    model, weights, level, lengths, emissions, left, right, alpha, h, f, beta, partition, shares, given, told
):  # fmt: skip
    """Fill `told` with what stretches know about the calls given."""
    C, longest = emissions.shape[2], lengths.max()
    rooms = room_for(model, longest), room_for(model, longest)
    law, law_right = np.empty(rooms[0][0].shape[1] + 1), np.empty(rooms[0][0].shape[1] + 1)
    for i in range(lengths.shape[0]):
        calls, n = range(given.edges[i], given.edges[i + 1]), lengths[i]
        if len(calls) == 0:
            continue
        asked = np.unique(given.labels[calls.start : calls.stop])
        asked = asked[asked >= 0]  # labels whose sources matter: few in a short sequence
        start, end = given.start[calls.start : calls.stop], given.end[calls.start : calls.stop]
        next_to = (start + end - 1) // 2 + 1  # the boundaries right of the middles
        next_to = next_to[(next_to > 0) & (next_to <= n)]
        where = np.unique(np.concatenate((np.maximum(start, 0), np.minimum(end, n), next_to - 1, next_to)))
        where_right = np.unique(n - next_to)
        x, z = emissions[i, :n], partition[i]
        begun, following, ended, behind = h[i, :n], f[i, :n], alpha[i, 1 : n + 1], beta[i, :n]
        covered, position = np.empty((where.shape[0], C)), np.empty((where.shape[0], C))
        cover(begun, following, ended, behind, z, shares[i], x, where, covered, position)
        sides = (
            side_of(0, model, asked, left, i, begun, following, z, x, where, rooms[0]),
            side_of(1, model, asked, right, i, behind, ended, z, x, where_right, rooms[1]),
        )
        for k in calls:
            labels = given.labels[k][: (given.labels[k] >= 0).sum()]
            a, b, m = given.start[k], given.end[k], (given.start[k] + given.end[k] - 1) // 2
            _positions(labels, k, where, (max(a, 0), min(b, n)), covered, sides[0], told)
            if a >= 0:
                told.start[k] = _end(labels, z, sides[0], a, begun[a], following[a], told.before[k])
                told.before[k, : labels.shape[0]] -= z
            if b <= n:
                told.end[k] = _end(labels, z, sides[1], n - b, behind[b - 1], ended[b - 1], told.behind[k])
            if 0 <= m < n:
                told.inside[k] = _sum(position[np.searchsorted(where, m)], labels)
                rows = np.searchsorted(where, m + 1), np.searchsorted(where_right, n - m - 1)
                _around(model, weights, labels, k, sides, rows, m + 1, n, level, (a, b), (law, law_right), told)


@compiled
def _sum(row, labels):
    """Return the sum of some labels' entries."""
    total = 0.0
    for c in labels:
        total += row[c]
    return total


@compiled
def _positions(labels, k, where, clipped, covered, side, told):
    """Tell of the positions of a call that lie in a stretch, between two of the boundaries `where`."""
    a, b = np.searchsorted(where, clipped[0]), np.searchsorted(where, clipped[1])
    for i in range(labels.shape[0]):
        c = labels[i]
        told.covered[k] += covered[b, c] - covered[a, c]
        told.emission[k, i] = side.S[b, c] - side.S[a, c] if side.low[b, c] <= clipped[0] else -np.inf


@compiled
def _end(labels, partition, side, at, here, other, out):
    """Return the posterior that a segment begins at a side's own boundary, and fill `out` with what comes before it."""
    out[labels.shape[0] :] = -np.inf  # what is no label stays out of sums
    first, total = side.closed and side.begin + at == 0, 0.0
    for i in range(labels.shape[0]):
        c = labels[i]
        # before a closed end all is in the laws of segments that it cuts, and none begins there of which that is known
        out[i] = 0.0 if first else here[c]
        total += 0.0 if first else np.exp(here[c] + other[c] - partition)
    return total


@compiled
def _around(model, weights, labels, k, sides, rows, b, n, level, call, law, told):
    """Tell where the segment left of boundary `b`, a call's middle, begins and ends; `rows`: of both sides, for `b`."""
    shape = labels.shape[0], max(1, model.period.max())
    rests = np.zeros(shape), np.zeros(shape)
    reach = laws(
        model, weights, labels, sides[0], sides[1], rows, b, n, told.inside[k], law[0], rests[0], law[1], rests[1]
    )
    bounds = told.interval[k]
    if reach[0] < 0:  # nothing of the concept covers the middle
        bounds[:2], bounds[2:] = call[0], call[1]
        return
    near, far, told.mass[k, 0], final = settle_law(model, labels, b, law[0], reach[0], rests[0], level, True)
    bounds[0], bounds[1], told.unfinished[k, 0] = b - 1 - far, b - 1 - near, not final
    near, far, told.mass[k, 1], final = settle_law(model, labels, n + 1 - b, law[1], reach[1], rests[1], level, False)
    bounds[2], bounds[3], told.unfinished[k, 1] = b + near, b + far, not final
