"""Fewer states of marks: two become one, again and again, where that costs the least likelihood.

EM cannot move a state from where there are too many to where there are too few. So it begins with more than are asked
for: some of them find what is rare, and those that say the same again are made one.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .hsmm import Hsmm, Statistics, no_self
from .hsmm_data import Group, Reader
from .hsmm_durations import make
from .hsmm_em import Counts, left, log_likelihood, passed
from .kernels.cpu.threads import side_by_side

Counted = TypeVar("Counted", Tensor, NDArray)
TRIES = 8  # pairs that look cheapest, of which the likeliest model is taken
SHARE = 4  # on one group of so many


def merged(model: Hsmm, read: Reader, groups: list[Group], draw: np.random.Generator) -> Hsmm:
    """Return a model with geometric laws and one state less."""
    counts = Counts()
    passed(model, read, groups, draw, counts)
    total = counts.total
    assert total is not None
    some = groups[int(draw.integers(min(SHARE, len(groups)))) :: SHARE]
    tried = [united(model, total, a, b) for a, b in cheapest(total)]
    nats = side_by_side(lambda found: log_likelihood(found, read, some), tried, "tries")
    return tried[int(np.argmax(nats))]


def cheapest(total: Statistics) -> list[tuple[int, int]]:
    """Return pairs of states that lose least, by the counts of the model that has both: no more than a hint."""
    moves, C = (total.changes + total.steps.diag()).numpy(), len(total.first)
    one, other = np.tril_indices(C, -1)
    marks = {name: x.numpy() for name, x in total.emissions.items()}
    own = marks_explained(marks)
    said = marks_explained({name: x[one] + x[other] for name, x in marks.items()})
    steps = [steps_explained(crossed(moves, a, b)) for a, b in zip(one.tolist(), other.tolist(), strict=True)]
    order = np.argsort(own[one] + own[other] - said - steps, kind="stable")[:TRIES]
    return [(int(one[i]), int(other[i])) for i in order]


def steps_explained(moves: NDArray) -> float:
    """Return the expected log likelihood of steps from state to state, at its best."""
    return (plogp(moves).sum() - plogp(moves.sum(1)).sum()).item()


def marks_explained(counts: dict[str, NDArray]) -> NDArray:
    """Return the expected log likelihood of marks that are there or not, (..., D) of each, at its best."""
    ones, zeros = counts["ones"], counts["zeros"]
    return (plogp(ones) + plogp(zeros) - plogp(ones + zeros)).sum(-1)


def plogp(x: NDArray) -> NDArray:
    """Return x log x, 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1))


def united(model: Hsmm, total: Statistics, a: int, b: int) -> Hsmm:
    """Return the model in which two states are one, as it is best for the counts of the one that has both."""
    rest = [c for c in range(model.states) if c != b]
    here = rest.index(a)
    first, steps = joined(total.first, a, b), joined(total.steps, a, b)
    changes = crossed(total.changes, a, b)
    steps[here] += changes[here, here]
    changes[here, here] = 0
    emissions = {name: joined(x, a, b) for name, x in total.emissions.items()}
    law = make("geometric", len(rest), 2)
    law.load_state_dict({name: x[..., rest] for name, x in model.law.state_dict().items()})
    before = {name: x[rest] for name, x in model.emissions.items()}
    found = Hsmm(model.family, law, model.occupancy[rest], no_self(changes), before)
    found.improve(Statistics(first, changes, left(changes, first), steps, total.seen, emissions))
    return found


def crossed(moves: Counted, a: int, b: int) -> Counted:
    """Return what is counted from state to state with two of them as one."""
    return joined(joined(moves, a, b).T, a, b).T


def joined(x: Counted, a: int, b: int) -> Counted:
    """Return what is counted a state with that of two added up in the place of the first, and without the second."""
    rest = [c for c in range(len(x)) if c != b]
    both = x[rest]
    both[rest.index(a)] += x[b]
    return both
