"""Random models too large to enumerate: checked against `naive`, which enumeration has checked."""

import numpy as np
import torch

from semiseg.kernels.potentials import Boundary, Edge, Potentials

EDGES: tuple[tuple[Edge, Edge], ...] = (
    ("exact", "exact"),
    ("censored", "exact"),
    ("exact", "censored"),
    ("censored", "censored"),
)


def larger(seed: int, T: int = 500, C: int = 4, K: int = 40, flat: bool = False) -> Potentials:
    """One sequence with mixed lengths, tails, periods, phases, both kinds of maps, cuts and the edges of its seed.

    `flat`: emissions and boundary scores are 0, so that nothing but the grammar decides and ties abound.
    """
    rng = np.random.default_rng(seed)
    left, right = EDGES[seed % 4]
    longest = rng.integers(1, K + 1, C)
    longest[0] = K
    period = rng.choice([1, 3], C)
    tail = np.where(rng.random(C) < 0.6, -rng.uniform(0.005, 0.5, C), -np.inf)
    durations = rng.normal(size=(K + 1, C))
    durations[rng.random(durations.shape) < 0.2] = -np.inf
    durations[1, 0] = -1.0
    for c in range(C):  # normalised, as censored edges need
        durations[longest[c], c] = -0.5
        durations[longest[c] + 1 :, c] = -np.inf
        mass = np.exp(durations[1 : longest[c] + 1, c])
        step = np.exp(tail[c])
        durations[:, c] -= np.log(mass.sum() + mass[max(0, longest[c] - period[c]) :].sum() * step / (1 - step))
    transitions = rng.normal(size=(int(rng.choice([1, 3])), C, C))
    transitions[rng.random(transitions.shape) < 0.2] = -np.inf
    emissions = rng.normal(size=(T, C)) * (0 if flat else rng.choice([0.05, 0.5]))
    emissions[:, 1:][rng.random((T, C - 1)) < (0 if flat else 0.02)] = -np.inf
    maps = []
    for types in (np.tile(rng.integers(-1, 2, C), (C, 1)), rng.integers(-1, 3, (C, C))):
        scores = rng.normal(size=(T + 1, 3)) * (0 if flat else 1)
        maps.append(Boundary(torch.from_numpy(scores), torch.from_numpy(types)))
    return Potentials(
        torch.from_numpy(emissions),
        torch.from_numpy(durations),
        torch.from_numpy(transitions),
        torch.from_numpy(longest),
        torch.from_numpy(tail),
        torch.from_numpy(period),
        tuple(maps[: int(rng.integers(3))]),
        torch.from_numpy(rng.normal(size=(len(transitions), C))),
        torch.from_numpy(rng.normal(size=C)) if right == "exact" else None,
        left,
        right,
        origin=int(rng.integers(10_000)),
    )


def long_tail(T: int = 2000) -> Potentials:
    """One segment that lasts nearly all of the sequence through its tail, between two short ones."""
    emissions = np.zeros((T, 3))
    emissions[:, 1] = 0.01
    emissions[:7, 0] = emissions[-9:, 2] = 3.0
    durations = np.full((6, 3), -1.0)
    tail = np.array([-1.0, -1e-5, -1.0])
    e, d, a, lam = map(torch.from_numpy, (emissions, durations, np.full((3, 3), -4.0), tail))
    return Potentials(e, d, a, tail=lam)


def forced_cycle(T: int = 1200) -> Potentials:
    """Labels that follow each other in a circle with fixed durations: the phase is never forgotten."""
    rng = np.random.default_rng(1)
    durations = np.full((8, 3), -np.inf)
    durations[5, 0] = durations[7, 1] = durations[3, 2] = 0.0
    cycle = np.full((3, 3), -np.inf)
    cycle[0, 1] = cycle[1, 2] = cycle[2, 0] = 0.0
    e, d, a = map(torch.from_numpy, (rng.normal(size=(T, 3)), durations, cycle))
    return Potentials(e, d, a)
