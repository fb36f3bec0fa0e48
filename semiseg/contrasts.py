"""Where the means of features change along a series, and how often: before any states are known.

Neighbouring positions say nearly the same, so what counts as independent are blocks of a period or more. The noise of
their means is measured on differences between neighbouring blocks, which hardly see that the series changes at a few
places. Directions in which all blocks vary much more than neighbours differ are where regimes differ: the features are
projected on the best of these, scaled to unit noise (Fisher's discriminant, without labels). There the best partition
into any number of stretches is found exactly.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = 8
SHRINKAGE = 0.1  # of the noise's covariance towards a sphere: it is estimated from few blocks
BLOCKS_A_DIRECTION = 3  # at least, among which the best are chosen
MOST_DIRECTIONS = 80
MOST_CHANGES = 20
BARGAIN = 2.0  # of log(blocks), for every direction: Schwarz's price of a change, its place counted as a parameter
SLOPE = 2.0  # times what a change is worth that is none (the slope heuristics of Birgé and Massart)


class Projection(NamedTuple):
    """From features to directions."""

    centre: NDArray  # (F,)
    directions: NDArray  # (F, d)

    def __call__(self, features: NDArray) -> NDArray:
        """Return (n, d) coordinates; the mean of a block has unit noise."""
        shift: NDArray = self.centre @ self.directions
        return features @ self.directions - shift


def project(cells: NDArray, block: int) -> Projection:
    """Return the projection of features, given their means over (G, F) cells, `block` cells a block."""
    centre = cells.mean(0)
    sums = np.concatenate([np.zeros((1, cells.shape[1])), np.cumsum(cells - centre, 0)])
    means = (sums[block:] - sums[:-block]) / block  # of blocks that begin at any cell
    _, size, axes = np.linalg.svd(means[:: max(1, block // 4)], full_matrices=False)
    blocks = len(cells) // block
    rank = min(int((size > 1e-6 * size[0]).sum()), max(2, blocks // BLOCKS_A_DIRECTION), MOST_DIRECTIONS)
    axes = axes[:rank].T
    means = means @ axes
    steps = (means[block:] - means[:-block]) / np.sqrt(2)
    noise = steps.T @ steps / len(steps)
    noise = (1 - SHRINKAGE) * noise + SHRINKAGE * np.trace(noise) / rank * np.eye(rank)
    root = np.linalg.cholesky(noise)
    inner = np.linalg.solve(root, np.linalg.solve(root, means.T @ means / len(means)).T)
    _, turned = np.linalg.eigh((inner + inner.T) / 2)
    best = np.linalg.solve(root.T, turned[:, ::-1][:, :DIRECTIONS])
    return Projection(centre, axes @ best)


def price(gains: NDArray, blocks: float) -> float:
    """Return what a change must be worth a direction; `gains` (k,) are what one more change brought, k times.

    The latter half of many gains is noise: their median is what a change is worth that is none.
    """
    fixed = BARGAIN * np.log(blocks)
    late = gains[MOST_CHANGES // 2 :]
    return float(max(fixed, SLOPE * np.median(late) if len(late) else 0))


class Partition(NamedTuple):
    """The best stretches."""

    edges: list[int]  # in cells, from 0 to the number of them
    price: float  # of a change, in squared units of noise


def partition(points: NDArray, block: int, shortest: int) -> Partition:
    """Return the best partition of (G, d) means over cells, with as many changes as are worth their price."""
    G, d = points.shape
    worth = contrast(points, block, shortest)
    best, back = worth[0], []
    totals, ends = [best[G]], [[0, G]]
    for _ in range(min(MOST_CHANGES, G // shortest - 1)):
        reach = best[:, None] + worth
        back.append(reach.argmax(0))
        best = reach.max(0)
        edges = [G]
        for come_from in back[::-1]:
            edges.append(int(come_from[edges[-1]]))
        totals.append(best[G])
        ends.append([0, *edges[::-1]])
    gains = np.diff(totals)
    cost = d * price(gains / d, G / block)
    k = int(np.argmax(np.array(totals) - cost * np.arange(len(totals))))
    return Partition(ends[k], cost)


def contrast(points: NDArray, block: int, shortest: int) -> NDArray:
    """Return (G + 1, G + 1) squared distances of the mean of every stretch from that of all, in units of its noise."""
    sums = np.concatenate([np.zeros((1, points.shape[1])), np.cumsum(points, 0)])
    square = (sums**2).sum(1)
    distance = np.maximum(square[:, None] + square - 2 * sums @ sums.T, 0)
    at = np.arange(len(sums))
    length = at - at[:, None]
    return np.where(length >= shortest, distance / (np.maximum(length, 1) * block), -np.inf)


def alike(sums: NDArray, sizes: NDArray, block: int, cost: float) -> NDArray:
    """Return (n,) a state for each stretch, numbered as they come: stretches whose difference is not worth its price.

    Takes (n, d) sums of points over stretches and their (n,) sizes in the same unit as `block`; the likest pair of
    states is joined, until all pairs differ enough.
    """
    state = np.arange(len(sizes))
    sums, sizes = sums.copy(), sizes.astype(float)
    while len(sizes) > 1:
        means = sums / sizes[:, None]
        distance = ((means[:, None] - means) ** 2).sum(-1) * (sizes[:, None] * sizes / (sizes[:, None] + sizes)) / block
        distance[np.tril_indices(len(sizes))] = np.inf
        a, b = np.unravel_index(distance.argmin(), distance.shape)
        if distance[a, b] > cost:
            break
        sums[a] += sums[b]
        sizes[a] += sizes[b]
        sums, sizes = np.delete(sums, b, 0), np.delete(sizes, b)
        state = np.where(state == b, a, state)
        state = np.where(state > b, state - 1, state)
    return state
