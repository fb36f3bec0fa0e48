"""Regimes of a series: stretches of one shape, found without labels, and where it changes, with how sure that is.

The number of states, their means and where they are come from `contrasts`. Then the series is a hidden semi-Markov
model of the projected features: a state has a mean, a segment a least length and a geometric tail, a change the price
that it had when states were counted. A position says what the block around it says, shared out evenly among the
positions of a block: that is how little positions say that repeat each other. Segments, posteriors and credible
intervals are those of the kernels, exact given the states.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from . import contrasts
from .errors import SemisegError
from .kernels import Potentials, marginals, viterbi
from .shapes import Shapes, period

SHORTEST = 40  # positions of a series
SMALLEST = 10  # positions of a block
BLOCKS = 100  # of a series, at most: the regimes looked for are no shorter than a few per cent of it
REGIME = 3  # blocks of a segment, at least
FINEST = 1200  # cells of a series
PIECE = 1 << 14  # positions whose features are computed at a time
# Posteriors are of the model to this power (a Gibbs posterior's learning rate): what neighbouring blocks share beyond
# what their differences show. At 1 the 95 % intervals hold three quarters of the true change points of real series.
POWER = 0.25


class Regime(NamedTuple):
    """A stretch of one state."""

    start: int
    end: int
    state: int  # numbered as they come
    change: float  # posterior that it starts about where it does: within half a block
    sure: float  # mean posterior of the state over the stretch
    start_ci: tuple[int, int]  # 95 % credible intervals, both ends included
    end_ci: tuple[int, int]


class Regimes(NamedTuple):
    """What was found in a series."""

    stretches: list[Regime]
    period: int | None  # in positions
    near: int  # positions that "about" means


class Sizes(NamedTuple):
    """Lengths, all in positions."""

    cell: int
    block: int  # of which the next says something new
    shortest: int  # segment


def sizes(length: int, repeat: int | None) -> Sizes:
    """Return what fits a series with such a period."""
    block = max(SMALLEST, length // BLOCKS, repeat or 0)
    cell = max(1, (repeat or block) // 4, length // FINEST)
    block = max(1, round(block / cell)) * cell
    blocks = REGIME if length > 4 * REGIME * block else REGIME - 1
    return Sizes(cell, block, blocks * block)


def find_regimes(x: NDArray, name: str) -> Regimes:
    """Return the regimes of (T, D) values; `name` is for messages."""
    x = checked(np.asarray(x, float), name)
    repeat = period(x)
    size = sizes(len(x), repeat)
    shapes = Shapes(x, (repeat or size.block) // 2)
    cells = cell_means(shapes, size.cell)
    block = size.block // size.cell
    to = contrasts.project(cells, block)
    found = contrasts.partition(to(cells), block, size.shortest // size.cell)
    edges = np.array(found.edges) * size.cell
    edges[-1] = len(x)
    points = np.concatenate([to(shapes.answers(a, min(len(x), a + PIECE))) for a in range(0, len(x), PIECE)])
    points = blurred(points, size.block)
    lengths = np.diff(edges)
    sums = np.add.reduceat(points, edges[:-1], axis=0)
    state = contrasts.alike(sums, lengths, size.block, found.price)
    means = np.stack([sums[state == c].sum(0) / lengths[state == c].sum() for c in range(state.max() + 1)])
    return called(model(points, means, len(lengths), size, found.price), size, repeat)


def model(points: NDArray, means: NDArray, segments: int, size: Sizes, price: float) -> Potentials:
    """Return the potentials of (T, d) points under (C, d) means; so many segments are expected."""
    C, T, K = len(means), len(points), size.shortest
    spare = max(1.0, T / segments - K)  # positions that a segment is longer than the shortest, on average
    tail = np.log1p(-1 / (1 + spare))
    durations = np.full((K + 1, C), -np.inf)
    durations[K] = np.log1p(-np.exp(tail))
    follow = np.full((C, C), -price / 2 - np.log(max(1, C - 1)))  # the price is one of squares, twice a log likelihood
    np.fill_diagonal(follow, -np.inf)
    emissions = (points @ means.T - (means**2).sum(1) / 2) / size.block
    scores, lengths, changes = map(torch.from_numpy, (emissions, durations, follow))
    return Potentials(scores, lengths, changes, tail=torch.full((C,), tail, dtype=scores.dtype))


def called(scores: Potentials, size: Sizes, repeat: int | None) -> Regimes:
    """Return the best segments, and what is known about them."""
    segments = viterbi(scores).segments
    assert scores.tail is not None
    softer = Potentials(
        POWER * scores.emissions, POWER * scores.durations, POWER * scores.transitions, tail=POWER * scores.tail
    )
    found = marginals(softer, want=["start"], segments=segments)
    assert found.start is not None and found.calls is not None  # noqa: PT018 - both were asked for
    near = size.block // 2
    number = list(dict.fromkeys(segments.label.tolist()))
    columns = (*segments[1:], found.calls.label, *found.calls[4:6], *found.calls[7:9])
    stretches = []
    for start, end, label, sure, *bounds in zip(*(x.tolist() for x in columns), strict=True):
        change = float(found.start[max(0, start - near) : start + near + 1, label].sum().clamp(max=1))
        start_ci, end_ci = (bounds[0], bounds[1]), (bounds[2], bounds[3])
        stretches.append(Regime(start, end, number.index(label), change, sure, start_ci, end_ci))
    return Regimes(stretches, repeat, near)


def blurred(points: NDArray, width: int) -> NDArray:
    """Return means of (T, d) points over what is around each; beyond the ends is their mirror image."""
    left = width // 2
    padded = np.pad(points, ((left, width - 1 - left), (0, 0)), mode="reflect")
    sums = np.concatenate([np.zeros((1, points.shape[1])), np.cumsum(padded, 0)])
    means: NDArray = (sums[width:] - sums[:-width]) / width
    return means


def cell_means(shapes: Shapes, cell: int) -> NDArray:
    """Return (G, questions) mean answers over the cells of a series; what is left behind the last cell is left out."""
    step = max(1, PIECE // cell) * cell
    whole = shapes.length // cell * cell
    pieces = pairwise([*range(0, whole, step), whole])
    return np.concatenate([shapes.answers(a, b).reshape(-1, cell, shapes.count).mean(1) for a, b in pieces])


def checked(x: NDArray, name: str) -> NDArray:
    """Return values that something can be said about."""
    if len(x) < SHORTEST:
        raise SemisegError(f"{name}: {len(x)} values are too few to find regimes in: at least {SHORTEST} are needed")
    unknown = np.argwhere(~np.isfinite(x))
    if len(unknown):
        raise SemisegError(
            f"{name}: {len(unknown)} values are not finite, the first at position {unknown[0][0]}: fill them in, or cut"
            " the series there"
        )
    for i in np.flatnonzero((x == x[0]).all(0)):
        raise SemisegError(f"{name}: channel {i} is {x[0, i]:g} everywhere and tells nothing: leave it out")
    return x
