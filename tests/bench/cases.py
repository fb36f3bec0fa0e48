"""Small models for the ladder of tests: every implementation runs on these, the enumeration first.

Each is made from its own seed and named after what is special about it. One label, `index mod C`, is safe: no cut and
nothing forbidden touches its segments of length 1, so that every case has a segmentation.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from semiseg.kernels.potentials import Boundary, Edge, Potentials

SHAPES = (2, 1), (3, 1), (2, 2), (3, 2), (2, 3), (3, 3), (2, 4), (3, 4), (2, 5), (3, 5), (2, 6), (2, 7), (3, 6), (3, 7)
EDGES: tuple[tuple[Edge, Edge], ...] = (
    ("exact", "exact"),
    ("censored", "exact"),
    ("exact", "censored"),
    ("censored", "censored"),
)
LONGEST = (1, 3, 4)
MAPS = (), ("start",), ("end",), ("general",), ("start", "end"), ("start", "general"), ("constant", "end")
ORIGINS = 0, 0, 1, 5, 1_000_000_007


class Named(NamedTuple):
    name: str
    potentials: Potentials


class Plan(NamedTuple):
    """What is special about one case."""

    labels: int
    size: int
    edges: tuple[Edge, Edge]
    tails: str  # none, all or mixed
    period: str  # one, three or mixed
    phases: int
    maps: tuple[str, ...]
    cuts: bool
    forbidden: bool
    by_duration: bool
    safe: int
    integers: bool = False


def grid() -> Iterator[Named]:
    """About 160 sequences without a batch axis."""
    for index, plan in _plans():
        yield Named(f"{index}-{_describe(plan)}", _make(np.random.default_rng(index), plan))
    yield from (Named(name, potentials) for name, potentials in special().items())


def tied() -> Iterator[Named]:
    """The plans of the grid with exact ends and scores in -1, 0, 1, where many segmentations tie.

    Tails are multiples of their period, so that a slope moved into the emissions stays an integer.
    """
    for index, plan in _plans():
        plan = plan._replace(edges=("exact", "exact"), integers=True)
        yield Named(f"tied-{index}-{_describe(plan)}", _make(np.random.default_rng(index), plan))


def ragged() -> Iterator[Named]:
    """Batches with a length each; what lies beyond a length is noise that must not matter."""
    for index, lengths in enumerate(([6, 1, 4], [2, 7, 7, 3], [1, 1], [5], [4, 6, 5], [3, 7, 1, 2], [7, 2], [6, 5, 2])):
        seed = 2000 + index
        rng = np.random.default_rng(seed)
        plan = _plan(seed, 2 + index % 2, max(lengths))._replace(maps=MAPS[index % len(MAPS)])
        potentials = _make(rng, plan)
        emissions = torch.stack([_tensor(_emissions(rng, plan)) for _ in lengths])
        boundaries = tuple(
            Boundary(torch.stack([m.scores + 0.3 * b for b in range(len(lengths))]), m.types)
            for m in potentials.boundaries
        )
        potentials = potentials._replace(emissions=emissions, boundaries=boundaries, lengths=torch.tensor(lengths))
        yield Named(f"ragged{index}-" + _describe(plan), potentials)


def special() -> dict[str, Potentials]:
    """Cases written by hand: one way through, a minimum duration, tails that enter below row 1, bare defaults."""
    inf = float("inf")
    rng = np.random.default_rng(7)
    cycle = torch.tensor([[-inf, 0.2], [0.1, -inf]], dtype=torch.float64)
    fixed = torch.full((4, 2), -inf, dtype=torch.float64)
    fixed[2, 0], fixed[3, 1] = 0.3, -0.4
    minimum = torch.full((5, 2), -inf, dtype=torch.float64)
    minimum[3], minimum[4] = 0.5, -0.5
    zeros = torch.zeros
    e = {size: _tensor(rng.normal(size=(size, 2))) for size in (1, 5, 6, 7)}
    steep = e[7].clone()
    steep[:, 0] += torch.linspace(0, 300, 7, dtype=torch.float64)
    tail = torch.tensor([-0.7, -inf], dtype=torch.float64)
    one = Potentials(e[1], zeros(2, 2).double(), zeros(2, 2).double())
    normal = _tensor(np.array([[-inf, -inf], [np.log(1 - np.exp(-0.7)), -1.0], [-inf, np.log1p(-np.exp(-1.0))]]))
    return {
        "defaults-T1": one,
        "defaults-T6": one._replace(emissions=e[6]),
        "forced-cycle": Potentials(e[7], fixed, cycle),
        "forced-cycle-T5": Potentials(e[5], fixed, cycle),
        "minimum-duration": Potentials(e[6], minimum, cycle, tail=tail),
        "steep-minimum": Potentials(steep, minimum, cycle, tail=tail, period=torch.tensor([3, 1])),
        "rising-tail": Potentials(e[7], minimum, zeros(2, 2).double(), tail=torch.tensor([0.4, 0.0]).double()),
        "censored-T1": Potentials(e[1], normal, cycle, torch.tensor([1, 2]), tail, left="censored", right="censored"),
        "geometric": Potentials(e[6], normal, cycle, torch.tensor([1, 2]), tail, left="censored", right="censored"),
    }


def _plans() -> Iterator[tuple[int, Plan]]:
    """Index, which is the seed, and plan of every case that is drawn."""
    for index in range(9 * len(SHAPES)):
        yield index, _plan(index, *SHAPES[index % len(SHAPES)])
    for index in range(500, 508):
        yield index, _plan(index, 2, 10)
    for index in range(1000, 1016):
        yield index, _plan(index, *SHAPES[3 * index % len(SHAPES)])._replace(by_duration=True, phases=1)


def _describe(plan: Plan) -> str:
    """Name of the case."""
    parts = [f"T{plan.size}", f"C{plan.labels}", "-".join(plan.edges), f"tail:{plan.tails}", f"p:{plan.period}"]
    parts += [f"P{plan.phases}", *plan.maps]
    parts += [word for word in ("cuts", "forbidden", "by_duration") if getattr(plan, word)]
    return "-".join(parts)


def _plan(index: int, labels: int, size: int) -> Plan:
    """Choices for one case; the edge modes take turns, the rest is drawn."""
    rng = np.random.default_rng([index, 99])
    return Plan(
        labels=labels,
        size=size,
        edges=EDGES[(index // len(SHAPES) + index) % len(EDGES)],
        tails=str(rng.choice(["none", "all", "mixed"], p=[0.25, 0.4, 0.35])),
        period=str(rng.choice(["one", "three", "mixed"])),
        phases=int(rng.choice([1, 3])),
        maps=MAPS[rng.integers(len(MAPS))],
        cuts=bool(rng.random() < 0.4),
        forbidden=bool(rng.random() < 0.4),
        by_duration=False,
        safe=index % labels,
    )


def _make(rng: np.random.Generator, plan: Plan) -> Potentials:
    """The record of a plan."""
    labels, safe = plan.labels, plan.safe
    longest = rng.choice(LONGEST, size=labels)
    rows = longest.max() + int(rng.integers(2))  # sometimes a row that no label uses
    periods = {"one": np.ones(labels, int), "three": np.full(labels, 3), "mixed": rng.choice([1, 3], size=labels)}
    period = periods[plan.period]
    tail = _scores(rng, (labels,), plan.integers, low=-1.5, high=-0.3) * (period if plan.integers else 1)
    without = {"none": slice(None), "all": slice(0), "mixed": slice(int(rng.integers(labels)), None, 2)}
    tail[without[plan.tails]] = -np.inf
    durations = _scores(rng, (rows + 1, labels), plan.integers)
    transitions = _scores(rng, (rows + 1 if plan.by_duration else plan.phases, labels, labels), plan.integers)
    first = _scores(rng, (plan.phases, labels), plan.integers)
    last = _scores(rng, (labels,), plan.integers)
    if plan.forbidden:
        _forbid(rng, durations, (1, safe))
        _forbid(rng, transitions, (slice(None), safe, safe))
        _forbid(rng, first, (slice(None), safe))
        _forbid(rng, last, (safe,))
    if "censored" in plan.edges:
        durations = _normalise(durations, longest, tail, period)
    squeeze = plan.phases == 1 and not plan.by_duration and rng.random() < 0.5
    return Potentials(
        emissions=_tensor(_emissions(rng, plan)),
        durations=_tensor(durations),
        transitions=_tensor(transitions[0] if squeeze else transitions),
        longest=torch.from_numpy(longest),
        tail=None if plan.tails == "none" and rng.random() < 0.5 else _tensor(tail),
        period=None if plan.period == "one" and rng.random() < 0.5 else torch.from_numpy(period),
        boundaries=tuple(_boundary(rng, kind, plan) for kind in plan.maps),
        first=None if rng.random() < 0.2 else _tensor(first if rng.random() < 0.7 else first[0]),
        last=None if rng.random() < 0.3 or plan.edges[1] == "censored" else _tensor(last),
        left=plan.edges[0],
        right=plan.edges[1],
        origin=int(rng.choice(ORIGINS)),
        transitions_by_duration=plan.by_duration,
    )


def _scores(
    rng: np.random.Generator, shape: tuple[int, ...], integers: bool, low: float = -1.5, high: float = 1.5
) -> np.ndarray:
    """Uniform scores, or small integers."""
    return rng.integers(round(low + 0.4), round(high), shape) * 1.0 if integers else rng.uniform(low, high, shape)


def _forbid(rng: np.random.Generator, scores: np.ndarray, safe: tuple) -> None:
    """Turns a quarter of the scores into -inf, the safe ones not."""
    kept = scores[safe].copy() if np.ndim(scores[safe]) else scores[safe]
    scores[rng.random(scores.shape) < 0.25] = -np.inf
    scores[safe] = kept


def _emissions(rng: np.random.Generator, plan: Plan) -> np.ndarray:
    """Emissions, with cuts where planned."""
    emissions = _scores(rng, (plan.size, plan.labels), plan.integers)
    if plan.cuts:
        _forbid(rng, emissions, (slice(None), plan.safe))
    return emissions


def _normalise(durations: np.ndarray, longest: np.ndarray, tail: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Durations that sum to one with their tail; a label of which nothing is left lasts one position."""
    durations = durations.copy()
    for c, size in enumerate(longest):
        if np.isneginf(durations[1 : size + 1, c]).all():
            durations[1, c] = 0.0
        weights = np.exp(durations[1 : size + 1, c])
        entering = weights[max(size - period[c], 0) :].sum()
        durations[:, c] -= np.log(weights.sum() + entering * np.exp(tail[c]) / (1 - np.exp(tail[c])))
    return durations


def _boundary(rng: np.random.Generator, kind: str, plan: Plan) -> Boundary:
    """One map: a projection (sometimes with labels merged or unscored), one type for all, or any types at all."""
    labels = plan.labels
    each = rng.permutation(labels) - int(rng.random() < 0.3)
    types = {
        "start": np.tile(each, (labels, 1)),
        "end": np.tile(each[:, None], (1, labels)),
        "constant": np.zeros((labels, labels), int),
        "general": rng.integers(-1, 3, (labels, labels)),
    }[kind]
    scores = _scores(rng, (plan.size + 1, max(int(types.max()) + 1, 1)), plan.integers)
    if plan.forbidden:
        safe = max(int(types[plan.safe, plan.safe]), 0)
        _forbid(rng, scores, (slice(None), safe))
    return Boundary(_tensor(scores), torch.from_numpy(types))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float64).copy())
