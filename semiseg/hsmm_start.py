"""Where EM begins: clusters of values, seeded far from each other, and the runs that they make along the data.

Values are averaged over a window first. A wide one finds long segments in noise, a narrow one short segments that
stand out; each restart has another width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from .emissions import Family
from .errors import SemisegError
from .hsmm import Hsmm, no_self
from .hsmm_data import Group, Reader, Rows
from .hsmm_durations import improve, make

POINTS = 20_000  # that clusters are looked for among
ROUNDS = 10  # of moving centres
SURE = 0.8  # of a position's weight goes to its cluster, the rest anywhere: equals must not stay equals
WIDTHS = (4, 1, 16, 2, 64, 8)


def begin(
    family: Family, durations: str, states: int, longest: int, read: Reader, groups: Sequence[Group],
    draw: np.random.Generator, width: int = 1,
) -> Hsmm:  # fmt: skip
    """Return a model whose states are clusters of the groups' values."""
    data = [read.rows(group) for group in groups]
    seen = [smooth(family, rows, width) for rows in data]
    points = np.concatenate([rows for group in seen for rows in group])
    if len(points) < states:
        raise SemisegError(f"--states {states}: the data has only {len(points)} positions: ask for fewer states")
    centres = clusters(points, states, draw)
    counts = np.zeros((longest + 1, states))
    steps, cut, changes = np.zeros(states), np.zeros(states), np.zeros((states, states))
    sums = None
    for rows, smoothed in zip(data, seen, strict=True):
        B, n, _ = rows.values.shape
        weights = np.zeros((B * (n - family.context), states))
        for place, coordinates in zip(rows.places.each(), smoothed, strict=True):
            label = nearest(coordinates, centres)
            own = SURE * np.eye(states)[label] + (1 - SURE) * draw.dirichlet(np.ones(states), len(label))
            for c in range(states):
                weights[:, c] += np.bincount(place, own[:, c], len(weights))
            note(label, counts, steps, cut, changes)
        found = family.statistics(rows.values, torch.from_numpy(weights.reshape(B, -1, states)).to(rows.values))
        sums = found if sums is None else {name: v + sums[name] for name, v in found.items()}
    assert sums is not None
    law = make(durations, states, longest)
    runs = counts.sum(0)
    law.around(torch.from_numpy((np.arange(longest + 1) @ counts + steps + 1) / (runs + 0.5)))
    improve(law, *(torch.from_numpy(v) for v in (counts + 1e-3, steps + 1e-3, cut)))
    occupancy = torch.from_numpy(cut + 1) / (cut.sum() + states)
    return Hsmm(family, law, occupancy, no_self(torch.from_numpy(changes + 1)), family.update(sums, None))


def smooth(family: Family, rows: Rows, width: int) -> list[NDArray]:
    """Return (n, E) coordinates of each stretch, averaged over a window."""
    out = []
    coordinates = family.coordinates(rows.values).flatten(0, 1).double().numpy()
    for place in rows.places.each():
        n = len(place)
        w = min(width, n)
        sums = np.zeros((n + 1, coordinates.shape[1]))
        np.cumsum(coordinates[place], 0, out=sums[1:])
        low = np.clip(np.arange(n) - w // 2, 0, n - w)
        out.append((sums[low + w] - sums[low]) / w)
    return out


def clusters(points: NDArray, count: int, draw: np.random.Generator) -> NDArray:
    """Return (count, E) centres: drawn far from each other, then moved to the middle of what is nearest."""
    if len(points) > POINTS:
        points = points[draw.choice(len(points), POINTS, replace=False)]
    centres = points[[int(draw.integers(len(points)))]]
    distance = ((points - centres[0]) ** 2).sum(1)
    while len(centres) < count:
        total = distance.sum()
        p = distance / total if total > 0 else None
        centres = np.concatenate([centres, points[[int(draw.choice(len(points), p=p))]]])
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(1))
    for _ in range(ROUNDS):
        label = nearest(points, centres)
        size = np.bincount(label, minlength=count)
        sums = np.eye(count)[label].T @ points
        centres = np.where(size[:, None] > 0, sums / np.maximum(size, 1)[:, None], centres)
    return centres


def nearest(points: NDArray, centres: NDArray) -> NDArray:
    """Return (N,) the centre that each point is nearest to."""
    return ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)


def note(label: NDArray, counts: NDArray, steps: NDArray, cut: NDArray, changes: NDArray) -> None:
    """Count the runs of a stretch, those of its ends as if they ended there."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(label)) + 1, [len(label)]])
    kind, length = label[edges[:-1]], np.diff(edges)
    longest = len(counts) - 1
    np.add.at(counts, (np.minimum(length, longest), kind), 1)
    np.add.at(steps, kind, np.maximum(length - longest, 0))
    np.add.at(changes, (kind[:-1], kind[1:]), 1)
    cut[kind[0]] += 1
