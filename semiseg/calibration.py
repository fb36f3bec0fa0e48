"""A monotone map from posteriors to how often calls so sure were right, on top of exact marginals."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import SemisegError

POINTS = 20  # of the map, at most
LEAST = 50  # calls a point stands for


class Calibration(NamedTuple):
    """Points of a map, linear in between; both rise."""

    believed: tuple[float, ...]
    right: tuple[float, ...]

    def apply(self, posteriors: NDArray) -> NDArray:
        """Return calibrated posteriors."""
        return np.interp(posteriors, self.believed, self.right)


def fit(posteriors: NDArray, right: NDArray) -> Calibration:
    """Return the map of (n,) posteriors to shares of what was right, pooled until it rises.

    Ends stay where they are: who is sure to be wrong stays so, and 1 is the mean of the surest calls.
    """
    if len(posteriors) < LEAST:
        raise SemisegError(f"calibration: expected at least {LEAST} calls, got {len(posteriors)}")
    order = np.argsort(posteriors, kind="stable")
    parts = np.array_split(order, max(1, min(POINTS, len(order) // LEAST)))
    pooled: list[tuple[float, float, int]] = []  # mean posterior, how many were right, of how many
    for part in parts:
        pooled.append((float(posteriors[part].mean()), float(right[part].sum()), len(part)))
        while len(pooled) > 1 and pooled[-2][1] * pooled[-1][2] >= pooled[-1][1] * pooled[-2][2]:
            (a, x, n), (b, y, m) = pooled[-2:]
            pooled[-2:] = [((a * n + b * m) / (n + m), x + y, n + m)]
    xs, ys = [0.0], [0.0]
    for x, y, n in pooled:
        if x > xs[-1]:
            xs.append(x)
            ys.append(max(ys[-1], (y + 0.5) / (n + 1)))  # held back from 0 and 1 by half a call either way
    if xs[-1] < 1:
        xs.append(1.0)
        ys.append(ys[-1])
    return Calibration(tuple(xs), tuple(ys))


def across(posteriors: NDArray, right: NDArray) -> NDArray:
    """Return posteriors calibrated on the other half of the calls: what a map does where it was not fitted."""
    out = np.array(posteriors, float)
    half = np.arange(len(posteriors)) * 2 // len(posteriors)
    for part in (0, 1):
        out[half == part] = fit(posteriors[half != part], right[half != part]).apply(posteriors[half == part])
    return out


def from_json(values: Any) -> Calibration | None:
    """Return a stored map; None where there is none."""
    if values is None:
        return None
    found = Calibration(*(tuple(map(float, x)) for x in values))
    if len(found.believed) < 2 or any(np.diff(x).min() < 0 for x in found) or np.diff(found.believed).min() <= 0:
        raise SemisegError("calibration: the stored map does not rise")
    return found
